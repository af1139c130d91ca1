"""Debezium's JDBC sink connector in a Kafka Connect of its own, and the search for its best configuration."""

import tarfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from connectors import maven
from connectors.connect import Connect, cause
from connectors.maven import Artifact
from tillstream.cache import cached
from tillstream.errors import RefusedError
from tillstream.rehearsal.bench_peers_run import Place, SpoiltError
from tillstream.rehearsal.bench_peers_sinks import Programs, decimals_as_text
from tillstream.rehearsal.bench_peers_topics import prefix
from tillstream.rehearsal.kafka import Broker, ConnectWorker
from tillstream.rehearsal.kafka_jars import KafkaJars

_JDBC = Artifact(
    group="io.debezium", name="debezium-connector-jdbc", version="3.6.0.Final", packing="tar.gz", classifier="plugin"
)
_SHA256 = "c23af8d416f0f801ffb0271b1a8fd9b5360ff8d66b0dd650e066bb56ecfddc05"
HEAP_MEGABYTES = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is searched, one after another; where it begins is a good guess."""

    tasks: int = 2
    batch: int = 2000
    rewrite: bool = True  # the driver makes one statement of many
    reduction: bool = True  # one row a key in each batch; without it such a statement may meet a row twice
    unnest: bool = False
    collector: str = "ParallelGC"

    def __str__(self) -> str:
        return (
            f"tasks.max={self.tasks} batch.size=max.poll.records={self.batch} reWriteBatchedInserts={self.rewrite} "
            f"use.reduction.buffer={self.reduction} dialect.postgres.unnest.insert.enabled={self.unnest} "
            f"-Xmx{HEAP_MEGABYTES}m -XX:+Use{self.collector}"
        )


def steps() -> Iterator[Callable[[Settings], list[Settings]]]:
    """One setting after another; each step is asked with the best found so far."""
    yield lambda found: [found]
    yield lambda found: [replace(found, tasks=tasks) for tasks in (1, 2, 4) if tasks != found.tasks]
    yield lambda found: [replace(found, batch=batch) for batch in (500, 1000, 2000, 5000) if batch != found.batch]
    yield lambda found: [replace(found, unnest=True), replace(found, rewrite=False, reduction=False)]
    yield lambda found: [replace(found, collector="G1GC")]


def search(rate: Callable[[Settings], float]) -> tuple[Settings, list[tuple[Settings, float]]]:
    """The best, and all that were tried; `rate` is 0 for what does not work."""
    tried: list[tuple[Settings, float]] = []
    best = Settings()
    for step in steps():
        tried.extend((settings, rate(settings)) for settings in step(best))
        best = max(tried, key=lambda each: each[1])[0]
    return best, tried


def jdbc_plugins() -> Path:
    return cached(f"debezium-jdbc-{_JDBC.version}", _fetch)


def _fetch(draft: Path) -> None:
    try:
        maven.fetch((_JDBC,), draft)
    except maven.NotToBeHadError as error:
        raise RefusedError(f"Debezium's JDBC sink comes by Maven, and {error}") from None
    maven.require_intact(draft, {_JDBC.file: _SHA256})
    with tarfile.open(draft / _JDBC.file) as archive:
        # Python 3.11 before its fourth patch knows no filter; the sha256 vouches for the contents there.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        archive.extractall(draft)
    (draft / _JDBC.file).unlink()


class SinkConnect(ConnectWorker):
    """A Connect that has this one plugin."""

    def __init__(self, jars: KafkaJars, directory: Path, broker: Broker, collector: str) -> None:
        plugins = replace(jars, plugins=jdbc_plugins())
        super().__init__(plugins, directory, broker, heap_megabytes=HEAP_MEGABYTES)
        self._collector = collector

    def java(self, main: str, *arguments: str) -> list[str]:
        collector = f"-XX:+Use{self._collector}"
        return [collector if each == "-XX:+UseParallelGC" else each for each in super().java(main, *arguments)]


class Jdbc(Programs):
    name = "jdbc"

    def __init__(self, settings: Settings, server: SinkConnect) -> None:
        super().__init__()
        self._settings, self._server = settings, server
        self._connector = f"jdbc-{uuid.uuid4().hex}"  # Connect keeps offsets by name

    def prepare(self, place: Place) -> None:
        super().prepare(place)
        if self._settings.unnest:  # by arrays of text, which PostgreSQL takes for no number
            decimals_as_text(place)

    def start(self, place: Place) -> None:
        if not self._server.running:
            self._server.start()
        self._connect = Connect(self._server.url)
        self._connect.configure(self._connector, self.options(place))

    def options(self, place: Place) -> dict[str, str]:
        url, settings = place.database, self._settings
        poll = "consumer.override."
        return {
            "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
            "tasks.max": str(settings.tasks),
            "topics.regex": rf"{prefix(place.load.name, place.form)}\.lane\..*",
            "connection.url": f"jdbc:postgresql://{url.host}:{url.port}/{url.database}?stringtype=unspecified"
            + ("&reWriteBatchedInserts=true" if settings.rewrite else ""),
            "connection.username": str(url.username),
            "connection.password": str(url.password),
            "insert.mode": "upsert",
            "delete.enabled": "true",
            "primary.key.mode": "record_key",
            "schema.evolution": "none",
            "collection.name.format": "${source.table}",
            "batch.size": str(settings.batch),
            "use.reduction.buffer": str(settings.reduction).lower(),
            "dialect.postgres.unnest.insert.enabled": str(settings.unnest).lower(),
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "key.converter.schemas.enable": "true",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter.schemas.enable": "true",
            f"{poll}max.poll.records": str(settings.batch),
            f"{poll}fetch.min.bytes": "1048576",
            f"{poll}max.partition.fetch.bytes": "8388608",
            f"{poll}auto.offset.reset": "earliest",
        }

    def stop(self) -> None:
        if self._server.running:
            self._connect.delete(self._connector)

    def pids(self) -> list[int]:
        if not self._server.running or self._server.process is None:
            raise SpoiltError("Kafka Connect has ended")
        seen = self._connect.connectors().get(self._connector)
        if seen is not None and seen.trace:
            raise SpoiltError(f"the JDBC sink failed: {cause(seen.trace)[:600]}")
        return [self._server.process.pid]
