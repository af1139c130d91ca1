"""Which rows of different stores are one thing: the business key.

A row without a key is never guessed at: it stays in stores.* and has no central row. Two people under one key
would be merged, which is worse than one person who is not, so every doubt here ends in "no key".
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache

import phonenumbers
from phonenumbers import CountryCodeSource, PhoneMetadata, PhoneNumber, ValidationResult

from conflict.policy import KeyPart, Normaliser

PARSED_PHONES = 65_536  # about 15 MB; a busy chain sees fewer members than this in an hour
STOP_LISTS = 256  # one per key part of the policy, and of the policy being tried beside it

CHINA = 86
SHORTEST_COMPLETE_CN = 9  # an area code (2 or 3 digits) and 7 or 8 more; fewer mean another line in each town


def business_key(parts: tuple[KeyPart, ...], values: Mapping[str, object], store: str | None) -> str | None:
    """The key's text: that of its one part, or a JSON array of several; None if any part has no value.

    A part has no value if it is absent, NULL, empty once normalised, not normalisable, or in its stop list. `store` is
    whose values they are: its codes become the chain's. None: they are the chain's already.
    """
    texts = [_part_text(part, values.get(part.column), store) for part in parts]
    if not texts or None in texts:
        return None
    return texts[0] if len(texts) == 1 else json.dumps(texts, ensure_ascii=False, separators=(",", ":"))


def normalise(normaliser: Normaliser, value: object, region: str = "") -> str | None:
    if value is None:
        return None
    text = _plain_text(value)
    return (_phone(text, region) if normaliser is Normaliser.PHONE else _NORMALISERS[normaliser](text)) or None


def _part_text(part: KeyPart, value: object, store: str | None) -> str | None:
    text = normalise(part.normaliser, value, part.region)
    if text is None or (part.stop and text in _stopped(part)):
        return None
    return text if part.codes is None or store is None else part.codes.chain_code(store, text)


@lru_cache(maxsize=STOP_LISTS)
def _stopped(part: KeyPart) -> frozenset[str | None]:
    return frozenset(normalise(part.normaliser, word, part.region) for word in part.stop)


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


# An address with a dot in its domain and nothing around it. Dots and +tags before the @ are kept: what they mean is
# for each mail server to say.
_ADDRESS = re.compile(r"""[^\s@,;:<>()"\\]+@[\w-]+(\.[\w-]+)+""")


def _email(text: str) -> str | None:
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).strip().lower())
    return text if _ADDRESS.fullmatch(text) and text.isprintable() else None


@lru_cache(maxsize=PARSED_PHONES)
def _phone(text: str, region: str) -> str | None:
    text = unicodedata.normalize("NFKC", text)
    number = _parsed(text, region)
    if number is None or _may_lack_its_area(text, number, region) or _says_more(text, number):
        return None
    key = _e164(number)
    return key if key is not None and _reads_as_itself(key, region) else None


def _says_more(text: str, number: PhoneNumber) -> bool:
    """An extension, a name, another number: one line may be many people's."""
    return number.extension is not None or any(c.isalpha() for c in text)


def _may_lack_its_area(text: str, number: PhoneNumber, region: str) -> bool:
    """Without country code and trunk prefix, it is taken for whole from the length of a mobile number on."""
    if phonenumbers.is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE:
        return True
    significant = phonenumbers.national_significant_number(number)
    is_bare = number.country_code_source == CountryCodeSource.FROM_DEFAULT_COUNTRY and _digits(text) == significant
    return is_bare and len(significant) < _shortest_mobile(region)


@lru_cache
def _shortest_mobile(region: str) -> int:
    metadata = PhoneMetadata.metadata_for_region(region)
    mobile = metadata.mobile if metadata is not None else None
    assert mobile is not None, "the policy file knows no such region"
    return min(mobile.possible_length)


@lru_cache(maxsize=PARSED_PHONES)
def _phone_cn(text: str) -> str | None:
    number = _parsed(unicodedata.normalize("NFKC", text), "CN")
    key = _e164(number) if number is not None else None
    return key if key is not None and _reads_as_itself(key, "CN") else None


def _parsed(text: str, region: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region, keep_raw_input=True)
    except phonenumbers.NumberParseException:
        return None


def _reads_as_itself(key: str, region: str) -> bool:
    """A key that reads as another number ("+31 0000001": is the 0 a prefix?) is in doubt."""
    number = _parsed(key, region)
    return number is not None and _e164(number) == key


def _e164(number: PhoneNumber) -> str | None:
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
    Normaliser.EMAIL: _email,
    Normaliser.PHONE_CN: _phone_cn,
}
