"""One store's connector as its supervisor knows it: started, watched, stopped, as an engine in this process is."""

import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

from connectors.beginning import Beginning
from connectors.connect import Connect, cause
from connectors.connector_options import HISTORY_TOPIC, Tag, connector_options
from connectors.connector_plan import Action, Found, Step, Wanted, differing, to_run
from connectors.engine_failures import engine_failure, with_remedy
from connectors.kafka_names import names_of
from connectors.preflight import ServerFacts
from connectors.topics import Topics
from tillstream.config import Config, KafkaCapture, Store
from tillstream.envelope import file_number
from tillstream.errors import RefusedError, TillstreamError, TransientError

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
POSITION_SECONDS = 10.0
APPEAR_SECONDS = 30.0  # a new connector is in the list only once all workers know of it


class Captured(Protocol):
    @property
    def generation(self) -> int: ...

    @property
    def goes_on(self) -> bool: ...

    @property
    def beginning(self) -> Beginning: ...


class Beginnings(Protocol):
    """The warehouse's part: see sinks/engine_offsets.py."""

    def captured(self, store: str) -> Captured: ...

    def look(self, store: str, offset: dict[str, Any] | None, *, oldest_file: int) -> Beginning: ...

    def prepare(self, store: str, offset: dict[str, Any] | None, *, oldest_file: int) -> Beginning: ...


class ConnectorPlaces:
    """Kafka and Kafka Connect: what there is of each store, and the steps that change it."""

    def __init__(self, capture: KafkaCapture) -> None:
        self.connect, self.topics, self.names = Connect(capture.connect), Topics(capture), names_of(capture)
        self.rested: set[str] = set()  # connectors that were stopped here, which their list may not show yet

    def found(self, stores: Iterable[str] | None = None) -> dict[str, Found]:
        """By store: of all that anything is found of, or of these."""
        wanted = None if stores is None else set(stores)
        connectors: dict[str, dict[str, Any]] = {}
        for name, each in self.connect.connectors().items():
            named = self.names.parse_connector(name)
            if named is not None and (wanted is None or named[0] in wanted):
                connectors.setdefault(named[0], {})[name] = each
        topics = self.topics.of_stores(wanted)
        return {
            store: Found(
                connectors=connectors.get(store, {}),
                topics=topics.get(store, {}),
                histories=frozenset(each for each in topics.get(store, ()) if self.names.is_history(each)),
            )
            for store in sorted(connectors.keys() | topics.keys() | (wanted or set()))
        }

    def take(self, steps: Iterable[Step], wanted: Wanted | None = None) -> None:
        """`wanted` is what steps that create or change something are about."""
        steps = list(steps)
        topics = [each.name for each in steps if each.action in (Action.MAKE_TOPIC, Action.SET_TOPIC)]
        if topics:
            self.topics.ensure(topics)
        for step in steps:
            match step.action:
                case Action.MAKE_TOPIC | Action.SET_TOPIC:
                    pass  # all at once, above
                case Action.REMOVE:
                    self.connect.delete(step.name)
                case Action.DELETE_TOPIC:
                    self.topics.delete([step.name])
                case Action.CREATE | Action.CHANGE:
                    assert wanted is not None
                    self.connect.configure(step.name, wanted.options)
                case Action.RESUME:
                    self.resume(step.name)
                case Action.RESTART:
                    self.connect.restart(step.name)
                case Action.STOP:
                    self.stop(step.name)

    def create_stopped(self, wanted: Wanted) -> None:
        self.rested.add(wanted.name)
        self.connect.create_stopped(wanted.name, wanted.options)

    def stop(self, name: str) -> None:
        self.rested.add(name)
        self.connect.stop(name)

    def resume(self, name: str) -> None:
        self.connect.resume(name)
        self.rested.discard(name)


class ConnectorCapture:
    """Makes connectors of Kafka Connect, and the topics that they write to."""

    def __init__(
        self, config: Config, beginnings: Beginnings, refusal: Callable[[str], str | None] = lambda store: None
    ) -> None:
        """`refusal` is why a worker has stopped reading a store's lane, if one has."""
        assert config.capture is not None
        self._config, self._beginnings, self._refusal = config, beginnings, refusal
        self.places = ConnectorPlaces(config.capture)

    def prepare(self, store: Store, facts: ServerFacts) -> Beginning:
        offset = self._offset(store, facts)
        return self._beginnings.prepare(store.id, offset, oldest_file=file_number(facts.oldest_file))

    def look(self, store: Store, facts: ServerFacts, found: Found) -> Beginning:
        """What `prepare` would come to, and nothing is written anywhere. Of a connector that is gone it is not known
        whether it could go on: taken as if it could."""
        captured = self._beginnings.captured(store.id)
        name = self.places.names.connector(store.id, captured.generation)
        has_history = self._history(store, captured) in found.topics
        if captured.goes_on and has_history and name not in found.connectors:
            return captured.beginning
        offset = self.places.connect.offset(name) if has_history and name in found.connectors else None
        return self._beginnings.look(store.id, offset, oldest_file=file_number(facts.oldest_file))

    def wanted(self, store: Store, facts: ServerFacts, beginning: Beginning) -> Wanted:
        """RefusedError for a store that cannot be captured, or not in this way."""
        names, topics = self.places.names, self.places.topics
        tag = Tag(epoch=beginning.epoch, generation=beginning.generation, schema_only=beginning.schema_only)
        options = connector_options(self._config, store, facts, tag)
        return Wanted(
            store=store.id,
            name=names.connector(store.id, beginning.generation),
            options=options,
            topics={each: topics.settings(each) for each in (names.lane(store.id), options[HISTORY_TOPIC])},
            anew=beginning.reason,
        )

    def engine(self, store: Store, facts: ServerFacts, beginning: Beginning) -> "ConnectorEngine":
        return ConnectorEngine(self.wanted(store, facts, beginning), self.places, partial(self._refusal, store.id))

    def _offset(self, store: Store, facts: ServerFacts) -> dict[str, Any] | None:
        """Connect keeps where a connector stood when that is deleted, and tells it while there is one of its name.
        Without the history that belongs to it, it is worth nothing."""
        connect, captured = self.places.connect, self._beginnings.captured(store.id)
        name = self.places.names.connector(store.id, captured.generation)
        if not self.places.topics.is_there(self._history(store, captured)):
            return None
        if name not in connect.connectors():
            if not captured.goes_on:
                return None
            log.warning("store %s: its connector %s is gone from Kafka Connect; making it again", store.id, name)
            self.places.create_stopped(self.wanted(store, facts, captured.beginning))
        return connect.offset(name)

    def _history(self, store: Store, captured: Captured) -> str:
        return self.places.names.history(store.id, captured.generation)


class ConnectorEngine:
    """The connector goes on without us: `leave` lets it."""

    def __init__(self, wanted: Wanted, places: ConnectorPlaces, refusal: Callable[[], str | None]) -> None:
        self.store, self.name = wanted.store, wanted.name
        self._wanted, self._places, self._refusal = wanted, places, refusal
        self._connect = places.connect
        self._failure: TillstreamError | None = None
        self._stands, self._asked_at = (0, 0), float("-inf")
        self._is_there, self._appears_by = False, 0.0

    def start(self) -> None:
        found = self._places.found([self.store])[self.store]
        try:
            self._places.take(to_run(self._wanted, found), self._wanted)
            if self.name in self._places.rested:
                self._places.resume(self.name)
        except TillstreamError as error:
            raise with_remedy(self.store, error) from None
        self._appears_by = time.monotonic() + APPEAR_SECONDS

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it has failed by then."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            if (failure := self._look()) is not None:
                self._failure = failure
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(LOOK_SECONDS, left))

    def _look(self) -> TillstreamError | None:
        """What has become of it. All workers of Connect have to hear of a start before all of it shows."""
        present = self._connect.connectors().get(self.name)
        if present is not None and present.has_failed:
            return engine_failure(self.store, cause(present.trace))
        for topic in self._wanted.topics:
            if not self._places.topics.has(topic):
                return TransientError(f"store {self.store}: its topic {topic} is gone from Kafka")
        if (refused := self._refusal()) is not None:
            return RefusedError(refused)
        became = "is gone from Kafka Connect"
        if present is not None:
            changed = ", ".join(each.key for each in differing(present.config, self._wanted.options))
            is_resting = present.state in ("STOPPED", "PAUSED")
            became = f"was changed in Kafka Connect ({changed})" if changed else ""
            became = became or (f"was {present.state.lower()} in Kafka Connect" if is_resting else "")
        if not became:
            self._is_there = True
        elif self._is_there or time.monotonic() > self._appears_by:
            return TransientError(f"store {self.store}: its connector {self.name} {became}")
        return None

    def close(self) -> None:
        try:
            self._places.stop(self.name)
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
