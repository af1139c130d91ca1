"""What an editor makes of policies.yaml with the schema that Tillstream prints: asked of a real language server."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from editor import Editor

from conflict.policy import Deletes, RuleName
from tillstream.commands import main

README = Path(__file__).parents[2] / "README.md"
BEGUN = """
version: 1
tables:
  members:
    scope: shared
    key: {phone: phone_cn}
    delets: latest
    columns:
      points: {rule: smu}
      level:
        rule: highest
        
      name:
        rule: 
    deletes: 
"""  # noqa: W291, W293


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    """As the README says: the schema in a file, and that named in the first line."""
    directory = tmp_path_factory.mktemp("edited")
    found = re.search(r"`tillstream policy schema > (\S+)` and `(# yaml-language-server: \S+)`", README.read_text())
    assert found is not None
    with pytest.MonkeyPatch.context() as patch, (directory / found[1]).open("w") as schema:
        patch.setattr("sys.stdout", schema)
        with pytest.raises(SystemExit):
            main(["policy", "schema"])
    file = directory / "policies.yaml"
    file.write_text(found[2] + BEGUN)
    with Editor(file) as opened:
        yield opened


def test_it_offers_every_rule_and_says_what_it_means(editor: Editor) -> None:
    offered = editor.completions(after="name:\n        rule: ")
    assert offered.keys() == set(RuleName)
    assert all(offered.values())
    assert offered["sum"] == "The sum of every store's present value, exact."


def test_it_offers_what_a_rule_may_say(editor: Editor) -> None:
    offered = editor.completions(after="rule: highest\n        ")
    assert {"order", "then", "stores", "by"} <= offered.keys()
    assert "rule" not in offered  # it is there
    assert all(offered.values())


def test_it_offers_every_kind_of_deletes(editor: Editor) -> None:
    offered = editor.completions(after="    deletes: ")
    assert offered.keys() == set(Deletes)
    assert all(offered.values())


def test_it_marks_a_wrong_key_and_a_wrong_rule(editor: Editor) -> None:
    marked = editor.marked()
    assert marked["delets: latest"] == "Property delets is not allowed."
    assert '"latest", "earliest"' in marked["points: {rule: smu}"]
