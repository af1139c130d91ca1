"""What Alertmanager says reaches a robot in its own words, or is refused so that it is said again."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tillstream.alert_relay import MOST_BYTES, Relay, in_words

DARK = {
    "status": "firing",
    "labels": {"alertname": "StoreDark", "severity": "warning", "store": "s002"},
    "annotations": {
        "description": "Store s002 (人民广场店) cannot be reached.",
        "runbook_url": "dashboards/runbooks.md#storedark",
    },
}
MESSAGE = {"status": "firing", "alerts": [DARK, {**DARK, "status": "resolved"}]}
WORDS = (
    "Tillstream: firing, 2 alerts\n"
    "[warning] Store s002 (人民广场店) cannot be reached. dashboards/runbooks.md#storedark\n"
    "over: [warning] Store s002 (人民广场店) cannot be reached. dashboards/runbooks.md#storedark"
)


class Robot(BaseHTTPRequestHandler):
    said: list[Any]
    answer: dict[str, Any]

    def do_POST(self) -> None:
        self.said.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.answer).encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def told(form: str, answer: dict[str, Any], message: object) -> tuple[int, list[Any]]:
    """What Alertmanager is answered, and what the robot was told."""
    said: list[Any] = []
    robot = type("OneRobot", (Robot,), {"said": said, "answer": answer})
    with (
        serving(ThreadingHTTPServer(("127.0.0.1", 0), robot)) as robot_url,
        serving(Relay(("127.0.0.1", 0), form, robot_url)) as url,
    ):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, json.dumps(message).encode())) as answered:
                return answered.status, said
        except urllib.error.HTTPError as error:
            error.close()
            return error.code, said


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("wecom", {"msgtype": "text", "text": {"content": WORDS}}),
        ("dingtalk", {"msgtype": "text", "text": {"content": WORDS}}),
        ("feishu", {"msg_type": "text", "content": {"text": WORDS}}),
    ],
)
def test_each_robot_is_told_in_its_own_words(form: str, body: dict[str, Any]) -> None:
    """Every alert with its sentence and where to read on; one that is over says so."""
    assert told(form, {"errcode": 0}, MESSAGE) == (200, [body])


def test_what_a_robot_refuses_is_not_taken_for_told() -> None:
    """It answers 200 whatever it thinks of it; Alertmanager tries again after a 502."""
    assert told("wecom", {"errcode": 93000, "errmsg": "invalid webhook url"}, MESSAGE)[0] == 502


def test_what_is_no_message_is_refused() -> None:
    """For good: to try it again is of no use."""
    assert told("wecom", {"errcode": 0}, ["no", "message"]) == (400, [])


def test_a_long_message_ends_with_a_whole_line() -> None:
    """A robot would cut it in the middle of a character, or refuse it."""
    text = in_words({"status": "firing", "alerts": [DARK] * 100})
    assert len(text.encode()) <= MOST_BYTES + 4
    assert text.endswith("#storedark\n...")
