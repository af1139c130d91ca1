"""The README's table of rules says of each what the code says."""

import re
from pathlib import Path
from types import MappingProxyType

import pytest

from conflict.policy import BY_TIME, NO_ONES, ColumnRule, KeyPart, Normaliser, RuleName, TablePolicy
from conflict.shortcut import may_shorten

README = (Path(__file__).parents[2] / "README.md").read_text()


def told() -> dict[str, str]:
    """By rule, its laws; a row may be of two rules."""
    table = README.split("| rule | the central value is | for example | laws |\n")[1].split("\n\n")[0]
    found = {}
    for row in table.splitlines()[1:]:
        names, *_, laws = (cell.strip() for cell in row.strip("|").split("|"))
        found |= dict.fromkeys(re.findall(r"`(\w+)`", names), laws)
    return found


def test_it_has_every_rule() -> None:
    assert told().keys() == set(RuleName)


@pytest.mark.parametrize("name", list(RuleName))
def test_it_tells_the_laws_of(name: RuleName) -> None:
    """Of all of which the properties hold (tests/property/test_laws_resolve.py)."""
    assert told()[name].split() == [mark for mark, holds in laws_of(name).items() if holds]


def laws_of(name: RuleName) -> dict[str, bool]:
    rule = ColumnRule(rule=name)
    key = (KeyPart(column="phone", normaliser=Normaliser.EXACT),)
    policy = TablePolicy(table="members", key=key, columns=MappingProxyType({"name": rule}))
    return {
        "P": name is not RuleName.PYTHON,  # all others are functions of all rows, known to be
        "S": name not in NO_ONES,
        "T": name in BY_TIME,
        "1": may_shorten(policy, ["name"]),
    }
