"""Which rows of different stores are one thing: the business key.

A row without a key is never guessed at: it stays in stores.* and has no central row. Two people under one key
would be merged, which is worse than one person who is not, so every doubt here ends in "no key".
"""

import json
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache

import phonenumbers

from conflict.policy import KeyPart, Normaliser

PARSED_PHONES = 65_536  # about 15 MB; a busy chain sees fewer members than this in an hour
STOP_LISTS = 256  # one per key part of the policy, and of the policy being tried beside it

CHINA = 86
SHORTEST_COMPLETE_CN = 9  # an area code (2 or 3 digits) and 7 or 8 more; fewer mean another line in each town


def business_key(parts: tuple[KeyPart, ...], values: Mapping[str, object]) -> str | None:
    """The key's text: that of its one part, or a JSON array of several; None if any part has no value.

    A part has no value if it is absent, NULL, empty once normalised, not normalisable, or in its stop list.
    """
    texts = [_part_text(part, values.get(part.column)) for part in parts]
    if not texts or None in texts:
        return None
    return texts[0] if len(texts) == 1 else json.dumps(texts, ensure_ascii=False, separators=(",", ":"))


def normalise(normaliser: Normaliser, value: object) -> str | None:
    return _NORMALISERS[normaliser](_plain_text(value)) or None if value is not None else None


def _part_text(part: KeyPart, value: object) -> str | None:
    text = normalise(part.normaliser, value)
    return None if text in _stopped(part.normaliser, part.stop) else text


@lru_cache(maxsize=STOP_LISTS)
def _stopped(normaliser: Normaliser, stop: frozenset[str]) -> frozenset[str | None]:
    return frozenset(normalise(normaliser, word) for word in stop)


def _plain_text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))  # BIT(1) arrives as a boolean, TINYINT(1) as a number
    if isinstance(value, Decimal):
        return format(value, "f")  # str() would write 1E+2
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")  # as MySQL and PostgreSQL write it
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return str(value)


def _trim(text: str) -> str:
    return text.strip()


# upper() and lower() rather than casefold(): people see the key, and casefold() is made for comparing only
# ("ß" becomes "ss"). So two texts that differ by more than upper() or lower() shows stay two keys.


def _upper(text: str) -> str:
    return text.strip().upper()


def _lower(text: str) -> str:
    return text.strip().lower()


def _digits(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", text) if "0" <= c <= "9")


@lru_cache(maxsize=PARSED_PHONES)
def _phone_cn(text: str) -> str | None:
    key = _e164(unicodedata.normalize("NFKC", text))
    # A key that reads as another number ("+31 0000001": is the 0 a prefix?) is in doubt.
    return key if key is not None and _e164(key) == key else None


def _e164(text: str) -> str | None:
    try:
        number = phonenumbers.parse(text, "CN")
    except phonenumbers.NumberParseException:
        return None
    significant = phonenumbers.national_significant_number(number)
    incomplete = number.country_code == CHINA and len(significant) < SHORTEST_COMPLETE_CN
    placeholder = len(set(significant)) == 1  # 00000000000, 11111111111: what tills make people type in
    # Possible, not valid: which prefixes are in use changes with each release of the library, a key must not.
    if incomplete or placeholder or not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


_NORMALISERS: Mapping[Normaliser, Callable[[str], str | None]] = {
    Normaliser.EXACT: str,
    Normaliser.TRIM: _trim,
    Normaliser.UPPER: _upper,
    Normaliser.LOWER: _lower,
    Normaliser.DIGITS: _digits,
    Normaliser.PHONE_CN: _phone_cn,
}
