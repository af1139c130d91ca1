"""Real servers as child processes: never as root, out of reach of Ctrl-C, gone with us if asked."""

import ctypes
import os
import pwd
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypedDict

from tillstream.errors import RefusedError

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)  # loaded here: nothing may be loaded between fork and exec


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The system user a server runs as."""

    name: str
    uid: int
    gid: int


@cache
def server_account() -> Account | None:
    """`nobody` when we are root (neither mysqld nor postgres agrees to run as root), else None: ourselves."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def spawn(
    argv: Sequence[str | Path],
    *,
    directory: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
    die_with_parent: bool = True,
    as_ourselves: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a server as the unprivileged user, in a session of its own, its output appended to `log`."""

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                [str(arg) for arg in argv],
                cwd=directory,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # runs after user= has taken effect: a change of user would clear the signal again
                preexec_fn=_die_with(os.getpid()) if die_with_parent else None,
                **(_Identity() if as_ourselves else _identity()),
            )

    return _in_lasting_thread(start) if die_with_parent else start()


def run(
    argv: Sequence[str | Path], *, directory: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a server's tool to its end as the unprivileged user; stdout and stderr come together as text."""
    return subprocess.run(
        [str(arg) for arg in argv],
        cwd=directory,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        check=False,
        **_identity(),
    )


def make_directory(directory: Path) -> None:
    """Make a directory the server's user reaches; raises RefusedError where a parent keeps it out."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        path.chmod(0o755)  # whatever the umask says: the server's user has to pass through
    if not reachable(directory):
        raise RefusedError(
            f"{directory} cannot be entered by the user {account_name()}, as whom servers run; choose "
            "a directory below one everybody may enter (chmod o+x its parents), or start as another user"
        )


def reachable(directory: Path) -> bool:
    """Whether the server's user may enter the directory. Asked of the kernel: modes alone miss ACLs."""
    if server_account() is None:
        return os.access(directory, os.X_OK)
    question = ["/bin/sh", "-c", 'test -x "$1"', "sh", str(directory)]
    asked = subprocess.run(question, cwd="/", check=False, **_identity())
    return asked.returncode == 0


def hand_over(path: Path) -> None:
    """Give a file, or a directory and all in it, to the server's user."""
    account = server_account()
    if account is None:
        return
    os.chown(path, account.uid, account.gid, follow_symlinks=False)
    for parent, directories, files in os.walk(path):
        for name in (*directories, *files):
            os.chown(os.path.join(parent, name), account.uid, account.gid, follow_symlinks=False)


def account_name() -> str:
    account = server_account()
    return account.name if account else f"with the id {os.geteuid()}"


def last_lines(log: Path, count: int = 12, *, without: str = "\0") -> str:
    """The end of a server's log, for an error message; `without` marks the lines that only chat."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return ""
    lines = [line for line in text.splitlines() if line and without not in line]
    return "\n".join(f"  {line}" for line in lines[-count:])


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def _identity() -> _Identity:
    account = server_account()
    return _Identity(user=account.uid, group=account.gid, extra_groups=[]) if account else _Identity()


def _die_with(parent: int) -> Callable[[], None]:
    def ask_the_kernel() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and here, so no signal will come
            os._exit(1)

    return ask_the_kernel


_requests: queue.SimpleQueue[tuple[Future[subprocess.Popen[bytes]], Callable[[], subprocess.Popen[bytes]]]]
_requests = queue.SimpleQueue()
_thread_lock = threading.Lock()
_thread: threading.Thread | None = None


def _in_lasting_thread(start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Fork from a thread that lives as long as the process.

    To the kernel the parent that PR_SET_PDEATHSIG watches is the forking *thread*: a server started by a
    thread pool would be killed the moment the pool is shut down.
    """
    global _thread
    with _thread_lock:
        if _thread is None or not _thread.is_alive():  # a forked child of ours has no such thread any more
            _thread = threading.Thread(target=_serve, name="process-starter", daemon=True)
            _thread.start()
    answer: Future[subprocess.Popen[bytes]] = Future()
    _requests.put((answer, start))
    return answer.result()


def _serve() -> None:
    while True:
        answer, start = _requests.get()
        try:
            answer.set_result(start())
        except BaseException as error:
            answer.set_exception(error)
