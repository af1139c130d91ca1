"""tillstream.yaml as it may be written: each key, what it may hold, and what a person reads about it."""

import datetime as dt
import math
import re
import zoneinfo
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from tillstream.alerts import Alerts
from tillstream.business_file import Business, DayEnd
from tillstream.checked_yaml import DurationText, Entry, duration_seconds, json_schema, suggestion

MYSQL_PORT = 3306
METRICS_PORT = 9464  # the port OpenTelemetry registered for Prometheus exporters
WAREHOUSE_DRIVER = "postgresql+psycopg"
STORE_ID = r"[a-z0-9][a-z0-9_]{0,40}"  # it becomes part of table names and Debezium's topic.prefix
VARIABLE_NAME = r"[A-Za-z_][A-Za-z0-9_]*"

WAREHOUSE_FORM = f"must be `embedded` or a URL {WAREHOUSE_DRIVER}://user@host:5432/database"
PASSWORD_REMEDY = "write `password: {env: POS_PASSWORD}` or `password: {file: /run/secrets/pos}`"


def _secret_mapping(given: Any) -> Any:
    # Nothing of what was given is repeated: it may be the password itself, as a text or as a mistaken key.
    if isinstance(given, dict) and len(given) == 1 and set(given) <= {"env", "file"}:
        return given
    raise ValueError(f"a password does not stand in this file; {PASSWORD_REMEDY}")


def variable_name(name: str) -> str:
    if not re.fullmatch(VARIABLE_NAME, name):
        raise ValueError("must be the name of an environment variable: letters, digits and _")
    return name


class SecretReference(Entry):
    env: Annotated[str, AfterValidator(variable_name)] | None = Field(
        default=None, description="Name of the environment variable that holds the secret."
    )
    file: Path | None = Field(
        default=None, description="File that holds the secret; relative to the configuration's directory."
    )

    @model_validator(mode="after")
    def _points_somewhere(self) -> "SecretReference":
        if self.env is None and self.file is None:
            raise ValueError(f"the name is missing; {PASSWORD_REMEDY}")
        return self


def known_timezone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, KeyError, OSError):  # KeyError: not found; OSError: "Asia" is a directory
        remedy = "; write an IANA name such as Asia/Shanghai"
        near = suggestion(name, sorted(zoneinfo.available_timezones()), otherwise=remedy)
        raise ValueError(f'"{name}" is not a time zone{near}') from None
    return name


def well_formed_id(store_id: str) -> str:
    if not re.fullmatch(STORE_ID, store_id):
        raise ValueError(f'"{store_id}" cannot be a store id: 1 to 41 of a-z, 0-9 and _, not beginning with _')
    return store_id


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _on_earth(given: Any) -> Any:
    if given is None:
        return None
    numbers = given if isinstance(given, list) and all(is_number(part) for part in given) else []
    if len(numbers) != 2 or not (-90 <= numbers[0] <= 90 and -180 <= numbers[1] <= 180):
        raise ValueError("must be [latitude, longitude] in degrees, such as [31.23, 121.47]")
    return tuple(numbers)


def _text_or_number(given: Any) -> Any:
    if isinstance(given, str) or is_number(given):
        return given
    raise ValueError("must be text or a number; put true, false and dates in quotes")


def _capture_mapping(given: Any) -> Any:
    if given == "embedded" or given is None:
        return None
    if isinstance(given, dict):
        return given
    raise ValueError("must be `embedded` or {kafka: broker:9092, connect: http://connect:8083}")


def _http_url(url: str) -> str:
    if not re.fullmatch(r"https?://[^/\s,]+(/[^\s]*)?", url):
        raise ValueError("must be the URL of Kafka Connect's REST interface, such as http://connect:8083")
    return url.rstrip("/")


def _client_value(given: Any) -> Any:
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, str | int | float):
        return str(given)
    return _secret_mapping(given)


def _warehouse_mapping(given: Any) -> Any:
    if given == "embedded" or given is None:
        return None
    if isinstance(given, str | dict):
        return {"url": given} if isinstance(given, str) else given
    raise ValueError(WAREHOUSE_FORM)


def _warehouse_url(secret: SecretStr) -> SecretStr:
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        url = make_url(secret.get_secret_value())
    except (SQLAlchemyError, ValueError):
        raise ValueError(WAREHOUSE_FORM) from None
    if url.drivername != WAREHOUSE_DRIVER:
        raise ValueError(f"{url.drivername} is not supported; write {WAREHOUSE_DRIVER}://user@host/database")
    if not url.host or not url.database or not url.username:
        raise ValueError(f"must name user, host and database: {WAREHOUSE_DRIVER}://user@host:5432/database")
    if "password" in url.query:
        raise ValueError("the query of a URL is shown in logs; write {url: ..., password: {env: NAME}}")
    return secret


Text = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
REST = "*"  # in the place of a table's name: every table that is not named
HISTORY_SECONDS = 30 * 86_400.0
Whole = Annotated[int, Field(strict=True, ge=1)]
Percent = Annotated[int, Field(strict=True, ge=1, le=100)]
Seconds = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
TimeZone = Annotated[str, AfterValidator(known_timezone)]
Password = Annotated[SecretReference, BeforeValidator(_secret_mapping, json_schema_input_type=SecretReference)]
Location = Annotated[
    tuple[float, float] | None,
    BeforeValidator(
        _on_earth,
        json_schema_input_type=Annotated[list[float], Field(min_length=2, max_length=2)] | None,
    ),
]
AttributeValue = Annotated[str | int | float, BeforeValidator(_text_or_number)]


class WarehouseEntry(Entry):
    url: Annotated[SecretStr, AfterValidator(_warehouse_url)] = Field(
        description="SQLAlchemy URL, postgresql+psycopg://user@host:5432/database."
    )
    password: Password | None = Field(default=None, description="Where the password is kept.")

    @model_validator(mode="after")
    def _one_password(self) -> "WarehouseEntry":
        from sqlalchemy import make_url

        if self.password is not None and make_url(self.url.get_secret_value()).password is not None:
            raise ValueError("a password stands in the URL and beside it; take it out of the URL")
        return self


class Defaults(Entry):
    port: Port = Field(default=MYSQL_PORT, description="Port of the stores' MySQL.")
    user: Text | None = Field(default=None, description="MySQL user with the right to replicate.")
    password: Password | None = Field(default=None, description="Where that user's password is kept.")
    database: Text | None = Field(default=None, description="The POS's database.")
    timezone: TimeZone = Field(default="UTC", description="IANA time zone of the stores' clocks.")
    day_ends_at: DayEnd = Field(
        default=dt.time(0),
        description='When a business day ends: at "04:00" a sale at three in the night is of the day before.',
        json_schema_extra={"default": "00:00"},
    )


RealCharset = Literal["utf8", "utf8mb4", "gbk", "gb2312", "big5", "tis620", "cp1251"]


def _kept_seconds(given: Any) -> float:
    try:
        return 0.0 if given is False else duration_seconds(given)
    except ValueError as error:
        raise ValueError(f"{error}, or false for none") from None


def _history_mapping(given: Any) -> Any:
    return given if isinstance(given, dict) else {REST: given}


Kept = Annotated[float, BeforeValidator(_kept_seconds, json_schema_input_type=DurationText | Literal[False])]


class Tables(Entry):
    include: Annotated[tuple[Text, ...], Field(min_length=1)] | None = Field(
        default=None, description="Tables to take; all of the database if left out."
    )
    exclude: tuple[Text, ...] = Field(default=(), description="Tables never to take.")
    exclude_columns: dict[str, Annotated[tuple[Text, ...], Field(min_length=1)]] = Field(
        default_factory=dict, description="Columns per table that never leave the store."
    )
    real_charset: dict[str, dict[str, RealCharset]] = Field(
        default_factory=dict,
        description="What columns declared latin1 or another single-byte set really hold: {members: {name: utf8}}.",
    )

    history: Annotated[
        dict[Text, Kept],
        BeforeValidator(
            _history_mapping,
            json_schema_input_type=DurationText | Literal[False] | dict[Text, DurationText | Literal[False]],
        ),
    ] = Field(
        default_factory=dict,
        description="How long changes of shared tables' agreed values are kept, for `explain` and desk.*: 30d if left "
        'out, false for none; one for all, or by table, "*" for the rest: {"*": 30d, stock: false}.',
    )

    @property
    def history_seconds(self) -> dict[str, float]:
        return {REST: HISTORY_SECONDS, **self.history}

    def takes(self, table: str) -> bool:
        return table in self.include if self.include is not None else table not in self.exclude

    @model_validator(mode="after")
    def _decided(self) -> "Tables":
        both = sorted(set(self.include or ()) & set(self.exclude))
        if both:
            raise ValueError(f"include and exclude both name {', '.join(both)}; take it out of one")
        return self


class Metrics(Entry):
    host: Text = Field(default="127.0.0.1", description="Address that /metrics listens on.")
    port: Annotated[int, Field(strict=True, ge=0, le=65535)] | None = Field(
        default=METRICS_PORT, description="Port of /metrics; 0 takes a free one, null switches it off."
    )


class CaptureOptions(Entry):
    heap_megabytes: Whole | None = Field(
        default=None, description="Bound of the JVM's heap; sized by the number of stores if left out."
    )
    poll_interval_milliseconds: Whole = Field(default=20, description="How long an engine waits for events.")
    heartbeat_seconds: Whole = Field(default=5, description="How often a quiet store reports its position.")
    max_batch_rows: Whole = Field(default=2048, description="Most rows an engine hands over at once.")
    snapshot_locking: Literal["minimal", "none"] = Field(
        default="minimal", description="Whether a snapshot takes a short global read lock in the store."
    )
    new_epochs: Literal["same_server", "always", "never"] = Field(
        default="same_server",
        description="When a store whose log is another one than was read is read anew at once: always, only where its "
        "server_uuid is the same (a RESET MASTER, a restored disk), or never before `tillstream stores accept-epoch`.",
    )


SECRET_KEY = re.compile(r"password|secret|jaas|ssl\.key\.pem|keystore\.key", re.IGNORECASE)


def _by_reference(client: dict[str, Any]) -> dict[str, Any]:
    # The value is not repeated: it may be the secret itself.
    for key, value in client.items():
        if SECRET_KEY.search(key) and isinstance(value, str) and "${" not in value:
            raise ValueError(f"{key}: a secret does not stand in this file; refer to where it is kept")
    return client


ClientValue = Annotated["str | SecretReference", BeforeValidator(_client_value)]


class KafkaEntry(Entry):
    kafka: Text = Field(description="Kafka's bootstrap servers, host:port, separated by commas.")
    connect: Annotated[str, AfterValidator(_http_url)] = Field(description="URL of Kafka Connect's REST interface.")
    kafka_from_connect: Text | None = Field(
        default=None, description="Kafka's bootstrap servers as Kafka Connect reaches them, if otherwise."
    )
    prefix: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")] = Field(
        default="tillstream",
        description="What the names of topics, connectors and the consumer group begin with; another for another "
        "installation on the same Kafka.",
    )
    client: Annotated[dict[Text, ClientValue], AfterValidator(_by_reference)] = Field(
        default_factory=dict,
        description="How workers log in to Kafka: librdkafka's properties, such as security.protocol; a secret is "
        "{env: NAME} or {file: path}.",
    )
    connect_client: Annotated[dict[Text, str], AfterValidator(_by_reference)] = Field(
        default_factory=dict,
        description="How connectors log in to Kafka for their schema history: Java's properties; a secret is "
        "${dir:/run/secrets:NAME} or ${env:NAME}, read by Connect.",
    )
    offsets_topic: Text = Field(
        default="tillstream.connect.offsets", description="Kafka Connect's own offset.storage.topic."
    )
    retention: Annotated[float, BeforeValidator(duration_seconds, json_schema_input_type=DurationText)] = Field(
        default=7 * 86_400.0, description="How long a lane's records are kept: how long workers may be away."
    )
    replication: Whole = Field(default=1, description="Copies of each topic; no more than there are brokers.")
    compression: Literal["zstd", "lz4", "gzip", "snappy", "none"] = Field(
        default="lz4", description="How connectors compress what they send."
    )
    max_message_megabytes: Whole = Field(
        default=16, description="Largest record, as the largest row: no larger than the broker's message.max.bytes."
    )


class Resync(Entry):
    load_percent: Percent = Field(
        default=10,
        description="In how much of its time a store's MySQL may be busy with tables that are read anew.",
    )


class Retry(Entry):
    first_seconds: Seconds = Field(default=1.0, description="Wait before the first retry.")
    most_seconds: Seconds = Field(default=60.0, description="Longest wait between two retries.")

    @model_validator(mode="after")
    def _grows(self) -> "Retry":
        if self.most_seconds < self.first_seconds:
            raise ValueError("most_seconds must be at least first_seconds")
        return self


class StoreEntry(Entry):
    id: Annotated[str, AfterValidator(well_formed_id)] = Field(
        description="Short lasting name of the store.", json_schema_extra={"pattern": f"^{STORE_ID}$"}
    )
    name: Text | None = Field(default=None, description="Name for people; the id if left out.")
    host: Text = Field(description="Address of the store's MySQL.")
    port: Port | None = Field(default=None, description="Port, if not the default one.")
    user: Text | None = Field(default=None, description="MySQL user, if not the default one.")
    password: Password | None = Field(default=None, description="Where the password is kept, if elsewhere.")
    database: Text | None = Field(default=None, description="The POS's database, if not the default one.")
    location: Location = Field(default=None, description="[latitude, longitude] in degrees.")
    attributes: dict[str, AttributeValue] = Field(
        default_factory=dict, description="Facts about the store, such as {tier: flagship}."
    )


class ConfigFile(Entry):
    """tillstream.yaml as it is written."""

    data: Path = Field(default=Path("data"), description="Directory of the embedded warehouse and of caches.")
    warehouse: Annotated[
        WarehouseEntry | None,
        BeforeValidator(_warehouse_mapping, json_schema_input_type=str | WarehouseEntry | None),
    ] = Field(default=None, description="`embedded`, or where your own PostgreSQL is.")
    capture: Annotated[
        KafkaEntry | None,
        BeforeValidator(_capture_mapping, json_schema_input_type=Literal["embedded"] | KafkaEntry | None),
    ] = Field(default=None, description="`embedded`, or where Kafka and Kafka Connect are.")
    defaults: Defaults = Field(default_factory=Defaults, description="What holds for each store that does not differ.")
    tables: Tables = Field(default_factory=Tables, description="Which tables and columns to take.")
    policies: Path | None = Field(default=None, description="File with the rules for shared tables.")
    business: Business = Field(
        default_factory=Business, description="Which tables and columns hold stock, prices, points and sales."
    )
    metrics: Metrics = Field(default_factory=Metrics, description="Where Prometheus may read.")
    alerts: Alerts = Field(
        default_factory=Alerts, description="From where on each alert fires; false for one that is not wanted."
    )
    capture_options: CaptureOptions = Field(default_factory=CaptureOptions, description="How engines are run.")
    resync: Resync = Field(default_factory=Resync, description="How tables are read anew.")
    retry: Retry = Field(default_factory=Retry, description="How long to wait for what does not answer.")
    stores: Annotated[tuple[StoreEntry, ...], Field(min_length=1)] = Field(description="The stores to tail.")


def config_schema() -> dict[str, Any]:
    return json_schema(ConfigFile, title="tillstream.yaml")
