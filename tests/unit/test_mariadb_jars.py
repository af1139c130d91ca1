"""How the MariaDB connector comes here, without Maven and without a network."""

from pathlib import Path

import pytest

from connectors import mariadb
from tillstream.errors import RefusedError


@pytest.fixture(autouse=True)
def tmp_cache(tmp_path: Path, server_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILLSTREAM_CACHE", str(server_directory))
    monkeypatch.setenv("PATH", str(tmp_path))  # no Maven but a test's own
    monkeypatch.delenv(mariadb.JARS_VARIABLE, raising=False)
    return server_directory


def test_without_maven_the_remedy_is_named() -> None:
    """What is missing, how to get it, and how to do without."""
    with pytest.raises(RefusedError, match="no `mvn` on PATH") as refused:
        mariadb.jars()
    assert "apt-get install maven" in str(refused.value)
    assert "io.debezium:debezium-connector-mariadb:" in str(refused.value)
    assert mariadb.JARS_VARIABLE in str(refused.value)


def test_what_maven_said_is_told(tmp_path: Path) -> None:
    """A repository that cannot be reached is Maven's to explain."""
    client = tmp_path / "mvn"
    client.write_text("#!/bin/sh\necho '[ERROR] Could not transfer artifact'\nexit 1\n")
    client.chmod(0o755)
    with pytest.raises(RefusedError, match=r"exit code 1: \[ERROR\] Could not transfer artifact"):
        mariadb.jars()


def test_another_jar_under_the_name_is_refused(
    tmp_path: Path, tmp_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jars that somebody brought are checked like fetched ones, and nothing of them is kept."""
    for artifact in mariadb.ARTIFACTS:
        (tmp_path / artifact.file).write_bytes(b"something else")
    monkeypatch.setenv(mariadb.JARS_VARIABLE, str(tmp_path))
    with pytest.raises(RefusedError, match="is not the one that was tested"):
        mariadb.jars()
    assert [path for path in tmp_cache.iterdir() if path.is_dir()] == []


def test_a_directory_without_the_jars_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that is missing is told by its file name."""
    monkeypatch.setenv(mariadb.JARS_VARIABLE, str(tmp_path))
    with pytest.raises(RefusedError, match=mariadb.ARTIFACTS[0].file):
        mariadb.jars()


def test_the_relocated_classes_are_of_one_size() -> None:
    """A name is replaced inside compiled classes: with one of another length they would not load."""
    assert len(mariadb._QUEUE) == len(mariadb._OWN_QUEUE)
