"""Who and what the stories are about: members, their shops' clocks, and what each shop has."""

from typing import Any

from decided import DecidedChain

from conflict.clock import Look
from sinks.clock_looks import ClockLooks

PHONE, KEY = "13800138000", "+8613800138000"  # Mrs Wang's
AGREED = f"SELECT name, points, level FROM central.members WHERE _key = '{KEY}'"
ALL_AGREED = "SELECT _key, name, points, level FROM central.members ORDER BY 1"
HOUR, DAY = 3_600, 86_400


def policy(**columns: str) -> str:
    """Members are shared by their phone; what is not named is decided by `latest`."""
    rules = ", ".join(f"{name}: {rule}" for name, rule in columns.items())
    return f"version: 1\ntables:\n  members: {{scope: shared, key: {{phone: phone_cn}}, columns: {{{rules}}}}}\n"


def member(id_: int, name: str, points: int = 0, level: int = 1, phone: str = PHONE) -> dict[str, Any]:
    return {"id": id_, "phone": phone, "name": name, "points": points, "level": level}


def later(chain: DecidedChain, seconds: int = 60) -> None:
    for store in chain.stores.values():
        store.tick(seconds)


def held(chain: DecidedChain, store: str) -> list[tuple[Any, ...]]:
    """The members that a shop has, as stores.members shows them: id, name, points, level."""
    return chain.rows(
        f"SELECT id, name, points, level FROM stores.members WHERE _store = '{store}' AND NOT _deleted ORDER BY id"
    )


def looked_at(chain: DecidedChain, store: str, *, off_seconds: int) -> None:
    """As the probe does it, half a minute before the store's next change."""
    source = chain.stores[store].log.entries[-1].event.source
    assert source is not None
    now_us = source.ts_us - (off_seconds or 3 * HOUR) * 1_000_000
    with chain.warehouse.transaction() as tx:
        tx.execute(
            "INSERT INTO tillstream.epochs (store, epoch, reason) VALUES (%s, 1, 'a story') ON CONFLICT DO NOTHING",
            [store],
        )
    place = (1, int(source.file[-6:]), source.pos + 1)
    look = Look(
        place=place, began_us=now_us, ended_us=now_us + 30_000_000, offset_us=off_seconds * 1_000_000, uncertainty_us=0
    )
    ClockLooks(chain.warehouse).look(store, look)
