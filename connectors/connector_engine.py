"""One store's connector as its supervisor knows it: started, watched, stopped, as an engine in this process is."""

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from connectors.beginning import Beginning
from connectors.connect import Connect, cause
from connectors.connector_options import HISTORY_TOPIC, Tag, connector_options
from connectors.engine_failures import engine_failure
from connectors.kafka_names import KafkaNames, names_of
from connectors.preflight import ServerFacts
from connectors.topics import Topics
from tillstream.config import Config, Store
from tillstream.envelope import file_number
from tillstream.errors import RefusedError, TillstreamError, TransientError

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
POSITION_SECONDS = 10.0
APPEAR_SECONDS = 30.0  # a new connector is in the list only once all workers know of it


class Beginnings(Protocol):
    """The warehouse's part: see sinks/engine_offsets.py."""

    def generation(self, store: str) -> int: ...

    def prepare(self, store: str, offset: dict[str, Any] | None, *, oldest_file: int) -> Beginning: ...


class ConnectorCapture:
    """Makes connectors of Kafka Connect, and the topics that they write to."""

    def __init__(
        self, config: Config, beginnings: Beginnings, refusal: Callable[[str], str | None] = lambda store: None
    ) -> None:
        """`refusal` is why a worker has stopped reading a store's lane, if one has."""
        assert config.capture is not None
        self._config, self._beginnings, self._refusal = config, beginnings, refusal
        self._names = names_of(config.capture)
        self.connect, self._topics = Connect(config.capture.connect), Topics(config.capture)

    def prepare(self, store: str, *, oldest_file: int) -> Beginning:
        name = self._names.connector(store, self._beginnings.generation(store))
        offset = self.connect.offset(name) if name in self.connect.connectors() else None
        return self._beginnings.prepare(store, offset, oldest_file=oldest_file)

    def engine(self, store: Store, facts: ServerFacts, beginning: Beginning) -> "ConnectorEngine":
        tag = Tag(epoch=beginning.epoch, generation=beginning.generation, schema_only=beginning.schema_only)
        return ConnectorEngine(
            store.id,
            beginning.generation,
            self._names,
            connector_options(self._config, store, facts, tag),
            self.connect,
            self._topics,
            partial(self._refusal, store.id),
        )


class ConnectorEngine:
    """The connector goes on without us: `leave` lets it."""

    def __init__(
        self,
        store: str,
        generation: int,
        names: KafkaNames,
        options: dict[str, str],
        connect: Connect,
        topics: Topics,
        refusal: Callable[[], str | None],
    ) -> None:
        self.store, self.name, self._names = store, names.connector(store, generation), names
        self._options, self._connect, self._topics, self._refusal = options, connect, topics, refusal
        self._failure: TillstreamError | None = None
        self._stands, self._asked_at = (0, 0), float("-inf")
        self._is_there, self._appears_by = False, 0.0

    def start(self) -> None:
        """Those of earlier generations end first: two may never read one log into one lane."""
        self._topics.ensure([self._names.lane(self.store), self._options[HISTORY_TOPIC]])
        for earlier in self._connect.connectors():
            if earlier != self.name and (self._names.parse_connector(earlier) or ("", 0))[0] == self.store:
                self._connect.delete(earlier)
        self._topics.delete(
            [each for each in self._topics.histories(self.store) if each != self._options[HISTORY_TOPIC]]
        )
        present = self._connect.connectors().get(self.name)
        if present is None or differing(present.config, self._options):
            self._connect.configure(self.name, self._options)
        self._appears_by = time.monotonic() + APPEAR_SECONDS
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
            self._is_there = self._is_there or present is not None
            if present is None and (self._is_there or time.monotonic() > self._appears_by):
                self._failure = TransientError(f"store {self.store}: its connector {self.name} is gone from Connect")
                return True
            if present is not None and present.has_failed:
                self._failure = engine_failure(self.store, cause(present.trace))
                return True
            if not self._topics.has(lane := self._names.lane(self.store)):
                self._failure = TransientError(f"store {self.store}: its lane's topic {lane} is gone")
                return True
            if (refused := self._refusal()) is not None:
                self._failure = RefusedError(refused)
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

    def position(self, reached: tuple[int, int]) -> tuple[int, int]:
        """What it has captured waits in the lane: workers that are slow, or none, are no reason to start it again."""
        if time.monotonic() - self._asked_at >= POSITION_SECONDS:
            self._asked_at = time.monotonic()
            offset = self._connect.offset(self.name)
            self._stands = reached if offset is None else (file_number(str(offset["file"])), int(offset["pos"]))
        return self._stands

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def differing(present: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """The keys in which a connector's configuration is not the one that is wanted; `name` is Connect's own."""
    held = {key: value for key, value in present.items() if key != "name"}
    return sorted(key for key in held.keys() | wanted.keys() if held.get(key) != wanted.get(key))
