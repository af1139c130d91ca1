"""Keys that were said to be one have one key that stands for them, whatever was said first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conflict.aliases import canonical_keys

pairs = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")).filter(lambda p: p[0] != p[1]))


@pytest.mark.parametrize(
    ("said", "stands"),
    [
        ([], {}),
        ([("a", "b")], {"b": "a"}),
        ([("b", "a")], {"a": "b"}),
        ([("b", "c"), ("c", "a")], {"a": "b", "c": "b"}),
        ([("a", "c"), ("b", "c")], {"b": "a", "c": "a"}),  # c was said of both: of a and b the smaller
        ([("c", "b"), ("b", "c")], {"c": "b"}),
        ([("b", "a"), ("d", "c")], {"a": "b", "c": "d"}),
    ],
)
def test_which_key_stands_for_all(said: list[tuple[str, str]], stands: dict[str, str]) -> None:
    """That which was said to count under no other; rather than that which comes first."""
    assert canonical_keys(said) == stands


@given(pairs.flatmap(lambda said: st.tuples(st.just(said), st.permutations(said))))
def test_the_order_in_which_it_was_said_is_no_matter(said: tuple[list[tuple[str, str]], list[tuple[str, str]]]) -> None:
    """Nor whether it was said twice."""
    one, other = said
    assert canonical_keys(one) == canonical_keys([*other, *other[:2]])


@given(pairs)
def test_keys_are_one_if_and_only_if_pairs_lead_from_one_to_the_other(said: list[tuple[str, str]]) -> None:
    """And what stands for a key stands for itself."""
    stands = canonical_keys(said)
    for one in "abcdef":
        assert stands.get(stands.get(one, one), stands.get(one, one)) == stands.get(one, one)
        for other in "abcdef":
            assert (stands.get(one, one) == stands.get(other, other)) is _leads(one, other, said)


def _leads(one: str, other: str, said: list[tuple[str, str]]) -> bool:
    reached = {one}
    for _ in said:
        reached |= {key for pair in said if reached & set(pair) for key in pair}
    return other in reached
