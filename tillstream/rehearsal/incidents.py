"""What a day in the chain brings beside trade: the cases on which copies of databases usually part ways.

All of it is decided before the day begins, so that tills need not talk to each other: two that should edit one
member at once find the same moment in their diaries.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from tillstream.rehearsal.shop import MENU, RARE_LEVELS, STORAGE, people, spelled

if TYPE_CHECKING:
    from tillstream.rehearsal.tills import Till

# Which of the members known everywhere a story is about: each has one part in the day.
_DELETED_AND_MISSED, _RENUMBERED, _FIRST_CONTESTED = 0, 1, 2
_LONGEST_OUTAGE_SECONDS, _SHORTEST_OUTAGE_SECONDS = 10.0, 1.0
_PRICED = MENU[4][0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """`at` is the part of the day gone by, `store` the index of the shop, `told` what a watcher reads."""

    at: float
    store: int
    act: "Callable[[Till], None]"
    told: str = ""


def incidents(names: Sequence[str], *, seconds: float, seed: int) -> list[Incident]:
    """The day's incidents in shops of these names; the last one goes dark in the middle of it."""
    found = [*_alone(names, seconds=seconds, seed=seed)]
    if len(names) > 1:
        found += [*_contests(names, seed), *_prices(names), *_deleted_and_missed(names, seed)]
    return found


def _alone(names: Sequence[str], *, seconds: float, seed: int) -> Iterator[Incident]:
    last = len(names) - 1
    outage_seconds = min(_LONGEST_OUTAGE_SECONDS, max(_SHORTEST_OUTAGE_SECONDS, seconds * 0.15))
    added = "ALTER TABLE members ADD COLUMN source VARCHAR(20) NOT NULL DEFAULT 'walk-in'"
    yield Incident(
        at=0.30, store=0, act=partial(_add_column, added), told=f"{names[0]} adds the column `source` to its members"
    )
    if last > 1:
        yield Incident(
            at=0.70, store=1, act=partial(_add_column, added), told=f"{names[1]} adds the column `source` too"
        )
    phone = people(seed)[_RENUMBERED].phone
    yield Incident(
        at=0.42, store=0, act=partial(_renumber_member, phone), told=f"{names[0]} gives a member another number"
    )
    yield Incident(at=0.78, store=0, act=_move_stock)
    yield Incident(at=0.46, store=last, act=lambda till: till.go_dark(outage_seconds), told=f"{names[last]} goes dark")


def _contests(names: Sequence[str], seed: int) -> Iterator[Incident]:
    """Two shops edit one member in the same second, each to something else."""
    rng = Random(f"{seed}/contests")
    known = people(seed)
    born = date(1990, 1, 1) + timedelta(days=rng.randrange(5000))
    values = {
        "level": RARE_LEVELS,
        "name": ("陈 静", "陈静 Jing"),
        "birthday": (born, born + timedelta(days=1)),
        "tags": ("少糖,去冰,student", "student,生日券"),
    }
    for number, (at, column) in enumerate(zip((0.08, 0.20, 0.38, 0.66, 0.86), [*values, "level"], strict=True)):
        person = known[_FIRST_CONTESTED + number]
        first, second = _pair(len(names), number)
        told = f"{names[first]} and {names[second]} both change the {column} of {person.phone}"
        for store, value, text in ((first, values[column][0], told), (second, values[column][1], "")):
            yield Incident(at=at, store=store, act=partial(_edit_member, person.phone, column, value), told=text)
        for store in range(len(names)):  # and everywhere somebody earns points on the same card
            yield Incident(at=at + 0.02, store=store, act=partial(_earn_points, person.phone))


def _pair(stores: int, number: int) -> tuple[int, int]:
    first = number % stores
    return first, (first + 1) % stores


def _prices(names: Sequence[str]) -> Iterator[Incident]:
    new, own = Decimal("20.50"), Decimal("21.80")
    yield Incident(at=0.12, store=0, act=partial(_price, new), told=f"{names[0]} changes the price of {_PRICED}")
    for store in range(1, len(names)):
        yield Incident(at=0.26, store=store, act=partial(_price, new))
    yield Incident(at=0.34, store=1, act=partial(_price, own), told=f"{names[1]} asks a price of its own for {_PRICED}")


def _deleted_and_missed(names: Sequence[str], seed: int) -> Iterator[Incident]:
    phone = people(seed)[_DELETED_AND_MISSED].phone
    yield Incident(at=0.15, store=0, act=partial(_delete_member, phone), told=f"{names[0]} deletes the member {phone}")
    yield Incident(
        at=0.60,
        store=1,
        act=partial(_edit_member, phone, "name", "老顾客 regular"),
        told=f"{names[1]} edits {phone}, whom {names[0]} deleted",
    )


def _add_column(statement: str, till: "Till") -> None:
    till.alter(statement)
    till.counter.asks_source = True


def _edit_member(phone: str, column: str, value: object, till: "Till") -> None:
    till.change(f"UPDATE members SET {column} = %s WHERE phone = %s", value, spelled(phone, till.shop.index))


def _earn_points(phone: str, till: "Till") -> None:
    earned = Decimal(till.rng.randrange(100, 2_000)) / 100
    till.change("UPDATE members SET points = points + %s WHERE phone = %s", earned, spelled(phone, till.shop.index))


def _delete_member(phone: str, till: "Till") -> None:
    ((number,),) = till.ask("SELECT id FROM members WHERE phone = %s", spelled(phone, till.shop.index))
    till.change("DELETE FROM members WHERE id = %s", number)
    till.counter.members.remove(number)


def _renumber_member(phone: str, till: "Till") -> None:
    ((old,),) = till.ask("SELECT id FROM members WHERE phone = %s", spelled(phone, till.shop.index))
    till.change("UPDATE members SET id = %s WHERE id = %s", old + 500_000, old, weight=2)
    till.counter.members[till.counter.members.index(old)] = old + 500_000


def _move_stock(till: "Till") -> None:
    """Part of a key of two columns changes."""
    till.change("UPDATE stock SET location = '二楼' WHERE sku = %s AND location = %s", MENU[0][0], STORAGE, weight=2)


def _price(price: Decimal, till: "Till") -> None:
    till.change("UPDATE products SET price = %s WHERE sku = %s", price, _PRICED)
