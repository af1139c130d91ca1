"""A real Prometheus and a real Alertmanager beside a chain, and what they make of what happens to it."""

import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from types import TracebackType
from typing import Self

from tillstream.rehearsal.prometheus import Alert, Monitoring

LOOK_SECONDS = 0.05
MOST_SECONDS = 60.0
MOST_SILENT_SECONDS = 20.0  # what was raised and over meanwhile was seen by nobody

Raised = tuple[str, str]  # alert, and the store or "" where it is of none


class Alarm:
    """Notes every alert that was raised, until it is told to begin anew; what is held back by another one was not.

    Leaving it fails where Alertmanager did not answer all along: that nothing was raised would mean nothing.
    """

    def __init__(self, monitoring: Monitoring) -> None:
        self.monitoring = monitoring
        self.now: dict[Raised, Alert] = {}
        self.ever: dict[Raised, Alert] = {}
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="alarm", daemon=True)
        self._answered_at = self._silent_seconds = 0.0
        self._failure: Exception | None = None

    def forget(self) -> None:
        with self._lock:
            self.ever = {}

    def wait_for(self, wanted: Callable[[], bool], what: str, within: float = MOST_SECONDS) -> None:
        deadline = time.monotonic() + within
        while not wanted():
            assert time.monotonic() < deadline, f"not within {within:.0f} s: {what}; raised: {sorted(self.now)}"
            time.sleep(LOOK_SECONDS)

    def raised_by(self, fault: Callable[[], object], alert: str, store: str = "") -> float:
        """Seconds from the fault's begin to the alert in Alertmanager."""
        began = time.monotonic()
        fault()
        self.wait_for(lambda: (alert, store) in self.now, f"{alert} {store}")
        return time.monotonic() - began

    def over_by(self, mend: Callable[[], object], within: float = MOST_SECONDS) -> float:
        """Seconds until nothing is raised any more."""
        began = time.monotonic()
        mend()
        self.wait_for(lambda: not self.now, "all is over", within)
        return time.monotonic() - began

    def _listen(self) -> None:
        while not self._done.wait(LOOK_SECONDS):
            try:
                found = self.monitoring.alerts()
            except (OSError, HTTPException, ValueError) as error:  # not there, cut short, or no JSON
                self._failure = error
            else:
                self._note(found)

    def _note(self, found: list[Alert]) -> None:
        with self._lock:
            self.now = {(each.name, each.labels.get("store", "")): each for each in found if not each.is_held_back}
            self.ever = {**self.now, **self.ever}
            self._answered()

    def _answered(self) -> None:
        before, self._answered_at = self._answered_at, time.monotonic()
        self._silent_seconds = max(self._silent_seconds, self._answered_at - before)

    def __enter__(self) -> Self:
        self._answered_at = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_listening = self._thread.is_alive()
        self._done.set()
        self._thread.join()
        silent = max(self._silent_seconds, time.monotonic() - self._answered_at)
        if kind is None:
            assert is_listening, "nobody listened to Alertmanager any more"
            assert silent < MOST_SILENT_SECONDS, f"Alertmanager was silent for {silent:.0f} s: {self._failure!r}"
