"""Tills at work: a thread a shop, real transactions, and a log of its own of all that was committed."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple, Protocol

import pymysql

from tillstream.rehearsal import trade
from tillstream.rehearsal.chain import Shop
from tillstream.rehearsal.incidents import Incident, incidents

LOGGED = frozenset({"sale_lines", "payments"})  # rows of these are only ever inserted
MOST_ARREARS_SECONDS = 1.0  # a till that was held up hurries for so long, and then lets the rest go


class Premises(Protocol):
    """A shop as its till knows it."""

    @property
    def index(self) -> int: ...

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...

    def connect(self) -> "pymysql.Connection[Any]": ...


class LoggedRow(NamedTuple):
    """A row that a till saw committed; `pk` as the warehouse writes it."""

    store: str
    table: str
    pk: str
    committed_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """While a shop was dark nothing of it was committed."""

    store: str
    dark_ns: int
    back_ns: int


class Till(threading.Thread):
    """The one that writes in its shop, so that it knows exactly how many rows changed.

    A transaction counts once COMMIT has returned. Each row inserted, updated or deleted is one row change; an
    UPDATE that leaves a row as it was is none, and one of a primary key is two: the old row goes, a new one comes.
    """

    def __init__(
        self, shop: Premises, diary: Sequence[Incident], *, rate: float, seed: int, tell: Callable[[str], None]
    ) -> None:
        super().__init__(name=f"till-{shop.id}", daemon=True)
        self.shop = shop
        self.rng = Random(f"{seed}/till {shop.index}")
        self.row_changes = 0
        self.log: list[LoggedRow] = []
        self.outages: list[Outage] = []
        self.failure: BaseException | None = None
        self.counter = trade.Counter()
        self._diary = sorted(diary, key=lambda incident: incident.at, reverse=True)
        self._rate = rate
        self._tell = tell
        self._closing = threading.Event()
        self._opened = self._closes = 0.0
        self._connection: pymysql.Connection[Any] | None = None
        self._changed = 0
        self._inserted: list[tuple[str, str]] = []

    def open(self, opened: float, seconds: float) -> None:
        """Work from `opened`, in time.monotonic(), for so long."""
        self._opened, self._closes = opened, opened + seconds
        self.start()

    def close(self) -> None:
        """Finish the transaction at hand and go home."""
        self._closing.set()

    def run(self) -> None:
        try:
            self._connection = self.shop.connect()
            self.counter.look_around(self)
            self._work()
        except BaseException as error:
            self.failure = error
        finally:
            self._hang_up()

    # --- what trade does to the shop's tables --------------------------------------------------------------

    def change(self, statement: str, *values: object, weight: int = 1) -> int:
        """The rows really changed; `weight` is 2 where a primary key changes."""
        with self._cursor() as cursor:
            rows = int(cursor.execute(statement, values))
        self._changed += rows * weight
        return rows

    def insert(self, table: str, pk: Sequence[object] = (), **values: object) -> int:
        """The row's AUTO_INCREMENT, which is its key where `pk` is not given."""
        columns = ", ".join(f"`{name}`" for name in values)
        with self._cursor() as cursor:
            places = ", ".join(["%s"] * len(values))
            self._changed += cursor.execute(f"INSERT INTO `{table}` ({columns}) VALUES ({places})", [*values.values()])
            number = int(cursor.lastrowid or 0)
        if table in LOGGED:
            parts = ",".join(f'"{part}"' for part in pk)
            self._inserted.append((table, f"[{parts}]" if pk else str(number)))
        return number

    def ask(self, statement: str, *values: object) -> tuple[tuple[Any, ...], ...]:
        with self._cursor() as cursor:
            cursor.execute(statement, values)
            return tuple(cursor.fetchall())

    def alter(self, statement: str) -> None:
        """DDL: MySQL commits it by itself."""
        self.ask(statement)

    def go_dark(self, seconds: float) -> None:
        """Power is lost, and comes back after `seconds`; no transaction is open at that time."""
        assert isinstance(self.shop, Shop), "nobody cuts the power of a server that is not ours"
        self._hang_up()
        dark_ns = time.time_ns()
        self.shop.server.kill()
        self._closing.wait(seconds)
        self.shop.server.start()
        self._connection = self.shop.connect()
        self.outages.append(Outage(store=self.shop.id, dark_ns=dark_ns, back_ns=time.time_ns()))
        self._tell(f"{self.shop.name} is back")

    # --- the day ---------------------------------------------------------------------------------------------

    def _work(self) -> None:
        due = self._opened
        while True:
            self._wait_until(min(due, self._next_incident()))
            if self._closing.is_set() or time.monotonic() >= self._closes:
                return
            if self._next_incident() <= time.monotonic():
                self._live_through(self._diary.pop())
            else:
                changes = self._transact(trade.any_deal(self.rng))
                due = max(due + changes / self._rate, time.monotonic() - MOST_ARREARS_SECONDS)

    def _next_incident(self) -> float:
        return self._opened + self._diary[-1].at * (self._closes - self._opened) if self._diary else float("inf")

    def _live_through(self, incident: Incident) -> None:
        if incident.told:
            self._tell(incident.told)
        self._transact(incident.act)

    def _transact(self, act: "Callable[[Till], None]") -> int:
        """The number of rows that the transaction changed."""
        assert self._connection is not None
        act(self)
        self._connection.commit()
        committed_ns = time.time_ns()  # now and not later: latency is measured from here
        changed, self._changed = self._changed, 0
        self.row_changes += changed
        self.log.extend(LoggedRow(self.shop.id, table, pk, committed_ns) for table, pk in self._inserted)
        self._inserted.clear()
        return changed

    def _wait_until(self, moment: float) -> None:
        self._closing.wait(max(0.0, min(moment, self._closes) - time.monotonic()))

    def _cursor(self) -> Any:
        assert self._connection is not None
        return self._connection.cursor()

    def _hang_up(self) -> None:
        if self._connection is not None and self._connection.open:
            self._connection.close()


class Tills:
    """All tills of a chain for one day of `seconds`, `rate` row changes a second together."""

    def __init__(
        self,
        shops: Sequence[Shop],
        *,
        seconds: float,
        rate: float,
        seed: int,
        tell: Callable[[str], None] = lambda told: None,
    ) -> None:
        self._seconds = seconds
        diary = incidents([shop.name for shop in shops], seconds=seconds, seed=seed)
        self.tills = [
            Till(
                shop,
                [each for each in diary if each.store == shop.index],
                rate=rate / len(shops),
                seed=seed,
                tell=tell,
            )
            for shop in shops
        ]

    def open(self) -> None:
        opened = time.monotonic()
        for till in self.tills:
            till.open(opened, self._seconds)

    @property
    def open_now(self) -> bool:
        return any(till.is_alive() for till in self.tills)

    def close(self) -> None:
        """Return once every till has finished; a till's failure is raised here."""
        for till in self.tills:
            till.close()
        self.join()

    def join(self) -> None:
        for till in self.tills:
            if till.ident is not None:
                till.join()
        for till in self.tills:
            if till.failure is not None:
                raise till.failure

    @property
    def row_changes(self) -> int:
        return sum(till.row_changes for till in self.tills)

    @property
    def log(self) -> list[LoggedRow]:
        return [row for till in self.tills for row in till.log]

    @property
    def outages(self) -> list[Outage]:
        return [outage for till in self.tills for outage in till.outages]
