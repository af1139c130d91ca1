"""A store that is not to be believed from a moment on: what it contributes as if it had changed nothing since."""

from collections.abc import Iterable
from dataclasses import replace

from conflict.policy import TablePolicy
from conflict.resolution import SINCE, Contribution


def believed(policy: TablePolicy, contributions: Iterable[Contribution]) -> list[Contribution]:
    """What counts of the contributions. Those of a store without quarantine are handed on as they are.

    A column that its store changed since then is absent, for the value before is not kept; a row without any column
    left does not count; a row that was deleted since then is there.
    """
    found = (_before(policy, each) if each.quarantined_us is not None else each for each in contributions)
    return [each for each in found if each is not None]


def _before(policy: TablePolicy, row: Contribution) -> Contribution | None:
    assert row.quarantined_us is not None
    columns = frozenset(column for column in row.columns if _changed_us(policy, row, column) < row.quarantined_us)
    timed = [column for column in row.columns if policy.decides_by_time(column)]
    if columns.isdisjoint(timed or columns):  # made since then: what keeps no time of its own says nothing of it
        return None
    return replace(
        row,
        columns=columns,
        deleted=row.deleted and row.changed_us < row.quarantined_us,
        stamps={name: stamp for name, stamp in row.stamps.items() if name.removesuffix(SINCE) in columns},
        quarantined_us=None,  # taken into account once
    )


def _changed_us(policy: TablePolicy, row: Contribution, column: str) -> int:
    """The last moment at which the column can have changed: by its stamp, or by its row's time where none is kept
    because its rule does not ask for it. A delete changes no value."""
    stamp = row.stamps.get(column)
    if stamp is not None:
        return stamp.effective_us
    if row.deleted or policy.decides_by_time(column):
        return row.read_us
    return max(row.changed_us, row.read_us)
