"""What the rest of the program gets to see of tillstream.yaml; what may stand there is in config_file.py.

Nothing past this file looks at `defaults`: every Store is complete. No password is read before `reveal()`.
"""

import datetime as dt
import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import SecretStr

from tillstream.alerts import Alerts
from tillstream.business_file import Business
from tillstream.checked_yaml import Document, Steps, load, suggestion, validate
from tillstream.config_file import (
    MYSQL_PORT,
    PASSWORD_REMEDY,
    CaptureOptions,
    ConfigFile,
    KafkaEntry,
    Metrics,
    Resync,
    Retry,
    SecretReference,
    Tables,
    is_number,
)
from tillstream.errors import ConfigError, Fault

if TYPE_CHECKING:
    from sqlalchemy import URL  # a third of a second to import: `tillstream --help` must not pay for it

REMEDY = "name another with --config; `tillstream config schema` prints what may stand in it"

Value = TypeVar("Value")

UNDECLARED = Fault(file="", line=0, path="password", message="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """Where a secret is kept. It never holds the secret, so neither its repr nor a log line can show it."""

    env: str | None = None
    file: Path | None = None
    owner: str = ""  # "store s001"
    declared: Fault = field(default=UNDECLARED, compare=False)  # where the reference stands

    def reveal(self) -> str:
        """Read it now; ConfigError naming the owner and the variable or file if it is not there."""
        value = os.environ.get(self.env) if self.env is not None else self._from_file()
        if value is not None:
            return value
        lacking = f"the environment variable {self.env} is not set"
        if self.env is None:
            lacking = f"the file {self.file} cannot be read as text"
        message = f"the password of {self.owner} is missing: {lacking}"
        raise ConfigError([replace(self.declared, message=message)])

    def _from_file(self) -> str | None:
        try:
            text = self.file.read_text(encoding="utf-8") if self.file else None
        except (OSError, UnicodeDecodeError):
            return None
        return text.removesuffix("\n").removesuffix("\r") if text is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warehouse:
    """A PostgreSQL that somebody else runs."""

    address: SecretStr  # a URL may carry its password
    password: Secret | None

    def url(self) -> "URL":
        """The URL with its password in it; str() of it shows ***."""
        from sqlalchemy import make_url

        url = make_url(self.address.get_secret_value())
        return url if self.password is None else url.set(password=self.password.reveal())


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaCapture:
    """Where Kafka and Kafka Connect are, and how lanes are kept there."""

    kafka: str  # bootstrap servers
    connect: str  # URL, without a slash at its end
    kafka_from_connect: str | None
    prefix: str
    client: Mapping[str, "str | Secret"] = field(hash=False)
    connect_client: Mapping[str, str] = field(hash=False)
    offsets_topic: str
    retention_seconds: float
    replication: int
    compression: str
    max_message_bytes: int

    def client_properties(self) -> dict[str, str]:
        """librdkafka's, with the secrets in them; ConfigError for one that is not there."""
        revealed = {key: value.reveal() if isinstance(value, Secret) else value for key, value in self.client.items()}
        return {"bootstrap.servers": self.kafka, **revealed}


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One store's MySQL, complete."""

    id: str
    name: str
    host: str
    port: int
    user: str
    password: Secret
    database: str
    timezone: str  # IANA name
    day_ends_at: dt.time = dt.time(0)  # of the business day before
    location: tuple[float, float] | None = None  # latitude, longitude in degrees
    attributes: Mapping[str, str | int | float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """tillstream.yaml, resolved: all paths absolute, all stores complete."""

    file: str  # as faults name it
    directory: Path
    data: Path
    warehouse: Warehouse | None  # None: the embedded one
    capture: KafkaCapture | None  # None: by engines in this process
    tables: Tables
    policies: Path | None
    business: Business
    metrics: Metrics
    alerts: Alerts
    capture_options: CaptureOptions
    resync: Resync
    retry: Retry
    stores: tuple[Store, ...]

    def with_stores(self, stores: "tuple[Store, ...]") -> "Config":
        return replace(self, stores=stores)

    def without_stores(self) -> "Config":
        return replace(self, stores=())

    @property
    def store_attributes(self) -> dict[str, dict[str, Any]]:
        """Store → what is said of it, `location` included."""
        return {
            store.id: {**store.attributes, **({"location": store.location} if store.location else {})}
            for store in self.stores
        }

    @property
    def timezones(self) -> dict[str, str]:
        """Store → IANA name."""
        return {store.id: store.timezone for store in self.stores}


# --- from the one to the other ----------------------------------------------------------------------------


def load_config(path: Path) -> Config:
    """Read, check and resolve; ConfigError with every fault of the file."""
    return parse_config(read_config(path))


def read_config(path: Path) -> Document:
    return load(path, remedy=REMEDY)


def parse_config(document: Document) -> Config:
    entry = validate(document, ConfigFile, further=_faults_between_parts(document))
    directory = document.directory
    return Config(
        file=document.file,
        directory=directory,
        data=directory / entry.data,
        warehouse=_warehouse(entry, document),
        capture=_kafka(entry.capture, document) if entry.capture else None,
        tables=entry.tables,
        policies=directory / entry.policies if entry.policies else None,
        business=entry.business,
        metrics=entry.metrics,
        alerts=entry.alerts,
        capture_options=entry.capture_options,
        resync=entry.resync,
        retry=entry.retry,
        stores=tuple(_store(entry, index, document) for index in range(len(entry.stores))),
    )


def policies_path(document: Document) -> Path | None:
    """Where the policies stand, even if the rest of the document is faulty."""
    named = document.data.get("policies") if isinstance(document.data, dict) else None
    return document.directory / named if isinstance(named, str) and named else None


def store_attributes(document: Document) -> dict[str, dict[str, Any]]:
    """What is said of each store, by id, `location` included; even if the rest of the document is faulty."""
    return {store["id"]: _said_of(store) for _, store in _raw_stores(document) if isinstance(store.get("id"), str)}


def _said_of(store: dict[str, Any]) -> dict[str, Any]:
    attributes, location = store.get("attributes"), store.get("location")
    said = dict(attributes) if isinstance(attributes, dict) else {}
    is_place = isinstance(location, list) and [is_number(each) for each in location] == [True, True]
    return {**said, "location": location} if is_place else said


def _warehouse(entry: ConfigFile, document: Document) -> Warehouse | None:
    if entry.warehouse is None:
        return None
    kept = entry.warehouse.password
    secret = _secret(kept, "the warehouse", document, ("warehouse", "password")) if kept else None
    return Warehouse(address=entry.warehouse.url, password=secret)


def _kafka(entry: KafkaEntry, document: Document) -> KafkaCapture:
    client = {
        key: value if isinstance(value, str) else _secret(value, f"Kafka ({key})", document, ("capture", "client", key))
        for key, value in entry.client.items()
    }
    return KafkaCapture(
        kafka=entry.kafka,
        connect=entry.connect,
        kafka_from_connect=entry.kafka_from_connect,
        prefix=entry.prefix,
        client=client,
        connect_client=entry.connect_client,
        offsets_topic=entry.offsets_topic,
        retention_seconds=entry.retention,
        replication=entry.replication,
        compression=entry.compression,
        max_message_bytes=entry.max_message_megabytes * 1024 * 1024,
    )


def _store(entry: ConfigFile, index: int, document: Document) -> Store:
    own, shared = entry.stores[index], entry.defaults
    place: Steps = ("stores", index, "password") if own.password else ("defaults", "password")
    return Store(
        id=own.id,
        name=own.name or own.id,
        host=own.host,
        port=own.port or shared.port,
        user=_given(own.user or shared.user),
        password=_secret(_given(own.password or shared.password), f"store {own.id}", document, place),
        database=_given(own.database or shared.database),
        timezone=shared.timezone,
        day_ends_at=shared.day_ends_at,
        location=own.location,
        attributes=own.attributes,
    )


def _given(value: Value | None) -> Value:
    assert value is not None, "_faults_between_parts refuses a store without it"
    return value


def _secret(reference: SecretReference, owner: str, document: Document, place: Steps) -> Secret:
    file = document.directory / reference.file if reference.file else None
    return Secret(env=reference.env, file=file, owner=owner, declared=document.fault(place, ""))


# Faults between parts are looked for in the raw data, so that they are found beside the faults of the parts.


def _faults_between_parts(document: Document) -> Iterator[Fault]:
    yield from _incomplete_stores(document)
    ids = [(index, _text(store.get("id"))) for index, store in _raw_stores(document)]
    yield from _repeated(document, "id", ids, "has the id")
    servers = [(index, _server(store, _raw_defaults(document))) for index, store in _raw_stores(document)]
    yield from _repeated(document, "host", servers, "is at the host, port and database")
    yield from _business_elsewhere(document)


def _incomplete_stores(document: Document) -> Iterator[Fault]:
    defaults = _raw_defaults(document)
    for index, store in _raw_stores(document):
        for name in ("user", "password", "database"):
            if store.get(name) is None and defaults.get(name) is None:
                remedy = f"; {PASSWORD_REMEDY}" if name == "password" else ""
                yield document.fault(("stores", index, name), f"given neither here nor in defaults{remedy}")


def _repeated(document: Document, name: str, values: Sequence[tuple[int, Hashable]], what: str) -> Iterator[Fault]:
    """A fault for each store that has a value an earlier one has; None is no value."""
    first: dict[Hashable, int] = {}
    for index, value in values:
        earlier = first.setdefault(value, index)
        if value is None or earlier == index:
            continue
        here, there = (document.line_of(("stores", at, name)) for at in (index, earlier))
        shown = f' "{value}"' if name == "id" else ""
        message = f"the store in line {here} {what}{shown} of the store in line {there}; each must differ"
        yield document.fault(("stores", index, name), message)


def _business_elsewhere(document: Document) -> Iterator[Fault]:
    """What `business:` names and `tables:` or `stores:` do not have."""
    business, tables = (_mapping(document.data, name) for name in ("business", "tables"))
    for section in business:
        said = _mapping(business, section)
        name, place = said.get("table"), ("business", section, "table")
        include, exclude = tables.get("include"), tables.get("exclude")
        if isinstance(name, str) and isinstance(include, list) and name not in include:
            yield document.fault(place, f"{name} is not among the tables that `tables.include` takes")
        if isinstance(name, str) and isinstance(exclude, list) and name in exclude:
            yield document.fault(place, f"{name} is among the tables that `tables.exclude` leaves out")
        left_out = _mapping(tables, "exclude_columns").get(name) if isinstance(name, str) else None
        for key, column in said.items():
            if isinstance(left_out, list) and key != "table" and column in left_out:
                message = f"{name}.{column} is among the columns that `tables.exclude_columns` leaves in the store"
                yield document.fault(("business", section, key), message)
    named = _mapping(business, "price").get("headquarters")
    ids = [store["id"] for _, store in _raw_stores(document) if isinstance(store.get("id"), str)]
    if isinstance(named, str) and ids and named not in ids:
        yield document.fault(("business", "price", "headquarters"), f'"{named}" is not a store{suggestion(named, ids)}')


def _mapping(data: object, name: str) -> dict[str, Any]:
    inner = data.get(name) if isinstance(data, dict) else None
    return inner if isinstance(inner, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _server(store: dict[str, Any], defaults: dict[str, Any]) -> Hashable:
    host = store.get("host")
    port = store.get("port") or defaults.get("port") or MYSQL_PORT
    database = store.get("database") or defaults.get("database")
    # As text, because a faulty value may be a list. Hosts' names have no case, databases' names do.
    return (host.lower(), str(port), str(database)) if isinstance(host, str) else None


def _raw_stores(document: Document) -> Iterator[tuple[int, dict[str, Any]]]:
    stores = document.data.get("stores") if isinstance(document.data, dict) else None
    for index, store in enumerate(stores if isinstance(stores, list) else []):
        if isinstance(store, dict):
            yield index, store


def _raw_defaults(document: Document) -> dict[str, Any]:
    return _mapping(document.data, "defaults")
