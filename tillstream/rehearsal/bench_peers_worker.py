"""A worker on lanes whose records bring their schemas, which Tillstream's own connectors leave out."""

import signal
import sys
import threading
from pathlib import Path
from typing import Any

from conflict.policy import EMPTY_POLICY
from connectors.kafka_lanes import KafkaLanes
from tillstream import logs
from tillstream.config import load_config
from tillstream.envelope import LaneBatch
from tillstream.opening import open_warehouse
from tillstream.rehearsal.bench_peers_topics import without_schema
from tillstream.working import Working


class LanesWithSchemas(KafkaLanes):
    """Takes the schema off each record before it is decoded."""

    def _batch(self, lane: Any, values: list[bytes], next_offset: int) -> LaneBatch:
        return super()._batch(lane, [without_schema(value) for value in values], next_offset)


def main() -> None:
    logs.configure(as_json=False)
    settings = load_config(Path(sys.argv[1]))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    with open_warehouse(settings) as warehouse:
        Working(settings, EMPTY_POLICY, warehouse, lanes=LanesWithSchemas).run(stop.is_set)


if __name__ == "__main__":
    main()
