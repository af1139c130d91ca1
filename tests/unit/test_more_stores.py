"""One more store is written into tillstream.yaml, and nothing else of the file changes."""

from pathlib import Path

import pytest

from tillstream.config import load_config
from tillstream.errors import ConfigError, RefusedError
from tillstream.more_stores import with_store

FILE = """\
# the chain
defaults: {user: tillstream, password: {env: POS}, database: pos}
stores:
  # the first
  - {id: s001, host: 10.0.0.1}   # downtown
  - id: s002
    name: 人民广场店
    host: 10.0.0.2
  # more to come

metrics: {port: null}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tillstream.yaml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_the_store_stands_below_the_others_and_comments_stay(file: Path) -> None:
    """Only one line is new, indented like its neighbours."""
    with_store(file, {"id": "s003", "name": "中山路店: 2", "host": "db.example", "password": {"file": "a b"}})
    new = '  - {id: s003, name: "中山路店: 2", host: db.example, password: {file: "a b"}}\n'
    assert file.read_text(encoding="utf-8") == FILE.replace("  # more to come", f"{new}  # more to come")
    store = load_config(file).stores[-1]
    assert (store.id, store.name, store.host) == ("s003", "中山路店: 2", "db.example")


def test_text_that_yaml_would_read_as_something_else_is_quoted(file: Path) -> None:
    """A host `10` or a name `no` stays a text."""
    with_store(file, {"id": "s003", "name": "no", "host": "10.1"})
    assert load_config(file).stores[-1].name == "no"


def test_a_store_that_is_there_is_refused_and_the_file_left_alone(file: Path) -> None:
    """The message names the fault as if it stood in the file."""
    with pytest.raises(RefusedError, match="left as it is") as refused:
        with_store(file, {"id": "s001", "host": "10.0.0.9"})
    assert "draft" not in str(refused.value)
    assert file.read_text(encoding="utf-8") == FILE
    assert list(file.parent.iterdir()) == [file]


def test_a_faulty_file_is_not_written_to(file: Path) -> None:
    """What is wrong already is told first."""
    file.write_text(FILE.replace("host: 10.0.0.2", "hots: 10.0.0.2"), encoding="utf-8")
    with pytest.raises(ConfigError, match="hots"):
        with_store(file, {"id": "s003", "host": "10.0.0.3"})


def test_a_list_in_one_line_is_left_to_a_person(tmp_path: Path) -> None:
    """There is no line to put the store on."""
    file = tmp_path / "tillstream.yaml"
    file.write_text(
        "defaults: {user: t, password: {env: P}, database: pos}\nstores: [{id: s001, host: a}]\n", encoding="utf-8"
    )
    with pytest.raises(RefusedError, match="by hand"):
        with_store(file, {"id": "s002", "host": "b"})
