"""What each rule decides, by examples; and when a store last changed a column, as far as anyone can know."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType

import pytest

from conflict.policy import LATEST, ColumnRule, KeyPart, Normaliser, RuleName, TablePolicy
from conflict.resolution import NEVER_OBSERVED, UNSEEN, ColumnStamp, Contribution
from conflict.resolve import resolve
from conflict.rules import decide
from sinks.row_codec import RowCodec
from tillstream.envelope import ORIGIN, DeclaredColumn, TableVersion
from tillstream.errors import RefusedError

POLICY = TablePolicy(
    table="members",
    key=(KeyPart(column="phone", normaliser=Normaliser.DIGITS),),
    changed_at="updated_at",
)
NINE = int(datetime(2026, 1, 1, 9, tzinfo=UTC).timestamp()) * 1_000_000
MINUTE = 60_000_000
HOUR = 60 * MINUTE
FIRST = ColumnRule(rule=RuleName.PRIORITY, ranks=(("s1",),))
LEVELS = ColumnRule(rule=RuleName.HIGHEST, order=("basic", "silver", "gold"))
OWNED = ColumnRule(rule=RuleName.OWNER, column="home")


def _row(store: str, birthday: str, *, observed_us: int | None = None, snapshot: ColumnStamp = UNSEEN) -> Contribution:
    stamp = {"birthday": ColumnStamp((1, 1, 4, 0, 0), observed_us)} if observed_us is not None else {}
    return Contribution(
        store=store, pk="1", position=(1, 1, 4, 0, 0), changed_us=observed_us or NEVER_OBSERVED, deleted=False,
        columns=frozenset({"birthday"}), values={"birthday": birthday}, stamps=stamp, snapshot=snapshot,
    )  # fmt: skip


def _birthday(*rows: Contribution) -> object:
    return resolve(POLICY, ["birthday"], rows).values["birthday"]


def test_a_value_only_seen_in_a_snapshot_loses_to_every_observed_change() -> None:
    """However late the other column of its row was changed: that moved the row's time, not this column's."""
    assert _birthday(_row("s9", "old"), _row("s1", "edited", observed_us=NINE)) == "edited"


def test_a_snapshot_value_has_the_time_the_pos_gave_its_row() -> None:
    """With `changed_at` the later of two snapshot values wins, and an observed change after it wins over both."""
    early, late = _row("s9", "early", snapshot=_at(0)), _row("s1", "late", snapshot=_at(HOUR))
    assert _birthday(early, late) == "late"
    assert _birthday(early, late, _row("s2", "observed", observed_us=NINE + 2 * HOUR)) == "observed"


def _rows(**said: object) -> list[Contribution]:
    """One row a store, changed a minute after the one before."""
    return [
        Contribution(
            store=store, pk="1", position=(1, 1, 4, 0, 0), changed_us=NINE + minute * MINUTE, deleted=False,
            columns=frozenset({"a", "home"}), values={"a": value, "home": "s2"},
            stamps={"a": ColumnStamp((1, 1, 4, 0, 0), NINE + minute * MINUTE)},
        )
        for minute, (store, value) in enumerate(said.items())
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "rows", "value", "winner", "reason"),
    [
        (ColumnRule(rule=RuleName.MAJORITY), {"s1": "x", "s2": "y", "s3": "x"}, "x", "s1", "in 2 of 3 stores"),
        (ColumnRule(rule=RuleName.MAJORITY), {"s1": "x", "s2": "y", "s3": None}, "y", "s2",
         "2 values have 1 vote each, so latest decides: changed last"),
        (ColumnRule(rule=RuleName.MAJORITY, then=FIRST), {"s1": "x", "s2": "y"}, "x", "s1", "so priority decides"),
        (LEVELS, {"s1": "gold", "s2": "silver"}, "gold", "s1", "the highest in its order"),
        (LEVELS, {"s1": "gold", "s2": "Platin"}, "gold", "s1", "the highest in its order"),
        (LEVELS, {"s1": "tin", "s2": "Platin"}, "Platin", "s2", "no value is one of basic, silver, gold, so latest"),
        (ColumnRule(rule=RuleName.LOWEST, order=("3", "1.0")), {"s1": 1, "s2": Decimal("3.00")}, Decimal("3.00"), "s2",
         "the lowest in its order"),
        (ColumnRule(rule=RuleName.UNION, separator=";"), {"s1": "b; a", "s2": "a;;c", "s3": None}, "a;b;c", None,
         "all that any store has"),
        (ColumnRule(rule=RuleName.CONSTANT, value="CNY"), {"s1": "USD"}, "CNY", None, "the policy gives it"),
        (OWNED, {"s1": "x", "s2": "y", "s3": "z"}, "y", "s2", "owns it: home is s2"),
        (OWNED, {"s1": "x", "s3": "z"}, "z", "s3", "home is s2, which has no row, so latest decides"),
        (ColumnRule(rule=RuleName.OWNER, column="home", owners=(("s2", "s1"),)), {"s1": "x", "s3": "z"}, "x", "s1",
         "owns it"),
        (ColumnRule(rule=RuleName.PRIORITY, by="tier", ranks=(("s1", "s2"), ("s3",))),
         {"s1": "x", "s2": "y", "s3": "z"}, "y", "s2", "2 stores are equal by tier, so latest decides: changed last"),
        (ColumnRule(rule=RuleName.PRIORITY, by="tier", ranks=(("s9",),)), {"s1": "x"}, "x", "s1",
         "no store that has it is ranked by tier, so latest decides"),
    ],
)  # fmt: skip
def test_rules(rule: ColumnRule, rows: dict[str, object], value: object, winner: str | None, reason: str) -> None:
    """Who wins, and why in words."""
    policy = replace(POLICY, columns=MappingProxyType({"a": rule}))
    decided = decide("a", policy, _rows(**rows))
    assert decided is not None
    assert (decided.value, decided.winner and decided.winner.store) == (value, winner)
    assert reason in decided.reason


@pytest.mark.parametrize(
    ("rule", "doubt_us", "winner", "reason"),
    [
        (LATEST, 0, "s3", "changed last"),
        (LATEST, 30_000_000, "s3", "as late as s2 as far as their clocks tell; the later time stands"),
        (ColumnRule(rule=RuleName.LATEST, ranks=(("s1",),)), 30_000_000, "s3", "the later time stands"),
        (ColumnRule(rule=RuleName.LATEST, ranks=(("s2",),)), 0, "s3", "changed last"),
        (ColumnRule(rule=RuleName.LATEST, ranks=(("s2",),)), 30_000_000, "s2",
         "as late as s3 as far as their clocks tell; the first in the list of stores stands"),
        (ColumnRule(rule=RuleName.LATEST, by="tier", ranks=(("s1", "s2"),)), 60_000_000, "s2",
         "as late as s1, s3 as far as their clocks tell; the first by tier stands"),
    ],
)  # fmt: skip
def test_clocks_in_doubt(rule: ColumnRule, doubt_us: int, winner: str, reason: str) -> None:
    """Three stores, a minute apart: who may have been last by what is known of their clocks is decided among by the
    rule's order of stores, then by time."""
    policy = replace(POLICY, columns=MappingProxyType({"a": rule}))
    rows = [
        replace(each, stamps={"a": each.stamps["a"]._replace(uncertainty_us=doubt_us)})
        for each in _rows(s1="x", s2="y", s3="z")
    ]
    decided = decide("a", policy, rows)
    assert decided is not None
    assert decided.winner is not None
    assert decided.winner.store == winner
    assert decided.reason.endswith(reason)
    assert decided.uncertain == (reason != "changed last")


def _at(after_us: int) -> ColumnStamp:
    return ColumnStamp((1, 1, 9, 0, 0), NINE + after_us)


def test_correcting_a_value_does_not_lose_its_place() -> None:
    """`earliest` asks since when a store has had one; a store whose value was there before anyone looked was first."""
    policy = replace(POLICY, columns=MappingProxyType({"a": ColumnRule(rule=RuleName.EARLIEST)}))
    first, second = _rows(s1="1990-01-01", s2="1990-01-02")
    since = {"a ": _at(0)}, {"a ": _at(MINUTE)}
    corrected = replace(
        first, values={"a": "1990-10-01"}, stamps={"a": ColumnStamp((1, 1, 9, 0, 0), NINE + HOUR), **since[0]}
    )
    second = replace(second, stamps={**second.stamps, **since[1]})
    assert resolve(policy, ["a"], [corrected, second]).values["a"] == "1990-10-01"
    read_first = replace(second, stamps={})
    assert resolve(policy, ["a"], [corrected, read_first]).winners["a"] == "s2"


def test_per_store_decides_nothing() -> None:
    """The column has no central value, and no store wins or loses."""
    policy = replace(POLICY, columns=MappingProxyType({"a": ColumnRule(rule=RuleName.PER_STORE)}))
    resolution = resolve(policy, ["a", "home"], _rows(s1="x", s2="y"))
    assert "a" not in resolution.values
    assert resolution.values["home"] == "s2"


@pytest.mark.parametrize(
    ("rule", "type_name", "why"),
    [
        (ColumnRule(rule=RuleName.SUM), "VARCHAR", "has no sum"),
        (
            ColumnRule(rule=RuleName.PRIORITY, ranks=(("s1",),), then=ColumnRule(rule=RuleName.SUM)),
            "DATE",
            "has no sum",
        ),
        (ColumnRule(rule=RuleName.UNION), "INT", "is no text"),
        (ColumnRule(rule=RuleName.CONSTANT, value="many"), "INT", 'cannot hold the constant "many"'),
        (ColumnRule(rule=RuleName.CONSTANT, value="40000"), "SMALLINT", 'cannot hold the constant "40000"'),
        (ColumnRule(rule=RuleName.CONSTANT, value="2026-02-30"), "DATE", "cannot hold the constant"),
    ],
)
def test_a_rule_that_a_column_cannot_bear_is_refused(rule: ColumnRule, type_name: str, why: str) -> None:
    """Before anything of the store is captured, naming store, table and column."""
    policy = replace(POLICY, columns=MappingProxyType({"updated_at": rule}))
    with pytest.raises(RefusedError, match=r"store s1: members\.updated_at is declared as") as caught:
        _codec(type_name, "UTC", policy)
    assert why in str(caught.value)


def _codec(type_name: str, timezone: str, policy: TablePolicy = POLICY) -> RowCodec:
    columns = (
        DeclaredColumn(name="id", type_name="INT", position=1),
        DeclaredColumn(name="phone", type_name="VARCHAR", position=2),
        DeclaredColumn(name="updated_at", type_name=type_name, position=3),
    )
    version = TableVersion(
        store="s1", database="pos", table="members", since=ORIGIN, columns=columns, primary_key=("id",)
    )
    return RowCodec(version, policy, timezone)


def test_a_datetime_is_the_stores_own_time() -> None:
    """17:00 in Shanghai is 09:00 in UTC; a TIMESTAMP says itself what it is."""
    local = "2026-01-01 17:00:00"
    assert _codec("DATETIME", "Asia/Shanghai").changed_at_us([1, "138", local]) == NINE
    assert _codec("DATETIME", "UTC").changed_at_us([1, "138", local]) == NINE + 8 * HOUR
    assert _codec("TIMESTAMP", "Asia/Shanghai").changed_at_us([1, "138", "2026-01-01T09:00:00Z"]) == NINE
    assert _codec("TIMESTAMP", "Asia/Shanghai").changed_at_us([1, "138", None]) is None
