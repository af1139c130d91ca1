"""Debezium's MariaDB connector, which the wheel lacks: fetched by Maven once a store turns out to be MariaDB."""

import logging
import os
import shutil
import zipfile
from pathlib import Path

from connectors import maven
from connectors.maven import Artifact
from tillstream.cache import cached
from tillstream.errors import RefusedError

log = logging.getLogger(__name__)

CONNECTOR_CLASS = "io.debezium.connector.mariadb.MariaDbConnector"
DRIVER_CLASS = "org.mariadb.jdbc.Driver"
JARS_VARIABLE = "TILLSTREAM_MARIADB_JARS"


# Maven Central's Debezium ends at 3.5.0 where this was written, the wheel's is 3.6.3. Of all that the 3.5.0 connector
# asks of the rest one thing is gone in 3.6.3, a constructor of DefaultQueueProvider; `_relocate` brings it along.
_CONNECTOR = Artifact(
    group="io.debezium",
    name="debezium-connector-mariadb",
    version="3.5.0.Final",
)
_COMMON = Artifact(
    group="io.debezium",
    name="debezium-connector-common",
    version="3.5.0.Final",
)
_DRIVER = Artifact(
    group="org.mariadb.jdbc",
    name="mariadb-java-client",
    version="3.5.3",
)
ARTIFACTS = (_CONNECTOR, _COMMON, _DRIVER)
_SHA256 = {
    _CONNECTOR.file: "6ea239f23d74486a77e89cceae11120f208e9f832ccdff9d88cb629ce298e890",
    _COMMON.file: "68b87943d99eb36c2c9639c132ff3528eed87e057d137df93e60d291db149dd4",
    _DRIVER.file: "85c4ba2f221d0dfd439c26affbb294f784960763544263c65aba9c2c76858706",
}
_ENTRY = f"debezium-mariadb-{_CONNECTOR.version}-{_DRIVER.version}"

_QUEUE = "io/debezium/connector/base/DefaultQueueProvider"
_OWN_QUEUE = "io/debezium/connector/base/BoundedQueueProvider"  # of the same length: nothing else in a class moves
_TASK = "io/debezium/connector/mariadb/MariaDbConnectorTask"
_RELOCATED = "relocated.jar"


def jars() -> list[Path]:
    """The connector's jars, fetched once, checked, and made to fit the wheel's Debezium; in class path order.

    RefusedError with the remedy where they cannot be had.
    """
    directory = cached(_ENTRY, _fill)
    return [directory / name for name in (_RELOCATED, _CONNECTOR.file, _DRIVER.file)]


def _fill(draft: Path) -> None:
    given = os.environ.get(JARS_VARIABLE)
    if given:
        _copy(Path(given).expanduser(), draft)
    else:
        _fetch(draft)
    maven.require_intact(draft, _SHA256)
    _relocate(draft)
    (draft / _COMMON.file).unlink()


def _copy(given: Path, draft: Path) -> None:
    for artifact in ARTIFACTS:
        if not (given / artifact.file).is_file():
            raise _not_to_be_had(f"{JARS_VARIABLE} names {given}, which has no {artifact.file}")
        shutil.copy(given / artifact.file, draft)


def _fetch(draft: Path) -> None:
    log.info("fetching Debezium's MariaDB connector by Maven (2 MB, and its plugin, once) ...")
    try:
        maven.fetch(ARTIFACTS, draft)
    except maven.NotToBeHadError as error:
        raise _not_to_be_had(str(error)) from None
    log.info("Debezium's MariaDB connector is in place")


def _relocate(draft: Path) -> None:
    """The connector's task with the queue of its own release, under a name that the wheel's Debezium does not have."""
    with (
        zipfile.ZipFile(draft / _CONNECTOR.file) as connector,
        zipfile.ZipFile(draft / _COMMON.file) as common,
        zipfile.ZipFile(draft / _RELOCATED, "w") as relocated,
    ):
        for jar, name, as_name in ((connector, _TASK, _TASK), (common, _QUEUE, _OWN_QUEUE)):
            code = jar.read(f"{name}.class").replace(_QUEUE.encode(), _OWN_QUEUE.encode())
            relocated.writestr(f"{as_name}.class", code)


def _not_to_be_had(reason: str) -> RefusedError:
    files = ", ".join(str(each) for each in ARTIFACTS)
    return RefusedError(
        f"MariaDB is read by Debezium's own connector, which Maven brings, and {reason}; install Maven (Debian and "
        "Ubuntu: apt-get install maven) and let it reach its repository, or bring the jars of "
        f"{files} from elsewhere into a directory that {JARS_VARIABLE} names"
    )
