"""Rows of different stores get one key if, and only if, they are one thing beyond doubt."""

from datetime import date, datetime
from decimal import Decimal

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata

from conflict.identity import business_key, normalise
from conflict.phone_regions import REGIONS
from conflict.policy import KeyPart, Normaliser


def part(normaliser: Normaliser, *stop: str, column: str = "k", region: str = "") -> KeyPart:
    region = region or ("MY" if normaliser is Normaliser.PHONE else "")
    return KeyPart(column=column, normaliser=normaliser, region=region, stop=frozenset(stop))


def key_of(normaliser: Normaliser, value: object, *stop: str, region: str = "") -> str | None:
    return business_key((part(normaliser, *stop, region=region),), {"k": value}, None)


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


@pytest.mark.parametrize(
    ("region", "written", "key"),
    [
        *(("MY", written, "+60123456789") for written in ("012-345 6789", "+60 12-345 6789", "60123456789", 123456789)),
        *(
            ("US", written, "+16502530000")
            for written in ("(650) 253-0000", "1 650 253 0000", "６５０－２５３－００００")
        ),
        ("MY", "082-123456", "+6082123456"),
        ("JP", "03-1234-5678", "+81312345678"),
        ("DE", "030/1234567", "+49301234567"),
        ("SG", "8123 4567", "+6581234567"),
        ("AR", "011 15-2345-6789", "+5491123456789"),
        ("MY", "+86 138 0013 8000", "+8613800138000"),
    ],
)
def test_a_number_of_a_region_has_one_key(region: str, written: object, key: str) -> None:
    """With its trunk prefix or without, and visitors' numbers as they are."""
    assert key_of(Normaliser.PHONE, written, region=region) == key


@pytest.mark.parametrize(
    ("region", "written"),
    [
        # without its area: another line in each town, whatever the lengths that a country knows
        *[("US", "253-0000"), ("MY", "2345 6789"), ("DE", "1234567"), ("GB", "496 0000"), ("GB", "7946 0000")],
        *[("MY", "+86 65432100"), ("US", "+1 253 0000")],
        # more than a number
        *[("US", "650 253 0000 x5"), ("US", "650-253-0000 #12"), ("US", "1-800-FLOWERS"), ("US", "6502530000 or 1")],
        *[("US", "6502530000/6502530001"), ("MY", "000-000 0000"), ("MY", "none")],
    ],
)
def test_a_number_of_a_region_that_is_in_doubt_is_no_key(region: str, written: str) -> None:
    """The same doubts as in China, and an extension: one line may be many people's."""
    assert key_of(Normaliser.PHONE, written, region=region) is None


def test_every_region_of_the_policy_file_is_one_with_mobile_numbers() -> None:
    """And none that the library knows is left out, but China, which is phone_cn."""
    known = {each: PhoneMetadata.metadata_for_region(each) for each in phonenumbers.SUPPORTED_REGIONS}
    mobile = {region for region, facts in known.items() if facts is not None and facts.mobile is not None}
    assert set(REGIONS) == mobile - {"CN"}


@pytest.mark.parametrize(
    ("written", "key"),
    [
        (" Wang.Wei+a@Example.COM ", "wang.wei+a@example.com"),
        ("ｗａｎｇ＠ｅｘａｍｐｌｅ．ｃｏｍ", "wang@example.com"),
        ("王@例子.中国", "王@例子.中国"),
    ],
)
def test_an_address_is_one_however_it_is_typed(written: str, key: str) -> None:
    """But dots and +tags mean what each server says, so they stay."""
    assert key_of(Normaliser.EMAIL, written) == key


@pytest.mark.parametrize(
    "written",
    [
        "无",
        "none",
        "a@b",
        "@x.com",
        "a@",
        "a@x.com.",
        "a@x..com",
        "a b@x.com",
        "a@x.com;b@x.com",
        "Wang <w@x.com>",
        "a\u200b@x.com",
    ],
)
def test_what_is_no_address_is_no_key(written: str) -> None:
    assert key_of(Normaliser.EMAIL, written) is None


@pytest.mark.parametrize("normaliser", Normaliser)
@pytest.mark.parametrize("value", [None, ""])
def test_null_and_empty_are_no_key(normaliser: Normaliser, value: object) -> None:
    """All rows without a phone are not one member."""
    assert key_of(normaliser, value) is None
    assert business_key((part(normaliser),), {}, None) is None


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
    assert business_key(parts, {"region": " 华东", "sku": "a,1", "x": 0}, None) == '["A,1","华东"]'
    assert business_key(parts, {"region": None, "sku": "a"}, None) is None


def test_no_parts_are_no_key() -> None:
    """An empty key would make one row of a table."""
    assert business_key((), {"k": 1}, None) is None


PARTS = (part(Normaliser.EXACT, column="a"), part(Normaliser.EXACT, column="b"))


@settings(deadline=None)
@given(*[st.text(min_size=1)] * 4)
def test_different_parts_never_give_one_key(a: str, b: str, c: str, d: str) -> None:
    """No separator can be forged by a value."""
    one, other = business_key(PARTS, {"a": a, "b": b}, None), business_key(PARTS, {"a": c, "b": d}, None)
    assert (one == other) == ((a, b) == (c, d))


@pytest.mark.parametrize("normaliser", Normaliser)
@settings(deadline=None)
@given(
    value=st.text() | st.from_regex(r"\+?[0-9 \-]{5,16}", fullmatch=True) | st.emails(),
    region=st.sampled_from(REGIONS),
)
def test_normalising_twice_is_normalising_once(normaliser: Normaliser, value: str, region: str) -> None:
    """A key that is written back by a POS is still the same key; nothing raises."""
    once = normalise(normaliser, value, region)
    assert once is None or normalise(normaliser, once, region) == once
