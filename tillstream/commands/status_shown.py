"""`status` as a person sees it: the worst first, in words and in colour."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tillstream.commands.resync import left_in_words

if TYPE_CHECKING:
    from rich.console import RenderableType

BEHIND_SECONDS = 60.0  # less is the way of things

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
    """`found` is what `--output json` prints."""
    from rich.console import Group
    from rich.text import Text

    notes = [*_reasons(found), *_clocks(found), *_readings(found), *_anomalies(found)]
    return Group(
        _headline(found),
        _table(found),
        *(Text(note) for note in notes),
        *(Text(each["told"], style="bold") for each in found["needs_a_person"]),
    )


def _headline(found: dict[str, Any]) -> "RenderableType":
    from rich.text import Text

    stores = found["stores"]
    live = sum(each["state"] == "live" for each in stores)
    zone = stores[0]["timezone"]
    line = Text(f"{live} of {len(stores)} stores live", style="bold green" if live == len(stores) else "bold yellow")
    if found["complete_at"]:
        line.append(f", the chain complete as of {_moment(found['complete_at'], zone)}", style="default")
        behind = datetime.now(UTC) - datetime.fromisoformat(found["complete_at"])
        if behind > timedelta(seconds=BEHIND_SECONDS):
            line.append(f" because of {found['waits_for']}", style="default")
    elif found["waits_for"]:
        line.append(f", the chain not complete yet because of {found['waits_for']}", style="default")
    return line


def _table(found: dict[str, Any]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("store", "name", "state", "complete as of", "binlog left", "row changes", "position"):
        right = heading in ("binlog left", "row changes")
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for store in sorted(found["stores"], key=_badness):
        words, colour = _in_words(store)
        complete = _moment(store["complete_at"], store["timezone"]) if store["complete_at"] else "-"
        table.add_row(
            store["id"], store["name"], Text(words, style=colour), complete, _left(store["binlog_hours_left"]),
            f"{store['events']:,}", store["position"] or "-",
        )  # fmt: skip
    return table


def _badness(store: dict[str, Any]) -> tuple[Any, ...]:
    ago = store["complete_seconds_ago"] or 0.0
    return (_ORDER.index(store["state"]), -ago if ago > BEHIND_SECONDS else 0.0, store["id"])


def _in_words(store: dict[str, Any]) -> tuple[str, str]:
    from connectors.findings import duration

    words, colour = _STATES[store["state"]]
    lag = store["lag_seconds"] or 0.0
    if store["state"] == "unreachable" and store["complete_seconds_ago"] is not None:
        return f"{words} for {duration(store['complete_seconds_ago'])}", colour
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
    """Of stores that stand in need of nobody yet."""
    told = {each["store"] for each in found["needs_a_person"]}
    return [f"{each['id']}: {each['reason']}" for each in found["stores"] if each["reason"] and each["id"] not in told]


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
    count = f"{found['anomalies']} {'thing' if found['anomalies'] == 1 else 'things'}"
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
