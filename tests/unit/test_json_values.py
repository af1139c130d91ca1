"""JSON and NUL: one spelling for what the snapshot and the stream write differently, and nothing lost by it."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.columns import column_type
from sinks.json_values import from_store, from_warehouse, kept_json
from sinks.nul_escape import escape_nul, unescape_nul
from tillstream.envelope import DeclaredColumn

SIGNS = st.text(alphabet=st.sampled_from('a\x00\u24000\\u"1é'), max_size=12)


@given(SIGNS)
def test_a_nul_comes_back(text: str) -> None:
    """The escape is reversible, whatever stands around NUL and ␀, and leaves no NUL."""
    assert unescape_nul(escape_nul(text)) == text
    assert "\x00" not in escape_nul(text)


@given(SIGNS, SIGNS)
def test_different_texts_stay_different(one: str, other: str) -> None:
    """No two texts share an escaped form."""
    assert (escape_nul(one) == escape_nul(other)) == (one == other)


@given(SIGNS)
def test_a_string_in_json_is_escaped_like_a_text(text: str) -> None:
    """Also where a backslash stands before what looks like \\u0000."""
    for document in (json.dumps([text]), json.dumps([text], ensure_ascii=False)):
        assert json.loads(kept_json(document)) == [escape_nul(text)]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_is_one_number_by_either_way(value: float) -> None:
    """MySQL writes the shortest digits, Debezium all of the binary ones where there is an exponent."""
    assert kept_json(f"{Decimal(value):f}") == kept_json(repr(value))
    assert float(kept_json(repr(value))) == value


@given(st.integers(-(2**63), 2**64 - 1))
def test_an_integer_keeps_every_digit(value: int) -> None:
    """Beyond 2^53 too, where doubles have gaps."""
    assert kept_json(str(value)) == str(value)


@pytest.mark.parametrize(
    ("store", "warehouse", "alike"),
    [
        ('{"b": 1, "a": 2.50}', '{"a": 2.5, "b": 1.0}', True),
        ('{"a": 1}', '{"a": "1"}', False),
        ('{"a": 1}', '{"a": true}', False),
        ("[1, 2]", "[2, 1]", False),
        ("null", "null", True),
        ("123456789012345678901234567890.5", "123456789012345678901234567890.6", False),
        ('"2024-01-02 03:04:05.670000"', '"2024-01-02 03:04:05.67"', True),
        ('"-10:00:00.000000"', '"10:00:00"', False),
        ('"a\\u0000"', '"a\u24000"', True),
    ],
)
def test_documents_are_compared_by_value(store: str, warehouse: str, alike: bool) -> None:
    """The order of keys and the spelling of numbers do not matter; what a value is does."""
    assert (from_store(store) == from_warehouse(warehouse)) is alike


@pytest.mark.parametrize(
    ("streamed", "meant"),
    [
        ("123e4567-e89b-42d3-a456-426655440001", "123e4567-e89b-42d3-a456-426655440001"),
        ("0000123e-4567-e89b-12d3-a45642665544", "123e4567-e89b-12d3-a456-426655440000"),
        ("001e4567-e89b-42d3-a456-426655440001", "001e4567-e89b-42d3-a456-426655440001"),
        ("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"),
    ],
)
def test_a_uuid_is_turned_back(streamed: str, meant: str) -> None:
    """Where the log dropped zero bytes at the end, the one turn that is a UUID of RFC 9562 is meant."""
    decode = column_type(DeclaredColumn(name="u", type_name="UUID", position=1)).decode
    assert decode is not None
    assert decode(streamed) == meant


def test_a_uuid_that_may_be_two_is_refused() -> None:
    """No turn of it is a known UUID, or several are."""
    decode = column_type(DeclaredColumn(name="u", type_name="UUID", position=1)).decode
    assert decode is not None
    with pytest.raises(ValueError, match="the log does not tell"):
        decode("00000000-0000-0000-0000-000000000001")
