"""The peers that are Python libraries, in a virtual environment of their own: no dependency of Tillstream."""

import logging
import subprocess
import sys
from pathlib import Path

from tillstream.cache import cached
from tillstream.errors import RefusedError

log = logging.getLogger("tillstream.rehearsal")

PACKAGES = ("pathway==0.33.0", "quixstreams==3.28.1", "psycopg2-binary==2.9.13", "orjson==3.13.0")
INSTALL_SECONDS = 900.0


def peers_python() -> Path:
    """The interpreter that has them. RefusedError where they cannot be had."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    names = "-".join(package.replace("==", "-") for package in PACKAGES[:2])
    return cached(f"peers-python{version}-{names}", _fill) / "bin" / "python"


def _fill(draft: Path) -> None:
    log.info("fetching %s by pip (1.6 GB, once) ...", ", ".join(PACKAGES))
    _run([sys.executable, "-m", "venv", str(draft)])
    _run([str(draft / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=INSTALL_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RefusedError(f"Pathway and Quix Streams could not be installed: {error}") from None
    if done.returncode != 0:
        raise RefusedError(f"Pathway and Quix Streams could not be installed: {done.stderr.strip()[-600:]}")
