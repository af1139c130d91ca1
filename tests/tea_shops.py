"""Who and what the stories are about: members, their shops' clocks, and what each shop has."""

from typing import Any

from decided import DecidedChain

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
