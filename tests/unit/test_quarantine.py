"""What a store contributes once it is not believed from a moment on."""

from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType

from conflict.policy import ColumnRule, KeyPart, Normaliser, RuleName, TablePolicy
from conflict.resolution import NEVER_OBSERVED, ColumnStamp, Contribution
from conflict.resolve import resolve

SUM = ColumnRule(rule=RuleName.SUM)
POLICY = TablePolicy(
    table="members",
    key=(KeyPart(column="phone", normaliser=Normaliser.EXACT),),
    columns=MappingProxyType({"points": SUM}),
)
COLUMNS = ("name", "level", "points")
T = 1_000


def _row(
    store: str, points: int, *, name_at: int, level_at: int | None = None, deleted_at: int | None = None
) -> Contribution:
    """Its name was changed at `name_at`, its level then too or never since a snapshot, its points with the last."""
    stamps = {"name": ColumnStamp((1, 1, 4, 0, 0), name_at)}
    if level_at is not None:
        stamps["level"] = ColumnStamp((1, 1, 5, 0, 0), level_at)
    return Contribution(
        store=store, pk="1", position=(1, 1, 9, 0, 0), changed_us=deleted_at or max(name_at, level_at or 0),
        deleted=deleted_at is not None, columns=frozenset(COLUMNS), stamps=stamps,
        values={"name": f"name of {store}", "level": f"level of {store}", "points": Decimal(points)},
    )  # fmt: skip


def _bad(row: Contribution) -> Contribution:
    return replace(row, quarantined_us=T)


def test_what_was_changed_since_then_is_absent_and_all_else_counts() -> None:
    """The name it wrote later no longer wins; its level from before does."""
    good, bad = _row("s1", 10, name_at=T - 100), _bad(_row("s2", 20, name_at=T + 5, level_at=T - 5))
    believed = resolve(POLICY, COLUMNS, [good, bad])
    assert believed.values["name"] == "name of s1"
    assert believed.values["level"] == "level of s2"
    assert believed.stores == ("s1", "s2")


def test_a_column_without_a_time_of_its_own_has_its_rows() -> None:
    """A sum keeps no stamps: the points of a row that was changed since then are not known to be from before."""
    good = _row("s1", 10, name_at=T - 100)
    assert resolve(POLICY, COLUMNS, [good, _bad(_row("s2", 20, name_at=T + 5))]).values["points"] == 10
    assert resolve(POLICY, COLUMNS, [good, _bad(_row("s2", 20, name_at=T - 5))]).values["points"] == 30


def test_a_row_made_since_then_does_not_count() -> None:
    """Neither by its values nor as a store that has the row."""
    good, made = _row("s1", 10, name_at=T - 100), _bad(_row("s2", 20, name_at=T + 1, level_at=T + 1))
    assert resolve(POLICY, COLUMNS, [good, made]) == resolve(POLICY, COLUMNS, [good])
    assert not resolve(POLICY, COLUMNS, [made]).exists


def test_a_row_read_since_then_from_the_store_itself_does_not_count() -> None:
    """A snapshot of a store whose backup was put back tells nothing of when."""
    read = replace(_row("s2", 20, name_at=T - 5), stamps={}, changed_us=NEVER_OBSERVED, read_us=T + 1)
    assert not resolve(POLICY, COLUMNS, [_bad(read)]).exists
    assert resolve(POLICY, COLUMNS, [_bad(replace(read, read_us=T - 1))]).exists


def test_a_row_deleted_since_then_is_there() -> None:
    """With its last values; one that was deleted before is not."""
    found = resolve(POLICY, COLUMNS, [_bad(_row("s2", 20, name_at=T - 5, deleted_at=T + 1))])
    assert found.values == {"name": "name of s2", "level": "level of s2", "points": 20}
    assert not resolve(POLICY, COLUMNS, [_bad(_row("s2", 20, name_at=T - 5, deleted_at=T - 1))]).exists


def test_a_row_made_and_deleted_since_then_is_not() -> None:
    """Its points keep no time, and do not make it one from before."""
    made = _bad(_row("s2", 20, name_at=T + 1, level_at=T + 1, deleted_at=T + 2))
    assert not resolve(POLICY, COLUMNS, [made]).exists
