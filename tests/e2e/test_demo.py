"""`tillstream demo` as a person starts it: the product's own acceptance test."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil
from invocation import AGREED_KEYS, TILLSTREAM, environment

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_day_ends_without_a_difference(tillstream: Command, server_directory: Path) -> None:
    """Exit code 0, one JSON object on stdout, and what it says adds up; --keep leaves files that can be used."""
    kept, began = server_directory / "kept", datetime.now(UTC)
    arguments = ("--stores", "3", "--seconds", "8", "--rate", "100", "--keep", str(kept), "--output", "json")
    done = tillstream("demo", *arguments, directory=server_directory, timeout_seconds=200)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert list(said)[: len(AGREED_KEYS)] == AGREED_KEYS
    assert (said["schema"], said["seconds"], said["faults"]) == (1, 8, [])
    assert said["events"] == said["applied"] == sum(store["events"] for store in said["stores"]) > 300
    assert said["verify"]["tables"] == 24
    assert said["verify"]["rows"] > 900
    assert (said["verify"]["differences"], said["verify"]["set_aside"], said["dead_letters"]) == (0, 0, 0)
    assert said["conflicts"] >= 5  # five members and a price, each contested on purpose
    assert [store["id"] for store in said["stores"]] == ["s001", "s002", "s003"]
    assert all(store["state"] == "live" for store in said["stores"])
    assert 0 < said["latency_ms"]["p50"] <= said["latency_ms"]["p99"]
    assert said["latency_measured"]["rows"] > 100
    assert said["resident_mb"] > 100
    assert "goes dark" in done.stderr

    status = tillstream("status", "--config", str(kept / "tillstream.yaml"), "--output", "json", directory=kept)
    assert status.returncode == 1, status.stderr
    found = json.loads(status.stdout)
    assert [store["name"] for store in found["stores"]] == ["中山路店", "人民广场店", "南京路店"]
    assert [each["told"] for each in found["needs_a_person"]] == ["`tillstream run` is not at work on this warehouse."]
    assert datetime.fromisoformat(found["complete_at"]) > began
    again = tillstream("demo", "--keep", str(kept), directory=server_directory)
    assert again.returncode == 1
    assert "holds a chain already" in again.stderr


def test_ctrl_c_stops_everything(server_directory: Path) -> None:
    """Exit code 130; no server is left, nor the temporary directory."""
    temporary = server_directory / "tmp"
    temporary.mkdir()
    temporary.chmod(0o711)
    process = subprocess.Popen(
        [str(TILLSTREAM), "demo", "--seconds", "60"],
        cwd=server_directory,
        env={**environment(), "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr
        for line in process.stderr:
            if "the tills open" in line:
                break
        time.sleep(1)
        servers = psutil.Process(process.pid).children(recursive=True)
        assert servers
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert not psutil.wait_procs(servers, timeout=5)[1]
        assert not list(temporary.glob("tillstream-demo-*"))
    finally:
        process.kill()
        process.communicate()
