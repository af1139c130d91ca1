"""Says Alertmanager's webhook to a robot of WeCom, DingTalk or Feishu in its words: `python -m tillstream.alert_relay`.

The robot's URL is its password and stands in a file. What it refuses is refused to Alertmanager, which tries again.
"""

import argparse
import json
import logging
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

MOST_BYTES = 2_000  # WeCom cuts a text at 2,048
MOST_RECEIVED_BYTES = 1_000_000  # a thousand stores' alerts in one message
TIMEOUT_SECONDS = 10.0

FORMS: dict[str, Callable[[str], dict[str, Any]]] = {
    "wecom": lambda text: {"msgtype": "text", "text": {"content": text}},
    "dingtalk": lambda text: {"msgtype": "text", "text": {"content": text}},
    "feishu": lambda text: {"msg_type": "text", "content": {"text": text}},
}


def in_words(message: dict[str, Any]) -> str:
    """One line an alert. It begins with `Tillstream`, the keyword that a DingTalk robot may be told to insist on."""
    lines = [f"Tillstream: {message['status']}, {len(message['alerts'])} alerts"]
    for alert in message["alerts"]:
        told, labels = alert["annotations"], alert["labels"]
        text = told.get("description") or told.get("summary") or labels.get("alertname", "?")
        over = "over: " if alert["status"] == "resolved" else ""
        lines.append(f"{over}[{labels.get('severity', '?')}] {text} {told.get('runbook_url', '')}".rstrip())
    return _cut("\n".join(lines))


def _cut(text: str) -> str:
    short = text.encode()[:MOST_BYTES].decode(errors="ignore")
    return text if short == text else f"{short.rpartition(chr(10))[0] or short}\n..."


def robot_url(file: Path) -> str:
    """The one that stands in it. ValueError, which does not tell it, where it is none."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file} is no text") from None
    if not text:
        raise ValueError(f"{file} is empty: it has to hold the robot's URL")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{file} has to hold the robot's URL alone, on one line")
    if not _is_url(text):
        raise ValueError(f"{file} has to hold a URL such as https://HOST/...")
    return text


def _is_url(text: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def send(url: str, body: dict[str, Any]) -> str:
    """What the robot has against it; empty if nothing. They answer 200 whatever they think of it. No error's text is
    told: it may hold the URL."""
    try:
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            said = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        return f"the robot answers with HTTP {error.code}"
    except (OSError, ValueError, HTTPException) as error:
        return f"the robot does not answer: {type(error).__name__}"
    if not isinstance(said, dict) or any(said.get(code) for code in ("errcode", "code", "StatusCode")):
        return f"the robot refuses: {said}"
    return ""


class Relay(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], form: str, robot_url: str) -> None:
        super().__init__(address, _Handler)
        self._form, self._robot_url = FORMS[form], robot_url

    def tell(self, text: str) -> str:
        return send(self._robot_url, self._form(text))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Without its traceback, in which the URL may stand."""
        log.warning("a request was not answered: %s", type(sys.exception()).__name__)


class _Handler(BaseHTTPRequestHandler):
    server: Relay
    timeout = TIMEOUT_SECONDS  # of whoever connects and says nothing

    def do_GET(self) -> None:
        self._answer(200, "ready")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()):
            self._answer(411, "how long the message is has to be told")
            return
        if int(length) > MOST_RECEIVED_BYTES:
            self._answer(413, "the message is too long")
            return
        try:
            text = in_words(json.loads(self.rfile.read(int(length))))
        except (ValueError, KeyError, TypeError, AttributeError):
            self._answer(400, "this is no message of Alertmanager's")
            return
        trouble = self.server.tell(text)
        if trouble:
            log.warning(trouble)
        self._answer(502 if trouble else 200, trouble or "told")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        log.debug(format, *arguments)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tillstream.alert_relay")
    parser.add_argument("--form", choices=sorted(FORMS), required=True, help="Whose robot it is.")
    parser.add_argument("--url-file", type=Path, required=True, help="File with the robot's URL.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9465)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        url = robot_url(given.url_file)
    except ValueError as error:
        parser.error(str(error))
    Relay((given.host, given.port), given.form, url).serve_forever()


if __name__ == "__main__":
    main()
