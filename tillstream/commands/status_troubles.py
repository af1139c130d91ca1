"""What of `status` needs a person, each in a sentence with its remedy."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tillstream.alerts import Alerts
from tillstream.commands.config import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    alert: str  # that is raised by it, or will be
    store: str | None  # None: of the whole chain
    told: str


def troubles(found: dict[str, Any], alerts: Alerts) -> list[Trouble]:
    """`found` is what `status --output json` prints; how much is too much is what alerts go by."""
    return [*_of_the_chain(found), *_of_stores(found, alerts), *_of_tables(found, alerts), *_waiting(found, alerts)]


def _of_the_chain(found: dict[str, Any]) -> Iterator[Trouble]:
    if not found["running"]:
        yield Trouble(alert="RunDown", store=None, told="`tillstream run` is not at work on this warehouse.")


def _of_stores(found: dict[str, Any], alerts: Alerts) -> Iterator[Trouble]:
    for store in found["stores"]:
        name, left, lag = store["id"], store["binlog_hours_left"], store["lag_seconds"] or 0.0
        if store["state"] == "refused" and alerts.StoreRefused is not None:
            yield Trouble(alert="StoreRefused", store=name, told=f"{name}: {store['reason']}")
        if store["state"] == "unreachable" and _is_more(store["state_seconds"], alerts.StoreDark):
            yield Trouble(alert="StoreDark", store=name, told=f"{name}: {store['reason']}")
        is_behind = store["state"] != "live" or _is_more(lag, alerts.StoreLagging)
        risk = alerts.StoreBinlogExpiryRisk
        if left is not None and is_behind and risk is not None and left * 3600 < risk:
            within = f"may purge what the warehouse does not have in {counted(round(left), 'hour')}"
            told = f"{name}: its MySQL {within if left > 0 else 'may have purged what the warehouse does not have'}"
            yield Trouble(alert="StoreBinlogExpiryRisk", store=name, told=told)


def _of_tables(found: dict[str, Any], alerts: Alerts) -> Iterator[Trouble]:
    for each in found["holds"] if alerts.StoreHeld is not None else ():
        remedy = f"`tillstream stores release {each['store']}` shows what it would change"
        yield Trouble(alert="StoreHeld", store=each["store"], told=f"{each['store']}: {each['told']}; {remedy}")
    for each in found["not_read_anew"] if alerts.StoreNotReadAnew is not None else ():
        told = f"{each['store']}: {each['table']} could not be read anew ({each['reason']}): {each['error']}"
        yield Trouble(alert="StoreNotReadAnew", store=each["store"], told=told)


def _waiting(found: dict[str, Any], alerts: Alerts) -> Iterator[Trouble]:
    waits_long = found["reviews"] and _is_more(_age(found["oldest_review_at"]), alerts.ReviewsWaitLong)
    counts = {
        "ReviewsWaitLong": found["reviews"] if waits_long else 0,
        "KeysParked": _too_many(found["parked_keys_by_table"], alerts.KeysParked),
        "DeadLetters": _too_many(found["dead_letters_by_store"], alerts.DeadLetters),
    }
    for alert, told in waiting_in_words(counts).items():
        yield Trouble(alert=alert, store=None, told=told)


def waiting_in_words(counts: Mapping[str, int]) -> dict[str, str]:
    """By the alert that too many of them raise."""
    told = {}
    if count := counts["ReviewsWaitLong"]:
        waits = "value waits" if count == 1 else "values wait"
        told["ReviewsWaitLong"] = f"{count} {waits} to be decided by a person: `tillstream reviews list`"
    if count := counts["KeysParked"]:
        rules = "its rules" if count == 1 else "their rules"
        told["KeysParked"] = f"{counted(count, 'key')} could not be decided by {rules}: `tillstream parked list`"
    if count := counts["DeadLetters"]:
        are = "is" if count == 1 else "are"
        told["DeadLetters"] = f"{counted(count, 'event')} {are} set aside: `tillstream dead-letters list`"
    return told


def _is_more(seconds: float | None, threshold: float | None) -> bool:
    """Than an alert lets pass; one that is switched off lets everything pass. None seconds: since ever."""
    return threshold is not None and (seconds is None or seconds > threshold)


def _too_many(counts: Mapping[str, int], threshold: float | None) -> int:
    """The sum of those that an alert does not let pass."""
    return sum(count for count in counts.values() if threshold is not None and count > threshold)


def _age(at: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()
