"""What something a person may say of a store would make of one table's central rows. Nothing is written for it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from conflict.resolution import Contribution, Resolution
from conflict.resolve import resolve
from sinks.central import Central
from sinks.reviews import with_decisions
from sinks.warehouse import Transaction
from tillstream.errors import UndecidableError

KEYS_AT_ONCE = 1_000
SAMPLES = 10  # of each table, for a person to look at

Contributions = Mapping[str, list[Contribution]]  # by key


@dataclass(slots=True, kw_only=True)
class Preview:
    table: str
    keys: int = 0  # to which the store contributes
    rows_gone: int = 0
    rows_back: int = 0
    undecided: int = 0  # of which its rules cannot tell
    values: Counter[str] = field(default_factory=Counter)  # column → central values that would change
    samples: list[tuple[str, str, Any, Any]] = field(default_factory=list)  # (key, column, present value, value then)


def preview(
    tx: Transaction,
    central: Central,
    table: str,
    keys: Iterator[list[str]],
    read: Callable[[list[str]], tuple[Contributions, Contributions]],
) -> Preview:
    """By the worker's own function; `read` gives what counts of some keys now, and what would then."""
    found = Preview(table=table)
    policy, columns = central.asking(table), central.decided_columns(table)
    for some in keys:
        found.keys += len(some)
        now, then = read(some)
        for rows in (now, then):
            with_decisions(tx, table, rows)
        for key in some:
            try:
                present = resolve(policy, columns, now.get(key, []))
                _compare(found, key, present, resolve(policy, columns, then.get(key, [])))
            except UndecidableError:
                found.undecided += 1
    return found


def _compare(found: Preview, key: str, now: Resolution, then: Resolution) -> None:
    found.rows_gone += now.exists and not then.exists
    found.rows_back += then.exists and not now.exists
    if not (now.exists and then.exists):
        return
    for column, before, after in _changed(now.values, then.values):
        found.values[column] += 1
        if len(found.samples) < SAMPLES:
            found.samples.append((key, column, before, after))


def _changed(now: Mapping[str, Any], then: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for column in sorted(now.keys() | then.keys()):
        if now.get(column) != then.get(column):
            yield column, now.get(column), then.get(column)
