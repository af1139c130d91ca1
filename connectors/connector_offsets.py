"""How far Kafka Connect has read each store's log, as it notes it itself: a quiet log moves without records for us.

Debezium's heartbeat records do not say where in the log they stand; the topic in which Connect keeps its offsets does.
"""

import json
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from connectors.kafka_names import names_of
from connectors.topics import REQUEST_SECONDS, broker_error
from tillstream.config import KafkaCapture
from tillstream.envelope import Resume

MOST_RECORDS = 10_000


@dataclass(slots=True)
class _Noted:
    """`end`: the lane's end when that was seen; all that Connect had captured by then lies before it."""

    generation: int
    resume: Resume
    end: int | None = None


class ConnectorOffsets:
    """The newest offset of each store's connector."""

    def __init__(self, capture: KafkaCapture) -> None:
        self._topic, self._names = capture.offsets_topic, names_of(capture)
        self._noted: dict[str, _Noted] = {}
        self._is_assigned = False
        self._consumer = Consumer(
            {
                **capture.client_properties(),
                "group.id": f"{capture.prefix}-offsets",  # the driver wants one; nothing is committed under it
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
                "log_level": 0,
            }
        )

    def read(self) -> None:
        """Take in what has been noted since."""
        try:
            if not self._is_assigned:
                self._assign()
            messages = self._consumer.consume(MOST_RECORDS, 0)
        except KafkaException as error:
            raise broker_error(error, f"read {self._topic}") from error
        for message in messages:
            if message.error() is None:
                self._take(message)

    def is_new(self, store: str) -> bool:
        noted = self._noted.get(store)
        return noted is not None and noted.end is None

    def mark(self, store: str, end: int) -> None:
        self._noted[store].end = end

    def reached(self, store: str, generation: int, next_offset: int) -> Resume | None:
        """Once: where the log was read to, if the lane has brought all that was captured by then."""
        noted = self._noted.get(store)
        if noted is None or noted.generation != generation or noted.end is None or next_offset < noted.end:
            return None
        del self._noted[store]
        return noted.resume

    def close(self) -> None:
        self._consumer.close()

    def _assign(self) -> None:
        """Connect makes the topic when it starts for the first time, maybe after us."""
        found = self._consumer.list_topics(self._topic, timeout=REQUEST_SECONDS).topics[self._topic]
        if found.error is None:
            self._consumer.assign([TopicPartition(self._topic, each, OFFSET_BEGINNING) for each in found.partitions])
            self._is_assigned = True

    def _take(self, message: Message) -> None:
        key, value = message.key(), message.value()
        if key is None:
            return
        connector = json.loads(key)[0]
        named = self._names.parse_connector(connector)
        if named is None:
            return
        store, generation = named
        noted = self._noted.get(store)
        if noted is not None and noted.generation > generation:
            return
        if value is None:
            self._noted.pop(store, None)
        else:
            self._noted[store] = _Noted(generation, resume_of(json.loads(value)))


def resume_of(offset: dict[str, Any]) -> Resume:
    return Resume(file=str(offset.get("file", "")), pos=int(offset.get("pos", 0)), in_snapshot="snapshot" in offset,
                  raw=offset)  # fmt: skip
