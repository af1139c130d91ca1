"""Words in the names that a POS gives to its tables and columns. Pure."""

import re
from collections.abc import Iterable
from itertools import pairwise


def words(name: str) -> list[str]:
    """`goodsPrice_2` → good, price, 2: without case and plural; Chinese names by the words known here."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+", name)
    found = [_singular(part.lower()) for part in parts]
    joined = ["".join(pair) for pair in pairwise(found)]  # bar_code, gift_card, cell_phone
    return found + joined


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    plural = word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if plural and len(word) > 3 else word


def has(name: str, known: Iterable[str]) -> bool:
    present = set(words(name))
    return any(each in present or (not each.isascii() and each in name) for each in known)
