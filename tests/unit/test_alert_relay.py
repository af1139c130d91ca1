"""What Alertmanager says reaches a robot in its own words, or is refused so that it is said again."""

import json
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tillstream import alert_relay
from tillstream.alert_relay import MOST_BYTES, Relay, _Handler, in_words, main, robot_url

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
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), robot)) as robot_at:
        return answered(form, robot_at, message)[0], said


def answered(form: str, robot_at: str, message: object) -> tuple[int, str]:
    with serving(Relay(("127.0.0.1", 0), form, robot_at)) as url:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, json.dumps(message).encode())) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


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


class Rude(BaseHTTPRequestHandler):
    """A robot that answers with these bytes, whatever it is told."""

    answer: bytes

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(self.answer)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "the robot answers with HTTP 404"),
        (b"HTTP/1.0 500 no\r\nContent-Length: 9\r\n\r\n", "the robot answers with HTTP 500"),
        (b"what is HTTP?\r\n", "BadStatusLine"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n{}", "IncompleteRead"),
        (b"HTTP/1.0 200 OK\r\n\r\n<html>", "JSONDecodeError"),
        (b"", "RemoteDisconnected"),
    ],
)
def test_a_robot_that_answers_badly_is_told_without_its_url(
    answer: bytes, words: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Alertmanager tries again; the log keeps the kind of error, or HTTP's own number."""
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), type("OneRude", (Rude,), {"answer": answer}))) as robot_at:
        status, said = answered("wecom", f"{robot_at}?key=secret", MESSAGE)
    assert status == 502
    assert words in said
    assert words in caplog.text
    _require_no_secret(said, caplog, capfd)


@pytest.mark.parametrize("url", ["secret", "http://127.0.0.1:1/\nsecret", "http://[secret", "http://127.0.0.1:secret/"])
def test_a_url_that_is_none_is_no_fault_of_the_message(
    url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is told to have been Alertmanager's fault, for it would not try again; and nothing tells the URL."""
    status, said = answered("wecom", url, MESSAGE)
    assert status == 502
    _require_no_secret(said, caplog, capfd)


def test_a_fault_of_our_own_leaves_no_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The URL may stand in it. The kind of error is told."""

    def fails(url: str, body: object) -> str:
        raise RuntimeError(url)

    monkeypatch.setattr(alert_relay, "send", fails)
    with serving(Relay(("127.0.0.1", 0), "wecom", "http://secret/")) as url, pytest.raises(OSError, match="without"):
        urllib.request.urlopen(urllib.request.Request(url, json.dumps(MESSAGE).encode()))
    assert "RuntimeError" in caplog.text
    _require_no_secret("", caplog, capfd)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("", 411),
        ("Content-Length: -1\r\n", 411),
        ("Content-Length: many\r\n", 411),
        ("Content-Length: 1000001\r\n", 413),
    ],
)
def test_a_message_without_end_is_not_read(headers: str, status: int) -> None:
    """It is refused by what it says of its length."""
    with serving(Relay(("127.0.0.1", 0), "wecom", "http://127.0.0.1:1/")) as url:
        answer = _raw(url, f"POST / HTTP/1.0\r\n{headers}\r\n")
    assert answer.split()[1] == str(status).encode()


def test_who_connects_and_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would keep a thread for ever."""
    monkeypatch.setattr(_Handler, "timeout", 0.05)
    with serving(Relay(("127.0.0.1", 0), "wecom", "http://127.0.0.1:1/")) as url:
        assert _raw(url, "POST / HTTP/1.0\r\nContent-Le") == b""


def _raw(url: str, text: str) -> bytes:
    """Everything that is answered to it, until the other end closes."""
    host, _, port = url.removeprefix("http://").strip("/").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(text.encode())
        with connection.makefile("rb") as answer:
            return answer.read()


def _require_no_secret(said: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    printed = capfd.readouterr()
    for text in (said, caplog.text, printed.out, printed.err):
        assert "secret" not in text
        assert "Traceback" not in text


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"https://robot.example.com/secret\nhttps://robot.example.com/secret\n", "on one line"),
        (b"https://robot.example.com/ secret", "on one line"),
        (b"robot.example.com/secret", "a URL such as"),
        (b"ftp://robot.example.com/secret", "a URL such as"),
        (b"https:///secret", "a URL such as"),
        (b"https://robot.example.com:secret/", "a URL such as"),
        (b"https://[secret/", "a URL such as"),
        (b"\xff\xfesecret", "is no text"),
        (None, "cannot be read"),
    ],
)
def test_a_file_without_a_url_ends_it_at_once(
    written: bytes | None,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the file's name and never with what stands in it."""
    file = tmp_path / "robot"
    if written is not None:
        file.write_bytes(written)
    monkeypatch.setattr(sys, "argv", ["alert_relay", "--form", "wecom", "--url-file", str(file)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert words in told
    assert str(file) in told
    assert "secret" not in told


def test_a_url_may_end_with_a_newline(tmp_path: Path) -> None:
    """As editors and `echo` leave it."""
    file = tmp_path / "robot"
    file.write_text("https://robot.example.com/send?key=1\n")
    assert robot_url(file) == "https://robot.example.com/send?key=1"
