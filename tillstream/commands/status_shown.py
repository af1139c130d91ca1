"""`status` as a person sees it: the worst first, in words and in colour."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tillstream.commands.config import counted
from tillstream.commands.resync import left_in_words
from tillstream.commands.status_troubles import waiting_in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table

BEHIND_SECONDS = 60.0  # less is the way of things
UNBOUNDED = 10_000  # columns

# The worst first; by state what it is called, and its colour.
_STATES = {
    "refused": ("stands still", "bold red"),
    "not running": ("not running", "red"),
    "unreachable": ("dark", "bold red"),
    "never seen": ("never seen", "yellow"),
    "starting": ("starting", "yellow"),
    "stopped": ("stopped", "yellow"),
    "snapshot": ("first read", "cyan"),
    "live": ("live", "green"),
    "paused": ("paused", "dim"),
    "retired": ("retired", "dim"),
}
_ORDER = list(_STATES)


def shown(found: dict[str, Any]) -> "RenderableType":
    """`found` is what `--output json` prints. What needs a person stands last, where one looks on a terminal."""
    from rich.console import Group

    return Group(_headline(found), _Stores(found), *_notes(found), *_needs(found))


def watched(found: dict[str, Any], trouble: str = "") -> "RenderableType":
    """The same for a screen that may be too small for all stores: those that are well stand last. `trouble` is why
    nothing newer is known."""
    from rich.console import Group
    from rich.text import Text

    first = Text(trouble, style="bold red") if trouble else _headline(found)
    return Group(first, *_needs(found), *_notes(found), _Stores(found))


def _needs(found: dict[str, Any]) -> list["RenderableType"]:
    from rich.text import Text

    return [Text(each["told"], style="bold") for each in found["needs_a_person"]]


def _notes(found: dict[str, Any]) -> list["RenderableType"]:
    from rich.text import Text

    notes = [*_reasons(found), *_clocks(found), *_readings(found), *_anomalies(found), *_waiting(found)]
    return [Text(note) for note in notes]


def _headline(found: dict[str, Any]) -> "RenderableType":
    from rich.text import Text

    stores = [each for each in found["stores"] if each["state"] != "retired"]
    live, paused = (sum(each["state"] == state for each in stores) for state in ("live", "paused"))
    is_well = live + paused == len(stores)
    line = Text(f"{live} of {counted(len(stores), 'store')} live", style="bold green" if is_well else "bold yellow")
    if paused:
        line.append(f", {paused} paused", style="default")
    if found["complete_at"]:
        line.append(
            f", the chain complete as of {_moment(found['complete_at'], found['stores'][0]['timezone'])}",
            style="default",
        )
        behind = datetime.now(UTC) - datetime.fromisoformat(found["complete_at"])
        if behind > timedelta(seconds=BEHIND_SECONDS):
            line.append(f" because of {found['waits_for']}", style="default")
    elif found["waits_for"]:
        line.append(f", the chain not complete yet because of {found['waits_for']}", style="default")
    return line


class _Stores:
    """A table as wide as there is room: a narrow terminal leaves out columns, never part of a word."""

    COLUMNS = ("store", "name", "state", "complete as of", "binlog left", "row changes", "position")
    LEFT_OUT_FIRST = ("position", "row changes", "binlog left", "name", "complete as of")

    def __init__(self, found: dict[str, Any]) -> None:
        self._stores = sorted(found["stores"], key=_badness)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.measure import Measurement

        out = 0
        while True:
            table = self._table([name for name in self.COLUMNS if name not in self.LEFT_OUT_FIRST[:out]])
            width = Measurement.get(console, options.update_width(UNBOUNDED), table).maximum
            if width <= options.max_width or out == len(self.LEFT_OUT_FIRST):
                yield table
                return
            out += 1

    def _table(self, columns: "Sequence[str]") -> "Table":
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for heading in columns:
            right = heading in ("binlog left", "row changes")
            table.add_column(heading, justify="right" if right else "left", no_wrap=True)
        for store in self._stores:
            words, colour = _in_words(store)
            cells: dict[str, RenderableType] = {
                "store": store["id"],
                "name": store["name"],
                "state": Text(words, style=colour),
                "complete as of": _moment(store["complete_at"], store["timezone"]) if store["complete_at"] else "-",
                "binlog left": _left(store["binlog_hours_left"]),
                "row changes": f"{store['events']:,}",
                "position": store["position"] or "-",
            }
            table.add_row(*(cells[name] for name in columns))
        return table


def _badness(store: dict[str, Any]) -> tuple[Any, ...]:
    ago = store["complete_seconds_ago"] or 0.0
    return (_ORDER.index(store["state"]), -ago if ago > BEHIND_SECONDS else 0.0, store["id"])


def _in_words(store: dict[str, Any]) -> tuple[str, str]:
    from connectors.findings import duration

    words, colour = _STATES[store["state"]]
    lag = store["lag_seconds"] or 0.0
    if store["state"] == "unreachable" and store["state_seconds"] is not None:
        return f"{words} for {duration(store['state_seconds'])}", colour
    if store["state"] == "live" and lag > BEHIND_SECONDS:
        return f"{words}, {duration(lag)} behind", "yellow"
    return words, colour


def _left(hours: float | None) -> str:
    if hours is None:
        return "-"
    return f"{hours:.0f} h" if hours < 100 else f"{hours / 24:.0f} d"


def _moment(at: str, zone: str) -> str:
    """Today's without the date, by the store's own zone."""
    local = datetime.fromisoformat(at).astimezone(ZoneInfo(zone))
    today = datetime.now(ZoneInfo(zone)).date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"


def _reasons(found: dict[str, Any]) -> list[str]:
    """Of stores whose state needs nobody yet."""
    told = {each["store"] for each in found["needs_a_person"] if each["alert"] in ("StoreRefused", "StoreDark")}
    return [f"{each['id']}: {each['reason']}" for each in found["stores"] if each["reason"] and each["id"] not in told]


def _waiting(found: dict[str, Any]) -> list[str]:
    """What lies there without being too much yet."""
    counts = {
        "ReviewsWaitLong": found["reviews"], "KeysParked": found["parked_keys"], "DeadLetters": found["dead_letters"]
    }  # fmt: skip
    told = {each["alert"] for each in found["needs_a_person"]}
    return [words for alert, words in waiting_in_words(counts).items() if alert not in told]


def _clocks(found: dict[str, Any]) -> list[str]:
    """Of clocks that are off, or were put right within the last day."""
    from connectors.findings import beside_ours

    told = []
    for store in found["stores"]:
        moved_at, off = store["clock_moved_at"], -store["clock_correction_seconds"]
        if moved_at is None:
            continue
        at = datetime.fromisoformat(moved_at).astimezone(UTC)
        if off:
            how = f"{beside_ours(off)}, noticed {at:%Y-%m-%d %H:%M} UTC: its changes are timed without that"
        elif datetime.now(UTC) - at <= timedelta(days=1):
            how = f"put right, noticed {at:%Y-%m-%d %H:%M} UTC"
        else:
            continue
        told.append(f"{store['id']}: its clock is {how}")
    return told


def _anomalies(found: dict[str, Any]) -> list[str]:
    if not found["anomalies"]:
        return []
    since = datetime.fromisoformat(found["anomalies_since"]).astimezone(UTC)
    count = counted(found["anomalies"], "thing")
    verb = "looks" if found["anomalies"] == 1 else "look"
    return [
        f"{count} in the stores' rows {verb} wrong, the first since {since:%Y-%m-%d %H:%M} UTC: `tillstream anomalies`"
    ]


def _readings(found: dict[str, Any]) -> list[str]:
    told = []
    for each in found["reading_anew"]:
        if each["table"] is None:
            told.append(f"{each['store']}: is to begin anew ({each['reason']})")
            continue
        far = f"{each['rows']:,} of about {each['expected_rows']:,} rows" if each["rows"] else "waiting"
        left = left_in_words(each["seconds_left"])
        told.append(f"{each['store']}: reading {each['table']} anew, {far}{left} ({each['reason']})")
    return told
