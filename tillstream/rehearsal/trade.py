"""What happens at a till: each deal is one transaction over several tables."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

from tillstream.rehearsal.shop import CLERKS, FRONT, LEVELS, MENU, METHODS, STORAGE, TAGS

if TYPE_CHECKING:
    from tillstream.rehearsal.tills import Till

Deal = Callable[["Till"], None]
NOTES = (None, None, "少冰 less ice", "加珍珠 +pearls 🧋", "不要糖", "两根吸管", "it's for 'Ann'; \\ no lid")
SOURCES = ("walk-in", "抖音", "friend")
MOST_REMEMBERED = 200


@dataclass(slots=True)
class Counter:
    """What the clerk has in mind, so that a deal need not ask the database first."""

    members: list[int] = field(default_factory=list)
    paid: list[int] = field(default_factory=list)  # sales that can be refunded
    drawer: list[tuple[Any, ...]] = field(default_factory=list)  # rows of the drawer log, exactly
    asks_source: bool = False  # whether the shop's members have the column that came later in the day

    def look_around(self, till: "Till") -> None:
        self.members = [number for (number,) in till.ask("SELECT id FROM members ORDER BY id")]


def any_deal(rng: Random) -> Deal:
    return rng.choices(*_HABITS)[0]


def sale(till: "Till") -> None:
    rng, counter = till.rng, till.counter
    member = rng.choice(counter.members) if counter.members and rng.random() < 0.6 else None
    number = till.insert("sales", member_id=member, total=Decimal(0), status="open", sold_at=now())
    total = Decimal(0)
    for line in range(1, rng.randint(1, 3) + 1):
        sku, _, price, _ = rng.choice(MENU)
        qty = Decimal(rng.choice((1, 1, 1, 2, 3)))
        till.insert(
            "sale_lines",
            pk=(number, line),
            sale_id=number, line=line, sku=sku, qty=qty, price=Decimal(price), note=rng.choice(NOTES),
        )  # fmt: skip
        till.change("UPDATE stock SET qty = qty - %s WHERE sku = %s AND location = %s", qty, sku, FRONT)
        total += qty * Decimal(price)
    method = rng.choice(METHODS)
    reference = None if method == METHODS[0] else rng.randbytes(16)
    till.insert("payments", sale_id=number, method=method, amount=total, reference=reference)
    till.change("UPDATE sales SET total = %s, status = 'paid' WHERE id = %s", total, number)
    if member is not None:
        till.change("UPDATE members SET points = points + %s WHERE id = %s", total / 10, member)
    if method == METHODS[0]:
        _note_drawer(till, f"收款 sale {number}", total)
    _remember(counter.paid, number)


def refund(till: "Till") -> None:
    if not till.counter.paid:
        return sale(till)
    number = till.counter.paid.pop(till.rng.randrange(len(till.counter.paid)))
    ((member, total),) = till.ask("SELECT member_id, total FROM sales WHERE id = %s", number)
    till.change("UPDATE sales SET status = 'refunded' WHERE id = %s", number)
    till.insert("payments", sale_id=number, method=METHODS[0], amount=-total, reference=None)
    for sku, qty in till.ask("SELECT sku, qty FROM sale_lines WHERE sale_id = %s", number):
        till.change("UPDATE stock SET qty = qty + %s WHERE sku = %s AND location = %s", qty, sku, FRONT)
    if member is not None:
        till.change("UPDATE members SET points = points - %s WHERE id = %s", total / 10, member)
    return _note_drawer(till, f"退款 refund {number}", -total)


def stock_take(till: "Till") -> None:
    for sku, *_ in till.rng.sample(MENU, 3):
        counted = Decimal(till.rng.randrange(20_000, 400_000)) / 1000
        till.change(
            "UPDATE stock SET qty = %s, counted_at = %s WHERE sku = %s AND location IN (%s, %s)",
            counted, now().replace(microsecond=0), sku, FRONT, STORAGE,
        )  # fmt: skip


def new_member(till: "Till") -> None:
    rng, counter = till.rng, till.counter
    further = {"source": rng.choice(SOURCES)} if counter.asks_source else {}
    number = till.insert(
        "members",
        phone=f"13{rng.randrange(10**9):09}", name=f"新会员 {rng.randrange(1000)}", points=Decimal("8.88"),
        birthday=None, tags=rng.choice(TAGS), **further,
    )  # fmt: skip
    counter.members.append(number)


def edit_member(till: "Till") -> None:
    rng, counter = till.rng, till.counter
    number = rng.choice(counter.members)
    column, value = rng.choice(
        (
            ("level", rng.choice(LEVELS)),
            ("tags", ",".join(tag for tag in TAGS if rng.random() < 0.3)),
            ("wallet", Decimal(rng.randrange(30_000)) / 100),
            ("source" if counter.asks_source else "level", rng.choice(SOURCES) if counter.asks_source else LEVELS[0]),
        )
    )
    till.change(f"UPDATE members SET {column} = %s WHERE id = %s", value, number)


def open_drawer(till: "Till") -> None:
    _note_drawer(till, "开钱箱 open", None)
    if till.rng.random() < 0.2:  # pressed twice: two rows that nothing tells apart
        row = till.counter.drawer[-1]
        _insert_drawer(till, row)


def correct_drawer(till: "Till") -> None:
    """A clerk corrects or removes an entry; without a key one of the equal rows is taken."""
    if not till.counter.drawer:
        return open_drawer(till)
    row = till.counter.drawer.pop(till.rng.randrange(len(till.counter.drawer)))
    where = "at = %s AND clerk = %s AND what = %s AND amount <=> %s"
    if till.rng.random() < 0.5:
        till.change(f"DELETE FROM drawer_log WHERE {where} LIMIT 1", *row)
        return None
    corrected = (*row[:2], f"{row[2][:40]} 更正", row[3])
    till.change(f"UPDATE drawer_log SET what = %s WHERE {where} LIMIT 1", corrected[2], *row)
    return _remember(till.counter.drawer, corrected)


def shift(till: "Till") -> None:
    closed = till.change("UPDATE shifts SET closed_at = %s, cash = %s WHERE closed_at IS NULL ORDER BY id LIMIT 1",
                         now().replace(microsecond=0), Decimal(till.rng.randrange(500_000)) / 100)  # fmt: skip
    remark = "交班 handed over, 一切正常" if closed else None
    till.insert("shifts", clerk=till.rng.choice(CLERKS), opened_at=now().replace(microsecond=0), remark=remark)


def now() -> datetime:
    """The shop's time; its server runs on UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


def _note_drawer(till: "Till", what: str, amount: Decimal | None) -> None:
    at = now()
    _insert_drawer(till, (at.replace(microsecond=at.microsecond // 1000 * 1000), till.rng.choice(CLERKS), what, amount))


def _insert_drawer(till: "Till", row: tuple[Any, ...]) -> None:
    at, clerk, what, amount = row
    till.insert("drawer_log", at=at, clerk=clerk, what=what, amount=amount)
    _remember(till.counter.drawer, row)


def _remember(memory: list[Any], thing: object) -> None:
    memory.append(thing)
    if len(memory) > MOST_REMEMBERED:
        memory.pop(0)


_HABITS: tuple[tuple[Deal, ...], tuple[int, ...]] = (
    (sale, refund, stock_take, new_member, edit_member, open_drawer, correct_drawer, shift),
    (60, 6, 3, 4, 8, 10, 8, 1),
)
