"""/metrics, /healthz and /readyz."""

import socket
import struct
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tillstream.commands.metrics_server import serve_metrics
from tillstream.config import load_config
from tillstream.errors import RefusedError
from tillstream.free_ports import free_port
from tillstream.metrics import REGISTRY

STORE = "stores: [{id: s1, host: localhost, user: u, password: {env: P}, database: d}]\n"


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_metrics_and_whether_it_lives_and_is_at_work(tmp_path: Path) -> None:
    """Alive is any process that answers; ready only one that is at work, and else it says why not."""
    port, reasons = free_port(), ["the warehouse does not answer"]
    file = tmp_path / "tillstream.yaml"
    file.write_text(f"{STORE}metrics: {{port: {port}}}\n")
    config = load_config(file)
    serve_metrics(config, lambda: reasons[0])
    status, text = get(port, "/metrics")
    assert status == 200
    assert "# TYPE tillstream_events_total counter" in text
    assert get(port, "/healthz") == (200, "alive\n")
    assert get(port, "/readyz") == (503, "the warehouse does not answer\n")
    reasons[0] = ""
    assert get(port, "/readyz") == (200, "at work\n")
    assert get(port, "/")[0] == 404
    with pytest.raises(RefusedError, match=r"metrics address 127\.0\.0\.1:"):
        serve_metrics(config, lambda: "")


def test_no_port_is_no_server(tmp_path: Path) -> None:
    """`metrics: {port: null}` switches it off."""
    file = tmp_path / "tillstream.yaml"
    file.write_text(f"{STORE}metrics: {{port: null}}\n")
    serve_metrics(load_config(file), lambda: "")


def test_who_asks_and_goes_away_leaves_no_trace(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A load balancer opens the port and resets the connection; the log stays readable by machines."""
    port = free_port()
    file = tmp_path / "tillstream.yaml"
    file.write_text(f"{STORE}metrics: {{port: {port}}}\n")
    serve_metrics(load_config(file), lambda: "")
    for sent in (b"", b"GET /metrics HTTP/1.0\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(sent)
    assert get(port, "/healthz") == (200, "alive\n")
    assert capfd.readouterr().err == ""


def test_thresholds_are_told_by_every_process(tmp_path: Path) -> None:
    """Workers tell them, too: their alerts go by them when `run` is down."""
    file = tmp_path / "tillstream.yaml"
    file.write_text(f"{STORE}metrics: {{port: null}}\nalerts: {{WorkerDown: false, StoreDark: 90s}}\n")
    serve_metrics(load_config(file), lambda: "")
    assert REGISTRY.get_sample_value("tillstream_alert_threshold", {"alert": "StoreDark"}) == 90
    assert REGISTRY.get_sample_value("tillstream_alert_threshold", {"alert": "WorkerDown"}) is None
