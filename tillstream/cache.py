"""What is fetched once and kept: each entry appears whole or not at all, whoever asks at the same time."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tillstream import processes
from tillstream.errors import RefusedError


def cache_root() -> Path:
    """The directory of ours that outlives a run; made on the way."""
    chosen = os.environ.get("TILLSTREAM_CACHE")
    if chosen:
        root = Path(chosen).expanduser().absolute()
        processes.make_directory(root)
        return root
    return next((path for path in _usual_places() if _can_be_made(path)), None) or _in_temporary_directory()


def cached(name: str, fill: Callable[[Path], None]) -> Path:
    """The entry's directory; `fill` is called with an empty one where there is none yet.

    Two processes at once fill it once, and one that dies half-way leaves nothing that counts.
    """
    root = cache_root()
    entry = root / name
    if entry.exists():
        return entry
    with _locked(root / f".{name}.lock"):
        if not entry.exists():
            _fill_into(entry, fill)
    return entry


def _fill_into(entry: Path, fill: Callable[[Path], None]) -> None:
    prefix = f".{entry.name}.draft-"
    for abandoned in entry.parent.glob(f"{prefix}*"):  # we hold the lock, so nobody works in them any more
        shutil.rmtree(abandoned, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=prefix, dir=entry.parent))
    try:
        fill(draft)
        _let_everybody_read(draft)
        os.rename(draft, entry)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _let_everybody_read(directory: Path) -> None:
    """What root fetched is run by the unprivileged user servers run as."""
    directory.chmod(0o755)
    for path in directory.rglob("*"):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _usual_places() -> list[Path]:
    if os.geteuid() == 0:
        return [Path("/var/cache/tillstream")]
    xdg = os.environ.get("XDG_CACHE_HOME")
    home = os.environ.get("HOME")
    return [
        *([Path(xdg) / "tillstream"] if xdg else []),
        *([Path(home) / ".cache" / "tillstream"] if home else []),
    ]


def _can_be_made(path: Path) -> bool:
    try:
        processes.make_directory(path)
    except (OSError, RefusedError):
        return False
    return os.access(path, os.W_OK | os.X_OK)


def _in_temporary_directory() -> Path:
    path = Path(tempfile.gettempdir()) / f"tillstream-cache-{os.geteuid()}"
    processes.make_directory(path)
    if path.lstat().st_uid != os.geteuid():
        # In a directory everybody writes to somebody else may have laid it out, with programs of theirs.
        raise RefusedError(f"{path} belongs to another user; set TILLSTREAM_CACHE to a directory of yours")
    return path
