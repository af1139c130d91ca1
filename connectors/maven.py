"""Jars by their Maven coordinates, through the user's own `mvn`, its settings and its repositories."""

import hashlib
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tillstream.errors import RefusedError, TransientError

MAVEN_SECONDS = 600.0  # it fetches its own plugin first: 25 MB
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


class NotToBeHadError(Exception):
    """Why Maven brought nothing, in words that fit behind "and"; who asked says what else there is to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    group: str
    name: str
    version: str
    packing: str = "jar"
    classifier: str = ""
    with_what_it_needs: bool = False

    def __str__(self) -> str:
        return f"{self.group}:{self.name}:{self.version}"

    @property
    def file(self) -> str:
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.name}-{self.version}{classifier}.{self.packing}"


def fetch(artifacts: Sequence[Artifact], into: Path) -> None:
    """Copy them, and what some of them need, into a directory that exists. NotToBeHadError, TransientError."""
    if not shutil.which("mvn"):
        raise NotToBeHadError("there is no `mvn` on PATH")
    work = into / "work"
    work.mkdir()
    (work / "pom.xml").write_text(_pom(artifacts))
    # batch mode, few words; its downloads go where they are thrown away, its settings and proxies are the user's own
    command = ["mvn", "-B", "-q", f"-Dmaven.repo.local={work / 'repository'}", _COPY, f"-DoutputDirectory={into}"]
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
        names = ", ".join(str(each) for each in artifacts)
        raise TransientError(f"Maven has not brought {names} within {MAVEN_SECONDS:.0f} s") from None
    if done.returncode != 0:
        said = [line for line in done.stdout.splitlines() if "ERROR" in line][:1]
        raise NotToBeHadError(f"`mvn` failed with exit code {done.returncode}: {' '.join(said)[:600]}")
    shutil.rmtree(work)


def require_intact(directory: Path, checksums: Mapping[str, str]) -> None:
    """RefusedError where one of these files is not the one whose sha256 this is."""
    for name, sha256 in checksums.items():
        path = directory / name
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "none: it was not brought"
        if found != sha256:
            raise RefusedError(f"{name} is not the one that was tested: its sha256 is {found}")


def _pom(artifacts: Sequence[Artifact]) -> str:
    dependencies = "".join(_dependency(each) for each in artifacts)
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>tillstream</groupId><artifactId>jars</artifactId>"
        f"<version>1</version><dependencies>{dependencies}</dependencies></project>\n"
    )


def _dependency(artifact: Artifact) -> str:
    alone = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
    return (
        f"<dependency><groupId>{artifact.group}</groupId><artifactId>{artifact.name}</artifactId>"
        f"<version>{artifact.version}</version><type>{artifact.packing}</type>"
        f"{f'<classifier>{artifact.classifier}</classifier>' if artifact.classifier else ''}"
        f"{'' if artifact.with_what_it_needs else alone}</dependency>"
    )
