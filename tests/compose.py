"""docker/compose.yaml as its tests read it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def together_with(name: str) -> set[str]:
    """The services that can reach this one by its name."""
    networks = set(SERVICES[name]["networks"])
    return {other for other, service in SERVICES.items() if networks & set(service["networks"])}


def require_success(tool: str, *arguments: str | Path) -> None:
    done = subprocess.run([Path(sys.executable).parent / tool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
