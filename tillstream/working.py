"""Lanes from Kafka and a worker put together, for `work`."""

import logging
import time
from collections.abc import Callable

from conflict.policy import Policy
from connectors.kafka_lanes import KafkaLanes
from sinks.batch import Committed
from sinks.lane_topics import LaneRefusals
from sinks.policy_versions import version_in_force
from sinks.row_codec import Shapes
from sinks.warehouse import Warehouse
from sinks.worker import Worker
from tillstream.config import Config
from tillstream.errors import TillstreamError
from tillstream.policies import shapes_in_force

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
WAITING = "waiting for `tillstream run` to put the policies in force"
CONNECTING = "joining the other workers in Kafka"


class Working:
    """One worker of the group. The stores are those whose lanes there are; `run` makes these."""

    def __init__(
        self,
        config: Config,
        policy: Policy,
        warehouse: Warehouse,
        *,
        on_commit: Callable[[Committed], None] = lambda committed: None,
        lanes: type[KafkaLanes] = KafkaLanes,
    ) -> None:
        assert config.capture is not None
        self._capture, self._config, self._policy, self._warehouse = config.capture, config, policy, warehouse
        self._refusals = LaneRefusals(warehouse)
        warehouse.check_version()
        self._on_commit, self._lanes = on_commit, lanes
        self._has_told = False
        self._worker: Worker | None = None
        self._begins = CONNECTING

    def why_not_ready(self) -> str:
        """Empty if it is at work."""
        return self._begins if self._worker is None else self._worker.trouble

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Until told to stop; before `run` has put the policies in force there is nothing to do."""
        while self._must_wait():
            if should_stop():
                return
            time.sleep(LOOK_SECONDS)
        lanes = self._lanes(self._capture, on_refusal=self._note)

        def stop() -> bool:
            if should_stop():
                lanes.drain()
                return True
            return False

        try:
            self._worker = Worker(
                self._warehouse, lanes, self._in_force(), in_force=self._in_force, on_commit=self._on_commit
            )
            self._worker.run(stop)
        finally:
            lanes.close()

    def _must_wait(self) -> bool:
        with self._warehouse.transaction() as tx:
            waits = bool(self._policy.tables) and version_in_force(tx) is None
        self._begins = WAITING if waits else CONNECTING
        if waits and not self._has_told:
            log.info(WAITING)
            self._has_told = True
        return waits

    def _in_force(self) -> Shapes:
        return shapes_in_force(self._warehouse, self._config, self._policy)

    def _note(self, store: str, error: TillstreamError) -> None:
        try:
            self._refusals.note(store, str(error))
        except TillstreamError as away:  # it is refused again when the lane is looked at next
            log.debug("store %s: could not note why its lane stands still: %s", store, away)
