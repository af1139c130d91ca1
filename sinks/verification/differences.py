"""What `verify` finds where the warehouse is not what it should be."""

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    MISSING = "missing"  # the store has the row, the warehouse has not
    EXTRA = "extra"
    VALUE = "value"
    CENTRAL = "central"  # central.* is not what the policy makes of the contributions


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One value that differs. `store` is empty for central.*, where `store_value` is what should stand there."""

    store: str
    table: str
    key: str
    column: str  # "" for a row as a whole
    store_value: str | None
    warehouse_value: str | None
    kind: Kind


@dataclass(slots=True, kw_only=True)
class Compared:
    """What was found in one table. Counts are of rows (of keys in central.*), samples of values."""

    store: str
    table: str
    rows: int = 0
    differences: int = 0
    set_aside: int = 0
    in_flux: int = 0
    samples: list[Difference] = field(default_factory=list)
