"""One store's connector as its supervisor knows it: started, watched, stopped, as an engine in this process is."""

import logging
import time
from collections.abc import Mapping

from connectors.connect import Connect, cause
from connectors.engine_failures import engine_failure
from tillstream.errors import TillstreamError, TransientError

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 30.0  # between the connector's being there and its task's


class ConnectorEngine:
    """The connector goes on without us: `leave` lets it."""

    def __init__(self, store: str, name: str, options: dict[str, str], connect: Connect) -> None:
        self.store, self.name = store, name
        self._options, self._connect = options, connect
        self._failure: TillstreamError | None = None

    def start(self) -> None:
        present = self._connect.connectors().get(self.name)
        if present is None or differing(present.config, self._options):
            self._connect.configure(self.name, self._options)
        if present is None:
            return
        if present.state in ("STOPPED", "PAUSED"):
            self._connect.resume(self.name)
        elif present.has_failed:
            self._connect.restart(self.name)

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it has failed by then."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            present = self._connect.connectors().get(self.name)
            if present is None:
                self._failure = TransientError(f"store {self.store}: its connector {self.name} is gone from Connect")
                return True
            if present.has_failed:
                self._failure = engine_failure(self.store, cause(present.trace))
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(LOOK_SECONDS, left))

    def close(self) -> None:
        try:
            self._connect.stop(self.name)
        except TillstreamError as error:
            log.warning("store %s: its connector could not be stopped: %s", self.store, error)

    def leave(self) -> None:
        """We end; the connector does not."""

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def differing(present: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """The keys in which a connector's configuration is not the one that is wanted; `name` is Connect's own."""
    held = {key: value for key, value in present.items() if key != "name"}
    return sorted(key for key in held.keys() | wanted.keys() if held.get(key) != wanted.get(key))
