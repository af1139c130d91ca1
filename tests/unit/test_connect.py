"""Kafka Connect's REST interface, played by a server that answers as it is told."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from connectors.connect import Connect, cause
from tillstream.errors import RefusedError, TransientError, UnreachableError
from tillstream.free_ports import free_port

STALE = (409, {"message": "Cannot complete request momentarily due to stale configuration"})


class PlayedConnect:
    """`answers` are given in their order, the last of them again and again; `asked` is what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: list[tuple[int, Any]] = [(200, {})]
        played = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers["Content-Length"] or 0)
                played.asked.append((self.command, self.path, json.loads(self.rfile.read(length) or "null")))
                code, body = played.answers.pop(0) if len(played.answers) > 1 else played.answers[0]
                text = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815  # as http.server calls them

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.connect = Connect(f"http://127.0.0.1:{self._server.server_port}")

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def played() -> Iterator[PlayedConnect]:
    server = PlayedConnect()
    yield server
    server.close()


def test_workers_that_are_agreeing_are_asked_again(played: PlayedConnect) -> None:
    played.answers = [STALE, STALE, (201, {})]
    played.connect.configure("t.s1.0", {"a": "b"})
    assert played.asked == [("PUT", "/connectors/t.s1.0/config", {"a": "b"})] * 3


def test_a_connector_that_is_there_already_is_not_waited_for(played: PlayedConnect) -> None:
    """Connect gives it the code of workers that are agreeing."""
    played.answers = [(409, {"message": "Connector t.s1.0 already exists"})]
    with pytest.raises(RefusedError, match="already exists"):
        played.connect.create_stopped("t.s1.0", {"a": "b"})
    assert played.asked == [
        ("POST", "/connectors", {"name": "t.s1.0", "config": {"a": "b"}, "initial_state": "STOPPED"})
    ]


def test_what_connect_refuses_is_told_in_its_words(played: PlayedConnect) -> None:
    """400 and 404: the same request is refused again; 500: it may succeed later."""
    played.answers = [(400, {"message": "Connector configuration is\n invalid"})]
    with pytest.raises(
        RefusedError, match=r"refuses PUT /connectors/t\.s1\.0/config: Connector configuration is invalid"
    ):
        played.connect.configure("t.s1.0", {})
    played.answers = [(500, {"message": "Request timed out"})]
    with pytest.raises(TransientError, match="Request timed out"):
        played.connect.configure("t.s1.0", {})
    played.answers = [(502, b"<html>a proxy's page</html>")]
    with pytest.raises(TransientError, match="Bad Gateway"):
        played.connect.connectors()


def test_what_is_gone_need_not_be_deleted_and_has_no_offset(played: PlayedConnect) -> None:
    played.answers = [(404, {"message": "Connector t.s1.0 not found"})]
    played.connect.delete("t.s1.0")
    assert played.connect.offset("t.s1.0") is None
    with pytest.raises(RefusedError, match="not found"):
        played.connect.resume("t.s1.0")


def test_nobody_at_the_address_is_told_as_such() -> None:
    with pytest.raises(UnreachableError, match=r"does not answer .*`capture: {connect: \.\.\.}`"):
        Connect(f"http://127.0.0.1:{free_port()}").connectors()


def test_the_list_is_asked_for_once_for_all_threads_and_again_after_a_change(played: PlayedConnect) -> None:
    played.answers = [(200, {"t.s1.0": _expanded("RUNNING", {"state": "FAILED", "trace": "X: y", "worker_id": "w:1"})})]
    found = [played.connect.connectors()["t.s1.0"] for _ in range(3)]
    assert len(played.asked) == 1
    assert (found[0].state, found[0].task_state, found[0].worker, found[0].trace) == (
        "RUNNING",
        "FAILED",
        "w:1",
        "X: y",
    )
    assert found[0].has_failed
    played.connect.pause("t.s1.0")
    played.connect.connectors()
    assert len(played.asked) == 3


def test_faults_are_those_of_every_key(played: PlayedConnect) -> None:
    values = [{"value": {"name": "a", "errors": []}}, {"value": {"name": "b", "errors": ["is missing", "is wrong"]}}]
    played.answers = [(200, {"configs": values})]
    found = played.connect.faults_of("t.s1.0", {"connector.class": "io.debezium.MySqlConnector"})
    assert found == ["b: is missing", "b: is wrong"]
    assert played.asked == [
        ("PUT", "/connector-plugins/MySqlConnector/config/validate",
         {"name": "t.s1.0", "connector.class": "io.debezium.MySqlConnector"})
    ]  # fmt: skip


def test_the_cause_of_a_trace_is_its_innermost() -> None:
    trace = "A: outer\n\tat x.y(Z.java:1)\nCaused by: B: middle\n\t... 3 more\nCaused by: C: inner\n\tat q\n"
    assert cause(trace) == "C: inner"
    assert cause("A: only\n\tat x") == "A: only"
    assert cause("") == ""


def _expanded(state: str, *tasks: dict[str, str]) -> dict[str, Any]:
    status = {"connector": {"state": state, "worker_id": "w:1"}, "tasks": list(tasks)}
    return {"status": status, "info": {"config": {"a": "b"}}}


def test_a_worker_that_has_just_started_knows_no_list_yet(played: PlayedConnect) -> None:
    """It answers 404 for a moment: that is no refusal, which a person would have to put right."""
    played.answers = [(404, {"message": "Not Found"}), (200, {})]
    with pytest.raises(TransientError, match="Not Found"):
        played.connect.connectors()
    assert played.connect.connectors() == {}
