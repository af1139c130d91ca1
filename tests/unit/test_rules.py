"""When a store last changed a column, as far as anyone can know."""

from datetime import UTC, datetime

from conflict.policy import KeyPart, Normaliser, TablePolicy
from conflict.resolution import NEVER_OBSERVED, ColumnStamp, Contribution
from conflict.resolve import resolve
from sinks.row_codec import RowCodec
from tillstream.envelope import ORIGIN, DeclaredColumn, TableVersion

POLICY = TablePolicy(
    table="members",
    key=(KeyPart(column="phone", normaliser=Normaliser.DIGITS),),
    changed_at="updated_at",
)
NINE = int(datetime(2026, 1, 1, 9, tzinfo=UTC).timestamp()) * 1_000_000
HOUR = 3_600_000_000


def _row(
    store: str, birthday: str, *, observed_us: int | None = None, snapshot_us: int = NEVER_OBSERVED
) -> Contribution:
    stamp = {"birthday": ColumnStamp((1, 1, 4, 0, 0), observed_us)} if observed_us is not None else {}
    return Contribution(
        store=store, pk="1", position=(1, 1, 4, 0, 0), changed_us=observed_us or NEVER_OBSERVED, deleted=False,
        columns=frozenset({"birthday"}), values={"birthday": birthday}, stamps=stamp, snapshot_us=snapshot_us,
    )  # fmt: skip


def _birthday(*rows: Contribution) -> object:
    return resolve(POLICY, ["birthday"], rows).values["birthday"]


def test_a_value_only_seen_in_a_snapshot_loses_to_every_observed_change() -> None:
    """However late the other column of its row was changed: that moved the row's time, not this column's."""
    assert _birthday(_row("s9", "old"), _row("s1", "edited", observed_us=NINE)) == "edited"


def test_a_snapshot_value_has_the_time_the_pos_gave_its_row() -> None:
    """With `changed_at` the later of two snapshot values wins, and an observed change after it wins over both."""
    early, late = _row("s9", "early", snapshot_us=NINE), _row("s1", "late", snapshot_us=NINE + HOUR)
    assert _birthday(early, late) == "late"
    assert _birthday(early, late, _row("s2", "observed", observed_us=NINE + 2 * HOUR)) == "observed"


def _codec(type_name: str, timezone: str) -> RowCodec:
    columns = (
        DeclaredColumn(name="id", type_name="INT", position=1),
        DeclaredColumn(name="phone", type_name="VARCHAR", position=2),
        DeclaredColumn(name="updated_at", type_name=type_name, position=3),
    )
    version = TableVersion(
        store="s1", database="pos", table="members", since=ORIGIN, columns=columns, primary_key=("id",)
    )
    return RowCodec(version, POLICY, timezone)


def test_a_datetime_is_the_stores_own_time() -> None:
    """17:00 in Shanghai is 09:00 in UTC; a TIMESTAMP says itself what it is."""
    local = "2026-01-01 17:00:00"
    assert _codec("DATETIME", "Asia/Shanghai").changed_at_us([1, "138", local]) == NINE
    assert _codec("DATETIME", "UTC").changed_at_us([1, "138", local]) == NINE + 8 * HOUR
    assert _codec("TIMESTAMP", "Asia/Shanghai").changed_at_us([1, "138", "2026-01-01T09:00:00Z"]) == NINE
    assert _codec("TIMESTAMP", "Asia/Shanghai").changed_at_us([1, "138", None]) is None
