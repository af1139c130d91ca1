"""A chain whose stores are captured by Kafka Connect, with workers of their own processes."""

import itertools
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition
from harness import Chain

from connectors.connect import Connect
from connectors.kafka_names import KafkaNames, names_of
from connectors.topics import Topics
from tillstream import processes
from tillstream.config import KafkaCapture
from tillstream.pipeline import Pipeline
from tillstream.rehearsal.kafka import KafkaServers
from tillstream.rehearsal.mysql import MySQLServer
from tillstream.rehearsal.workers import Workers

_numbers = itertools.count(1)
POLICIES = """\
version: 1
tables:
  members:
    scope: shared
    key: {phone: digits}
    columns: {points: {rule: sum}, "*": {rule: latest}}
"""


class KafkaChain(Chain):
    """`run` is in this process, as in every chain of the tests; the workers are not.

    Stores of two chains have different ids: Connect's JVM has one set of measurements a name, and waits a minute.
    """

    def __init__(
        self,
        directory: Path,
        warehouse_url: str,
        stores: Mapping[str, MySQLServer],
        *,
        kafka: KafkaServers,
        workers: int = 1,
        capture: str = "",
        settings: str = "",
        **options: Any,
    ) -> None:
        """`capture` is more of what tillstream.yaml says of Kafka, as YAML within braces."""
        prefix = f"test-{os.getpid()}-{next(_numbers)}"  # topics, connectors and a group of its own
        places = f"kafka: '{kafka.broker.address}', connect: '{kafka.connect.url}', prefix: {prefix}"
        settings += f"warehouse: '{warehouse_url}'\ncapture: {{{places}{', ' if capture else ''}{capture}}}\n"
        settings += "policies: policies.yaml\n" if options.get("policies") else ""  # the workers read the file
        super().__init__(directory, warehouse_url, stores, settings=settings, **options)
        processes.hand_over(directory / "secrets")  # Kafka Connect reads them itself
        self.kafka = kafka
        self.workers = Workers(directory / "tillstream.yaml", directory / "workers", workers)

    def start_run(self) -> None:
        self.pipeline = Pipeline(self.config, self.policy, self.warehouse, probe_seconds=self._probe_seconds)
        self.pipeline.start()

    def start(self) -> None:
        self.start_run()
        self.workers.start()
        self._wait(self._snapshots_done, list(self.stores))

    def _wait(self, reached: Callable[[], bool], stores: Collection[str]) -> None:
        try:
            super()._wait(reached, stores)
        except AssertionError as error:
            logs = [processes.last_lines(each, 30) for each in sorted(self.workers.directory.glob("*.log"))]
            raise AssertionError("\n".join([str(error), *logs])) from error

    def stop(self) -> None:
        """The workers and `run`; connectors go on."""
        self.workers.stop()
        self.workers.processes.clear()
        super().stop()

    def close(self) -> None:
        try:
            self.stop()
            for store in self.stores:
                for name in self.connectors(store):
                    self.connect.delete(name)
        finally:
            super().close()

    @property
    def capture(self) -> KafkaCapture:
        assert self.config.capture is not None
        return self.config.capture

    @property
    def names(self) -> KafkaNames:
        return names_of(self.capture)

    @property
    def connect(self) -> Connect:
        return Connect(self.capture.connect)

    def connectors(self, store: str) -> list[str]:
        parsed = {name: self.names.parse_connector(name) for name in self.connect.connectors()}
        return [name for name, found in parsed.items() if found is not None and found[0] == store]

    def records(self, store: str) -> list[Message]:
        """All that the lane's topic holds now, from its first record."""
        topic = self.names.lane(store)
        state = Topics(self.capture).look([topic])[topic]
        consumer = Consumer({**self.capture.client_properties(), "group.id": "test", "enable.auto.commit": False})
        try:
            consumer.assign([TopicPartition(topic, 0, state.low)])
            found: list[Message] = []
            while not found or (found[-1].offset() or 0) < state.high - 1:
                found += consumer.consume(1000, 0.2)
            return found
        finally:
            consumer.close()
