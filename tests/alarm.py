"""A real Prometheus and a real Alertmanager beside a chain, and what they make of what happens to it."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tillstream.rehearsal.prometheus import Alert, Monitoring

LOOK_SECONDS = 0.05
MOST_SECONDS = 60.0

Raised = tuple[str, str]  # alert, and the store or "" where it is of none


class Alarm:
    """Notes every alert that was raised, until it is told to begin anew; what is held back by another one was not."""

    def __init__(self, monitoring: Monitoring) -> None:
        self.monitoring = monitoring
        self.now: dict[Raised, Alert] = {}
        self.ever: dict[Raised, Alert] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="alarm", daemon=True)

    def forget(self) -> None:
        self.ever = {}

    def wait_for(self, wanted: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + MOST_SECONDS
        while not wanted():
            assert time.monotonic() < deadline, f"not within {MOST_SECONDS:.0f} s: {what}; raised: {sorted(self.now)}"
            time.sleep(LOOK_SECONDS)

    def raised_by(self, fault: Callable[[], object], alert: str, store: str = "") -> float:
        """Seconds from the fault's begin to the alert in Alertmanager."""
        began = time.monotonic()
        fault()
        self.wait_for(lambda: (alert, store) in self.now, f"{alert} {store}")
        return time.monotonic() - began

    def over_by(self, mend: Callable[[], object]) -> float:
        """Seconds until nothing is raised any more."""
        began = time.monotonic()
        mend()
        self.wait_for(lambda: not self.now, "all is over")
        return time.monotonic() - began

    def _listen(self) -> None:
        while not self._done.wait(LOOK_SECONDS):
            with suppress(OSError):
                found = self.monitoring.alerts()
                self.now = {(each.name, each.labels.get("store", "")): each for each in found if not each.is_held_back}
                self.ever = {**self.now, **self.ever}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
