"""`tillstream demo --via kafka` as a person starts it, and the README's words on the way past one machine."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from invocation import AGREED_KEYS

from tillstream.config import load_config
from tillstream.rehearsal.kafka import KafkaServers

README = Path(__file__).parents[2] / "README.md"
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language} past-one-machine\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.timeout(300)
def test_the_day_by_kafka_ends_without_a_difference(
    tillstream: Command, server_directory: Path, kafka: KafkaServers
) -> None:
    """The README's command: real Kafka, real Connect, two workers, and the same JSON as embedded. `kafka` is asked for
    because without it this is left out as its other tests are; the demo starts its own."""
    _, *words = block("sh").split()
    arguments = (*words, "--stores", "3", "--seconds", "20", "--output", "json")
    done = tillstream(*arguments, directory=server_directory, timeout_seconds=280)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert list(said)[: len(AGREED_KEYS)] == AGREED_KEYS
    assert (said["via"], said["workers"], said["faults"]) == ("kafka", 2, [])
    assert said["events"] == said["applied"] == sum(store["events"] for store in said["stores"]) > 1000
    assert (said["verify"]["differences"], said["verify"]["set_aside"], said["dead_letters"]) == (0, 0, 0)
    assert said["verify"]["tables"] == 24
    assert all(store["state"] == "live" for store in said["stores"])
    assert 0 < said["latency_ms"]["p50"] <= said["latency_ms"]["p99"]
    assert said["kafka_mb"] > 100


def test_two_lines_more_are_a_configuration(tmp_path: Path) -> None:
    """What the README adds to tillstream.yaml is accepted, beside what a chain has there anyway."""
    file = tmp_path / "tillstream.yaml"
    rest = "defaults: {user: u, password: {env: P}, database: pos}\nstores: [{id: s1, host: 10.0.1.5}]\n"
    file.write_text(block("yaml") + rest)
    capture = load_config(file).capture
    assert capture is not None
    assert (capture.kafka, capture.connect) == ("broker:9092", "http://connect:8083")
