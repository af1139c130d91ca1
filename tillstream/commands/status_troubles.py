"""What of `status` needs a person, each in a sentence with its remedy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tillstream.alerts import Alerts


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    store: str | None  # None: of the whole chain
    told: str


def troubles(found: dict[str, Any], alerts: Alerts) -> list[Trouble]:
    """`found` is what `status --output json` prints; how long is too long is what alerts go by."""
    return [*_of_the_chain(found), *_of_stores(found, alerts), *_of_tables(found), *_waiting(found)]


def _of_the_chain(found: dict[str, Any]) -> Iterator[Trouble]:
    if not found["running"]:
        yield _chain("`tillstream run` is not at work on this warehouse.")


def _of_stores(found: dict[str, Any], alerts: Alerts) -> Iterator[Trouble]:
    for store in found["stores"]:
        name, left, lag = store["id"], store["binlog_hours_left"], store["lag_seconds"] or 0.0
        if store["state"] == "refused":
            yield Trouble(store=name, told=f"{name}: {store['reason']}")
        if store["state"] == "unreachable" and _is_more(store["complete_seconds_ago"], alerts.StoreDark):
            yield Trouble(store=name, told=f"{name}: {store['reason']}")
        is_behind = store["state"] != "live" or _is_more(lag, alerts.StoreLagging)
        risk = alerts.StoreBinlogExpiryRisk
        if left is not None and is_behind and risk is not None and left * 3600 < risk:
            told = f"{name}: its MySQL may purge what the warehouse does not have in {max(left, 0):.0f} hours"
            yield Trouble(store=name, told=told)


def _is_more(seconds: float | None, threshold: float | None) -> bool:
    """Than an alert lets pass; one that is switched off lets everything pass. None seconds: since ever."""
    return threshold is not None and (seconds is None or seconds > threshold)


def _of_tables(found: dict[str, Any]) -> Iterator[Trouble]:
    for each in found["holds"]:
        remedy = f"`tillstream stores release {each['store']}` shows what it would change"
        yield Trouble(store=each["store"], told=f"{each['store']}: {each['told']}; {remedy}")
    for each in found["not_read_anew"]:
        told = f"{each['store']}: {each['table']} could not be read anew ({each['reason']}): {each['error']}"
        yield Trouble(store=each["store"], told=told)


def _waiting(found: dict[str, Any]) -> Iterator[Trouble]:
    if found["reviews"]:
        yield _chain(f"{found['reviews']} values wait to be decided by a person: `tillstream reviews list`")
    if found["parked_keys"]:
        yield _chain(f"{found['parked_keys']} keys could not be decided by their rules: `tillstream parked list`")
    if found["dead_letters"]:
        yield _chain(f"{found['dead_letters']} events are set aside: `tillstream dead-letters list`")


def _chain(told: str) -> Trouble:
    return Trouble(store=None, told=told)
