"""Servers that tests want and a machine cannot have."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WANTS = {
    "Prometheus": ("apt-get", "tests/integration/test_alert_rules.py::test_the_rules_are_valid"),
    "Kafka": ("mvn", "tests/integration/test_kafka.py"),
}


@pytest.mark.parametrize("server", WANTS)
def test_a_desk_without_it_leaves_its_tests_out_and_says_why(server: str, server_directory: Path) -> None:
    """Nothing failed there: pytest's last lines name what is missing."""
    done = _pytest(server, server_directory, {})
    assert done.returncode == 0, done.stdout
    assert re.search(f"^SKIPPED .*no {server} here: .*{WANTS[server][0]}", done.stdout, re.MULTILINE), done.stdout
    assert "passed" not in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("server", WANTS)
def test_in_ci_it_is_an_error(server: str, server_directory: Path) -> None:
    """There all tests are to run."""
    done = _pytest(server, server_directory, {"CI": "true"})
    assert done.returncode == 1, done.stdout
    assert "RefusedError" in done.stdout
    assert "skipped" not in done.stdout.splitlines()[-1]


def _pytest(server: str, directory: Path, variables: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """With an empty cache, and neither apt-get nor mvn to fill it."""
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS", "JAVA_HOME")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-x", WANTS[server][1]],
        cwd=ROOT, env={**kept, "PATH": str(directory), "TILLSTREAM_CACHE": str(directory / "cache"), **variables},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
