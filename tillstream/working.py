"""Lanes from Kafka and a worker put together, for `work`."""

import logging
from collections.abc import Callable

from conflict.policy import Policy
from connectors.kafka_lanes import KafkaLanes
from sinks.batch import Committed
from sinks.lane_topics import LaneRefusals
from sinks.row_codec import Shapes
from sinks.warehouse import Warehouse
from sinks.worker import Worker
from tillstream.config import Config
from tillstream.errors import TillstreamError
from tillstream.policies import shapes_in_force

log = logging.getLogger(__name__)


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
        self._config, self._policy, self._warehouse = config, policy, warehouse
        self._refusals = LaneRefusals(warehouse)
        warehouse.check_version()
        self._lanes = lanes(config.capture, on_refusal=self._note)
        self._worker = Worker(warehouse, self._lanes, self._in_force(), in_force=self._in_force, on_commit=on_commit)

    def run(self, should_stop: Callable[[], bool]) -> None:
        def stop() -> bool:
            if should_stop():
                self._lanes.drain()
                return True
            return False

        try:
            self._worker.run(stop)
        finally:
            self._lanes.close()

    def _in_force(self) -> Shapes:
        return shapes_in_force(self._warehouse, self._config, self._policy)

    def _note(self, store: str, error: TillstreamError) -> None:
        try:
            self._refusals.note(store, str(error))
        except TillstreamError as away:  # it is refused again when the lane is looked at next
            log.debug("store %s: could not note why its lane stands still: %s", store, away)
