"""What makes two rows look like one, and what does not."""

import pytest

from conflict.likeness import Both, Rarity, likeness
from tillstream.commands.identity import AT_LEAST

RARITY = Rarity(rows=10_000, distinct={"name": 4_000, "birthday": 9_000, "city": 3})
ONE, TYPED_WRONG, EXCHANGED, OTHER = "+8613800138000", "+8613800138001", "+8613800183000", "+8615977420916"
BORN, BORN_TOO = "1990-01-02", "1984-11-30"


@pytest.mark.parametrize(
    ("keys", "values", "is_shown"),
    [
        ((ONE, TYPED_WRONG), {"name": ("王伟", "王伟"), "birthday": (None, BORN)}, True),
        ((ONE, EXCHANGED), {"name": ("Wang Wei", "wei, wang")}, True),
        ((ONE, OTHER), {"name": ("王伟", "王伟"), "birthday": (BORN, BORN)}, True),
        ((ONE, TYPED_WRONG), {"name": ("王伟", "李娜"), "birthday": (BORN, BORN_TOO)}, False),
        ((ONE, TYPED_WRONG), {"city": ("上海", "上海")}, False),
        ((ONE, TYPED_WRONG), {"name": (None, "王伟")}, False),
        ((ONE, OTHER), {"name": ("王伟", "王伟")}, False),
    ],
    ids=["a digit, one name", "two digits exchanged", "another phone, one name and birthday", "a digit, nothing else",
         "a digit, one city", "a digit, nothing to compare", "one name alone"],
)  # fmt: skip
def test_what_is_worth_a_look(keys: tuple[str, str], values: dict[str, Both], is_shown: bool) -> None:
    """Much in common beside a typing error, or very much in common: each column by how rare its values are."""
    assert (likeness(keys, values, RARITY).score >= AT_LEAST) is is_shown


def test_columns_are_the_same_alike_or_differ() -> None:
    """One that a row has no value in says nothing."""
    values = {"a": ("x", "x"), "b": ("Guang Zhou Road 1", "Guangzhou Road 1"), "c": ("x", "y"), "d": ("", "y")}
    found = likeness(("k", "l"), values, Rarity(rows=9, distinct=dict.fromkeys(values, 9)))
    assert (found.same, found.alike, found.differing) == (("a",), ("b",), ("c",))
