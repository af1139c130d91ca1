"""One store's connector in Kafka Connect: what the engine in this process is told, and what Kafka adds to it."""

from dataclasses import dataclass
from functools import lru_cache

from connectors.debezium import capture_options
from connectors.kafka_names import names_of
from connectors.preflight import ServerFacts
from tillstream.config import Config, KafkaCapture, Secret, Store
from tillstream.errors import RefusedError

HEADER = "tillstream"
HISTORY_TOPIC = "schema.history.internal.kafka.topic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """What each record says of its capture. A connector that begins anew is of the next `generation`.

    `schema_only`: its snapshot brings no rows.
    """

    epoch: int
    generation: int
    schema_only: bool

    def __str__(self) -> str:
        return f"epoch={self.epoch} generation={self.generation} snapshot={'tables' if self.schema_only else 'rows'}"

    @staticmethod
    def read(text: bytes | None) -> "Tag | None":
        return _read(text) if text is not None else None


@lru_cache(maxsize=4096)
def _read(text: bytes) -> Tag | None:
    parts = dict(part.partition("=")[::2] for part in text.decode(errors="replace").split())
    try:
        return Tag(
            epoch=int(parts["epoch"]),
            generation=int(parts["generation"]),
            schema_only=parts["snapshot"] == "tables",
        )
    except (KeyError, ValueError):
        return None


def connector_options(config: Config, store: Store, facts: ServerFacts, tag: Tag) -> dict[str, str]:
    """All of the connector's configuration. RefusedError for a store that cannot be captured, or not in this way."""
    capture = config.capture
    assert capture is not None
    options = capture_options(config, store, facts, schema_only=tag.schema_only)
    transforms = options["transforms"]
    return {
        **options,
        "tasks.max": "1",
        # four headers a record, a quarter of its bytes, which nobody reads
        "extended.headers.enabled": "false",
        "database.password": _reference(store.password),
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        # a schema in each record is five times the record
        "key.converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false",
        "transforms": f"{transforms},tag,lane",
        "transforms.tag.type": "org.apache.kafka.connect.transforms.InsertHeader",
        "transforms.tag.header": HEADER,
        "transforms.tag.value.literal": str(tag),
        # whatever the record is, one topic keeps it in the log's order
        "transforms.lane.type": "org.apache.kafka.connect.transforms.RegexRouter",
        "transforms.lane.regex": ".*",
        "transforms.lane.replacement": names_of(capture).lane(store.id),
        **_history(capture, store, tag),
        **_producer(capture),
    }


def _history(capture: KafkaCapture, store: Store, tag: Tag) -> dict[str, str]:
    history = "schema.history.internal"
    options = {
        history: "io.debezium.storage.kafka.history.KafkaSchemaHistory",
        HISTORY_TOPIC: names_of(capture).history(store.id, tag.generation),
        f"{history}.kafka.bootstrap.servers": capture.kafka_from_connect or capture.kafka,
        # a few kilobytes, but a broker that is restarting takes its time
        f"{history}.kafka.recovery.poll.interval.ms": "500",
        f"{history}.kafka.recovery.attempts": "60",
    }
    for role in ("producer", "consumer"):
        options.update({f"{history}.{role}.{key}": value for key, value in capture.connect_client.items()})
    return options


def _producer(capture: KafkaCapture) -> dict[str, str]:
    override = "producer.override."
    return {
        f"{override}compression.type": capture.compression,
        # the row of a large picture is one record
        f"{override}max.request.size": str(capture.max_message_bytes),
        f"{override}buffer.memory": str(max(capture.max_message_bytes, 16 * 1024 * 1024)),
        # order is what a lane is for
        f"{override}enable.idempotence": "true",
        f"{override}linger.ms": "5",
        f"{override}batch.size": "131072",
        # a broker that is away for longer is a fault that is told
        f"{override}delivery.timeout.ms": "120000",
    }


def _reference(secret: Secret) -> str:
    """Where Connect itself finds the password: it stands in no configuration that anybody may ask for."""
    if secret.env is not None:
        return f"${{env:{secret.env}}}"
    assert secret.file is not None
    _require_bare(secret)
    return f"${{dir:{secret.file.parent}:{secret.file.name}}}"


def _require_bare(secret: Secret) -> None:
    """Connect takes a file as it is, a newline at its end included."""
    assert secret.file is not None
    try:
        ends = secret.file.read_bytes()[-1:]
    except OSError:
        return  # it need not be readable here, only where Connect runs
    if ends == b"\n":
        raise RefusedError(
            f"{secret.owner}: its password's file {secret.file} ends with a newline, which Kafka Connect takes for a "
            'part of the password; write it without, as by `printf %s "$PASSWORD" > FILE`'
        )
