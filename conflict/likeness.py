"""How alike two agreed rows are, and in what: for a person, who decides whether they are one."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log2

from rapidfuzz import fuzz, utils

ALIKE = 0.85  # one digit of a date may differ, and not one of three characters of a Chinese name
REORDERED = 0.95

Both = tuple[str | None, str | None]  # one column's values, as text


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """`score` from 0 to 1. Columns of which one row has no value are in none of the three."""

    score: float
    same: tuple[str, ...]
    alike: tuple[str, ...]
    differing: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rarity:
    """What it says that two rows have the same value: `distinct` values of each column among so many rows."""

    rows: int
    distinct: Mapping[str, int]

    def bits(self, column: str) -> float:
        return log2(1 + self.distinct[column])

    @property
    def enough_bits(self) -> float:
        """By which one row is told from all others."""
        return log2(1 + self.rows)


def likeness(keys: tuple[str, str], values: Mapping[str, Both], rarity: Rarity) -> Likeness:
    """Half of the score is how alike the keys are, half the other columns, each by how much it tells."""
    compared = {column: _ratio(one, two) for column, (one, two) in values.items() if one and two}
    told = sum(rarity.bits(column) * ratio for column, ratio in compared.items() if ratio >= ALIKE)
    most = max(sum(map(rarity.bits, compared)), rarity.enough_bits)
    return Likeness(
        score=round((fuzz.ratio(*keys) / 100 + told / most) / 2, 3),
        same=tuple(column for column, ratio in compared.items() if ratio == 1),
        alike=tuple(column for column, ratio in compared.items() if ALIKE <= ratio < 1),
        differing=tuple(column for column, ratio in compared.items() if ratio < ALIKE),
    )


def _ratio(one: str, two: str) -> float:
    """1 for texts that differ in capitals and punctuation at the most; nearly, where only the order of words does."""
    one, two = utils.default_process(one), utils.default_process(two)
    return 1.0 if one == two else min(REORDERED, max(fuzz.ratio(one, two), fuzz.token_sort_ratio(one, two)) / 100)
