"""Lanes as topics: one with one partition for each store, made by us; a second one holds how its tables were declared.

Everything that the store's log tells stands in the first, in the log's order: rows, schema changes, TRUNCATE, marks of
transactions, heartbeats. Records age out by time and are never compacted: of a key that changed twice the first change
would be missing, and what is no row would go altogether.
"""

import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from connectors.kafka_names import names_of
from tillstream.config import KafkaCapture
from tillstream.errors import RefusedError, TransientError, UnreachableError

REQUEST_SECONDS = 30.0
LOOK_SECONDS = 5.0  # a worker that waits longer for it holds up what it has
LIST_SECONDS = 5.0
FOREVER = "-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicState:
    id: str
    low: int  # the first offset that is still there
    high: int  # the one that the next record will have


class Topics:
    """What is asked of the broker about topics, for many stores at once."""

    def __init__(self, capture: KafkaCapture) -> None:
        self._capture, self._names = capture, names_of(capture)
        self._admin = AdminClient({**capture.client_properties(), "log_level": 0})
        self._lock = threading.Lock()
        self._listed: frozenset[str] = frozenset()
        self._listed_at = float("-inf")

    def has(self, name: str) -> bool:
        """By a list that is a few seconds old at most, asked for once for all stores."""
        return name in self._recently()

    def is_there(self, name: str) -> bool:
        """Now."""
        return name in self._present_settings([name])

    def ensure(self, wanted: Iterable[str]) -> None:
        """Make the topics that are missing, with their retention; of those that are there, set what differs."""
        wanted = list(wanted)
        present = set(self._list())
        settings = {name: self.settings(name) for name in wanted}
        missing = [name for name in wanted if name not in present]
        made = self._admin.create_topics(
            [
                NewTopic(name, num_partitions=1, replication_factor=self._capture.replication, config=settings[name])
                for name in missing
            ],
            request_timeout=REQUEST_SECONDS,
        ) if missing else {}  # fmt: skip
        for name, future in made.items():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise broker_error(error, f"make the topic {name}") from error
        self._adjust({name: settings[name] for name in wanted if name in present})
        self._forget()

    def look(self, names: Collection[str]) -> dict[str, TopicState]:
        """Of those that there are."""
        if not names:
            return {}
        ids = self._ids(names)
        partitions = {name: TopicPartition(name, 0) for name in ids}
        low = self._offsets(partitions.values(), OffsetSpec.earliest())
        high = self._offsets(partitions.values(), OffsetSpec.latest())
        return {
            name: TopicState(id=ids[name], low=low[name], high=high[name])
            for name in ids
            if name in low and name in high
        }

    def ends(self, names: Collection[str]) -> dict[str, int]:
        """The offset that the next record of each will have."""
        return self._offsets([TopicPartition(name, 0) for name in names], OffsetSpec.latest()) if names else {}

    def delete(self, names: Collection[str]) -> None:
        for future in (self._admin.delete_topics(list(names)) if names else {}).values():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise broker_error(error, "delete a topic") from error
        self._forget()

    def of_stores(self, stores: Collection[str] | None = None) -> dict[str, dict[str, dict[str, str]]]:
        """Store → its topics with how they are set; of all stores that have any, or of these, by a list that is a few
        seconds old at most."""
        names: dict[str, str] = {}
        for name in self._list() if stores is None else self._recently():
            store = self._names.parse_topic(name)
            if store is not None and (stores is None or store in stores):
                names[name] = store
        found: dict[str, dict[str, dict[str, str]]] = {}
        for name, settings in self._present_settings(names).items():
            found.setdefault(names[name], {})[name] = settings
        return found

    def _recently(self) -> frozenset[str]:
        with self._lock:
            if time.monotonic() - self._listed_at >= LIST_SECONDS:
                self._listed, self._listed_at = frozenset(self._list()), time.monotonic()
            return self._listed

    def _forget(self) -> None:
        with self._lock:
            self._listed_at = float("-inf")

    def _list(self) -> list[str]:
        try:
            return list(self._admin.list_topics(timeout=REQUEST_SECONDS).topics)
        except KafkaException as error:
            raise broker_error(error, "list topics") from error

    def settings(self, name: str) -> dict[str, str]:
        """A lane is a buffer, as a binlog is; a history is needed for as long as its connector lives."""
        largest = str(self._capture.max_message_bytes)
        if self._names.is_history(name):
            return {"cleanup.policy": "delete", "retention.ms": FOREVER, "retention.bytes": FOREVER,
                    "max.message.bytes": largest}  # fmt: skip
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(int(self._capture.retention_seconds * 1000)),
            "retention.bytes": FOREVER,
            "compression.type": "producer",  # which compresses: once, and not again by the broker
            "max.message.bytes": largest,
        }

    def _adjust(self, settings: Mapping[str, Mapping[str, str]]) -> None:
        altered = []
        for name, present in self._present_settings(settings).items():
            differing = [
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in settings[name].items()
                if present.get(key) != value
            ]
            if differing:
                altered.append(ConfigResource(ResourceType.TOPIC, name, incremental_configs=differing))
        for resource, future in (self._admin.incremental_alter_configs(altered) if altered else {}).items():
            try:
                future.result()
            except KafkaException as error:
                raise broker_error(error, f"set the topic {resource.name}") from error

    def _present_settings(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Without a topic that has gone meanwhile."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        found: dict[str, dict[str, str]] = {}
        for resource, future in (self._admin.describe_configs(resources) if resources else {}).items():
            try:
                found[resource.name] = {key: str(entry.value) for key, entry in future.result().items()}
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise broker_error(error, f"read how the topic {resource.name} is set") from error
        return found

    def _ids(self, names: Collection[str]) -> dict[str, str]:
        ids: dict[str, str] = {}
        for name, future in self._admin.describe_topics(
            TopicCollection(list(names)), request_timeout=LOOK_SECONDS
        ).items():
            try:
                described = future.result()
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue
                raise broker_error(error, f"describe the topic {name}") from error
            ids[name] = str(described.topic_id)
        return ids

    def _offsets(self, partitions: Iterable[TopicPartition], spec: OffsetSpec) -> dict[str, int]:
        found: dict[str, int] = {}
        for partition, future in self._admin.list_offsets(
            dict.fromkeys(partitions, spec), request_timeout=LOOK_SECONDS
        ).items():
            try:
                found[partition.topic] = future.result().offset
            except KafkaException as error:
                if error.args[0].code() not in _NO_TOPIC:
                    raise broker_error(error, f"ask for the offsets of {partition.topic}") from error
        return found


_AWAY = {
    KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE,
    KafkaError.REQUEST_TIMED_OUT, KafkaError._TIMED_OUT_QUEUE,
}  # fmt: skip
_NO_TOPIC = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE, KafkaError._NOENT}
_NOT_ALLOWED = {
    KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError._SSL,
}  # fmt: skip


def broker_error(error: KafkaException, doing: str) -> RefusedError | TransientError:
    """The driver's error as ours, by its code."""
    fault: KafkaError = error.args[0]
    told = f"Kafka could not {doing}: {fault.str() or fault.name()}"
    if fault.code() in _AWAY:
        return UnreachableError(f"{told}; is the broker that `capture: {{kafka: ...}}` names running?")
    if fault.code() in _NOT_ALLOWED:
        return RefusedError(f"{told}; see `capture: {{client: ...}}` in tillstream.yaml for how to log in")
    return TransientError(told) if fault.retriable() else RefusedError(told)
