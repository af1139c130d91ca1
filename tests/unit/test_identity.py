"""Rows of different stores get one key if, and only if, they are one thing beyond doubt."""

from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conflict.identity import business_key, normalise
from conflict.policy import KeyPart, Normaliser


def part(normaliser: Normaliser, *stop: str, column: str = "k") -> KeyPart:
    return KeyPart(column=column, normaliser=normaliser, stop=frozenset(stop))


def key_of(normaliser: Normaliser, value: object, *stop: str) -> str | None:
    return business_key((part(normaliser, *stop),), {"k": value})


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("  a ", "  a "),
        (7, "7"),
        (True, "1"),
        (Decimal("10.50"), "10.50"),
        (Decimal("1E+2"), "100"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02 03:04:05"),
        (b"\x00\xff", "00ff"),
    ],
)
def test_exact_is_the_value_as_plain_text(value: object, key: str) -> None:
    """One form per type, whatever column type the driver made of it."""
    assert key_of(Normaliser.EXACT, value) == key


@pytest.mark.parametrize(
    ("normaliser", "value", "key"),
    [
        (Normaliser.TRIM, "　a b\t", "a b"),
        (Normaliser.UPPER, " ab-1 ", "AB-1"),
        (Normaliser.LOWER, " AB-1 ", "ab-1"),
        (Normaliser.LOWER, "Straße", "straße"),
        (Normaliser.DIGITS, " 6901-２３４ x", "6901234"),
    ],
)
def test_text_normalisers(normaliser: Normaliser, value: str, key: str) -> None:
    """Full-width forms are what a Chinese input method leaves; casefold() is not used."""
    assert key_of(normaliser, value) == key


@pytest.mark.parametrize(
    "written",
    [
        *("13800138000", "138 0013 8000", "138-0013-8000", "(138)00138000", 13800138000),
        *("+8613800138000", "+86 138 0013 8000", "8613800138000", "0086-13800138000"),
        *("１３８００１３８０００", "＋８６ 138 0013 8000"),
    ],
)
def test_one_mobile_number_has_one_key(written: object) -> None:
    """However a till wrote it."""
    assert key_of(Normaliser.PHONE_CN, written) == "+8613800138000"


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("021-6543 2100", "+862165432100"),
        ("010 1234 5678", "+861012345678"),
        ("+1 650 253 0000", "+16502530000"),
    ],
)
def test_other_numbers_with_their_area_are_keys(written: str, key: str) -> None:
    """Members have land lines, and visitors have numbers from elsewhere."""
    assert key_of(Normaliser.PHONE_CN, written) == key


@pytest.mark.parametrize("written", ["无", "-", "12345", "138001380001380013800", "13800138000/13900139000", "abc"])
def test_what_is_no_phone_number_is_no_key(written: str) -> None:
    """The row stays in stores.*, counted."""
    assert key_of(Normaliser.PHONE_CN, written) is None


@pytest.mark.parametrize("written", ["65432100", "6543210", "95588"])
def test_a_number_without_its_area_is_no_key(written: str) -> None:
    """It is another line in each town, and would merge people who never met."""
    assert key_of(Normaliser.PHONE_CN, written) is None


@pytest.mark.parametrize("digit", "0123456789")
def test_a_placeholder_is_no_key(digit: str) -> None:
    """00000000000 is what a till makes people type in."""
    assert key_of(Normaliser.PHONE_CN, digit * 11) is None
    assert key_of(Normaliser.PHONE_CN, f"+86 {digit * 11}") is None


@pytest.mark.parametrize("normaliser", Normaliser)
@pytest.mark.parametrize("value", [None, ""])
def test_null_and_empty_are_no_key(normaliser: Normaliser, value: object) -> None:
    """All rows without a phone are not one member."""
    assert key_of(normaliser, value) is None
    assert business_key((part(normaliser),), {}) is None


@pytest.mark.parametrize("normaliser", set(Normaliser) - {Normaliser.EXACT})
def test_blank_is_no_key(normaliser: Normaliser) -> None:
    """Once normalised, nothing is left; only `exact` takes blanks at their word."""
    assert key_of(normaliser, " 　") is None


@pytest.mark.parametrize(
    ("normaliser", "stop", "value"),
    [
        (Normaliser.UPPER, "none", " None "),
        (Normaliser.PHONE_CN, "138 0000 0000", "+8613800000000"),
        (Normaliser.DIGITS, "0-0-0-0", "0000"),
        (Normaliser.EXACT, "0", 0),
    ],
)
def test_a_stop_word_is_compared_once_both_are_normalised(normaliser: Normaliser, stop: str, value: object) -> None:
    """Nobody lists all ways to write it."""
    assert key_of(normaliser, value, stop) is None
    assert key_of(normaliser, value) is not None


def test_a_stop_word_that_normalises_to_nothing_stops_nothing_else() -> None:
    """00000000000 in the list of a phone column is redundant, not harmful."""
    assert key_of(Normaliser.PHONE_CN, "13800138000", "00000000000", "") == "+8613800138000"


def test_several_parts_are_one_json_array_in_the_order_of_the_policy() -> None:
    """Readable in Chinese, and unambiguous whatever the parts hold."""
    parts = (part(Normaliser.UPPER, column="sku"), part(Normaliser.TRIM, column="region"))
    assert business_key(parts, {"region": " 华东", "sku": "a,1", "x": 0}) == '["A,1","华东"]'
    assert business_key(parts, {"region": None, "sku": "a"}) is None


def test_no_parts_are_no_key() -> None:
    """An empty key would make one row of a table."""
    assert business_key((), {"k": 1}) is None


PARTS = (part(Normaliser.EXACT, column="a"), part(Normaliser.EXACT, column="b"))


@settings(deadline=None)
@given(*[st.text(min_size=1)] * 4)
def test_different_parts_never_give_one_key(a: str, b: str, c: str, d: str) -> None:
    """No separator can be forged by a value."""
    one, other = business_key(PARTS, {"a": a, "b": b}), business_key(PARTS, {"a": c, "b": d})
    assert (one == other) == ((a, b) == (c, d))


@pytest.mark.parametrize("normaliser", Normaliser)
@settings(deadline=None)
@given(value=st.text() | st.from_regex(r"\+?[0-9 \-]{5,16}", fullmatch=True))
def test_normalising_twice_is_normalising_once(normaliser: Normaliser, value: str) -> None:
    """A key that is written back by a POS is still the same key; nothing raises."""
    once = normalise(normaliser, value)
    assert once is None or normalise(normaliser, once) == once
