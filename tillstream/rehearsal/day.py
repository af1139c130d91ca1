"""A day in a chain, from opening the shops to comparing every value: what `tillstream demo` plays."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from conflict.policy import Policy
from connectors.preflight import read_head
from sinks.embedded_warehouse import EmbeddedWarehouse
from sinks.verification.run import VerificationResult
from sinks.warehouse import Warehouse
from tillstream.checked_yaml import load
from tillstream.config import Config
from tillstream.errors import RefusedError, TransientError
from tillstream.opening import embedded_directory
from tillstream.own_modules import read_policy
from tillstream.pipeline import Pipeline
from tillstream.rehearsal.chain import Chain
from tillstream.rehearsal.kafka import KafkaServers
from tillstream.rehearsal.latency import Latency, Percentiles, measure
from tillstream.rehearsal.mysql import find_install
from tillstream.rehearsal.tills import Tills
from tillstream.rehearsal.watch import Display, Pool, Watch
from tillstream.rehearsal.workers import Workers
from tillstream.states import StoreState
from tillstream.verifying import verification_for

PROBE_SECONDS = 1.0
LIVE_SECONDS = 180.0  # twenty stores on two cores
STANDSTILL_SECONDS = 60.0  # a shop that came back is found within a dozen
LOOK_SECONDS = 0.1

_POSITIONS = "SELECT store, file, pos FROM tillstream.ledger"
_APPLIED = "SELECT coalesce(sum(events), 0) FROM tillstream.ledger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    stores: int
    seconds: float
    rate: float  # row changes per second, of all stores together
    seed: int
    workers: int = 0  # processes of their own that bring what comes by Kafka; 0: embedded, all in this one


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutcome:
    id: str
    name: str
    state: StoreState
    events: int
    lag_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the day brought. `events` were committed by the tills, `applied` taken into the warehouse."""

    plan: Plan
    mysql: str
    events: int
    applied: int
    latency: Latency
    conflicts: int
    recent_conflicts: tuple[str, ...]
    dead_letters: int
    pool: Pool
    resident_mb: int
    warehouse_mb: int
    kafka_mb: int
    verification: VerificationResult
    stores: tuple[StoreOutcome, ...]

    def faults(self) -> list[str]:
        """What must not be, in plain words; empty after a good day."""
        verified, missing = self.verification, len(self.latency.missing)
        found = {
            f"{self.events} row changes were committed, {self.applied} were taken in": self.events != self.applied,
            f"{missing} rows that a till saw committed are not in the warehouse": missing,
            f"verify found {verified.differences} rows that differ": verified.differences,
            f"verify could not judge {verified.in_flux} rows, for they moved": verified.in_flux,  # no till is at work
            f"verify could not ask: {'; '.join(verified.unreachable)}": verified.unreachable,
            f"{self.dead_letters} events were set aside (`tillstream dead-letters list`)": self.dead_letters,
            "the pool of points does not add up": not self.pool.adds_up,
        }
        return [fault for fault, is_so in found.items() if is_so]

    def as_json(self) -> dict[str, Any]:
        live = self.latency.live
        return {
            "schema": 1,
            "seconds": _number(self.plan.seconds),
            "events": self.events,
            "applied": self.applied,
            "latency_ms": {"p50": live.p50 if live else None, "p99": live.p99 if live else None},
            "conflicts": self.conflicts,
            "dead_letters": self.dead_letters,
            "resident_mb": self.resident_mb,
            "verify": {
                "tables": self.verification.tables,
                "rows": self.verification.rows,
                "differences": self.verification.differences,
                "set_aside": self.verification.set_aside,
            },
            "stores": [
                {"id": each.id, "state": each.state.value, "events": each.events, "lag_seconds": each.lag_seconds}
                for each in self.stores
            ],
            # beyond what was agreed on
            "rate": _number(self.plan.rate),
            "seed": self.plan.seed,
            "mysql": self.mysql,
            "via": "kafka" if self.plan.workers else "embedded",
            "workers": self.plan.workers,
            "warehouse_mb": self.warehouse_mb,  # PostgreSQL's processes, which resident_mb leaves out
            "kafka_mb": self.kafka_mb,  # the broker and Kafka Connect, too
            "latency_measured": {
                "clock": "from the till's time.time_ns() after COMMIT to pg_xact_commit_timestamp",
                "rows": live.rows if live else 0,
                "most_ms": live.most if live else None,
                "missing": len(self.latency.missing),
            },
            # rows of a shop that had gone dark, until the first of them was in: left out of latency_ms
            "latency_after_outage_ms": _percentiles(self.latency.after_outage),
            "points": {
                "central": str(self.pool.central),
                "of_members_deleted_elsewhere": str(self.pool.withheld),
                "shops": str(self.pool.shops),
            },
            "faults": self.faults(),
        }


def rehearse(directory: Path, plan: Plan, display: Display) -> Outcome:
    """Everything started here is stopped at the end, however it ends; the directory stays."""
    install = find_install()
    with ExitStack() as stack:
        chain = stack.enter_context(Chain(directory, install, stores=plan.stores, seed=plan.seed))
        display.say(f"opening shops ({plan.stores}) in {directory}")
        kafka = stack.enter_context(_kafka(directory, display)) if plan.workers else None
        config = chain.start(kafka.capture if kafka else None)
        embedded = EmbeddedWarehouse(embedded_directory(config), die_with_parent=True)
        warehouse = Warehouse(stack.enter_context(embedded).url)
        stack.callback(warehouse.dispose)
        warehouse.migrate()
        workers = Workers(chain.config_path, directory / "workers", plan.workers)
        return _Day(chain, config, warehouse, plan, display, workers, kafka).run()


@contextmanager
def _kafka(directory: Path, display: Display) -> Iterator[KafkaServers]:
    display.say("starting Kafka and Kafka Connect")
    with KafkaServers(directory / "kafka") as servers:
        yield servers


class _Day:
    def __init__(
        self,
        chain: Chain,
        config: Config,
        warehouse: Warehouse,
        plan: Plan,
        display: Display,
        workers: Workers,
        kafka: KafkaServers | None,
    ) -> None:
        self._chain, self._config, self._warehouse = chain, config, warehouse
        self._plan, self._display = plan, display
        self._policy = _policy(config)
        self._workers, self._kafka = workers, kafka
        self._watch = Watch(chain.shops, warehouse, display, self._resident_bytes)
        self._tills = Tills(chain.shops, seconds=plan.seconds, rate=plan.rate, seed=plan.seed, tell=display.say)
        self._pipeline = Pipeline(
            config, self._policy, warehouse, on_report=self._watch.on_report, probe_seconds=PROBE_SECONDS
        )  # fmt: skip

    def run(self) -> Outcome:
        with self._watch:
            try:
                self._pipeline.start()
                with self._workers:
                    return self._trade()
            finally:
                self._pipeline.stop()

    def _trade(self) -> Outcome:
        mysql = self._chain.shops[0].server.version
        self._display.say(f"they run MySQL {mysql}; reading everything for the first time")
        self._wait_until_live()
        before = self._ask(_APPLIED)
        self._display.say(f"the tills open: {self._plan.rate:g} row changes a second for {self._plan.seconds:g} s")
        self._let_them_work()
        self._display.say("the tills are closed; waiting for what is still on its way")
        self._wait_until_arrived()
        self._display.say("everything has arrived; comparing every value with the shops")
        verified = verification_for(self._config, self._policy, self._warehouse).run()
        conflicts, recent = self._watch.conflicts()
        return Outcome(
            plan=self._plan,
            mysql=mysql,
            events=self._tills.row_changes,
            applied=self._ask(_APPLIED) - before,
            latency=measure(self._warehouse, self._tills.log, self._tills.outages),
            conflicts=conflicts,
            recent_conflicts=recent,
            dead_letters=self._ask("SELECT count(*) FROM tillstream.dead_letters"),
            pool=self._watch.pool(),
            resident_mb=round(max(self._watch.peak_bytes, self._resident_bytes()) / 1e6),
            warehouse_mb=round(_warehouse_bytes() / 1e6),
            kafka_mb=round(self._kafka.resident_bytes() / 1e6) if self._kafka else 0,
            verification=verified,
            stores=tuple(self._stores()),
        )

    def _let_them_work(self) -> None:
        try:
            self._tills.open()
            while self._tills.open_now:
                self._look()
        finally:
            self._tills.close()

    def _wait_until_live(self) -> None:
        self._wait(self._not_live, LIVE_SECONDS, "is not followed yet")

    def _not_live(self) -> dict[str, object]:
        """Live, and its log really being read: the snapshot ends a moment before the reader has connected."""
        waiting: dict[str, object] = {}
        for shop in self._chain.shops:
            state = self._watch.state(shop.id)
            if state is StoreState.REFUSED:
                raise RefusedError(self._watch.reports[shop.id].reason)
            if state is not StoreState.LIVE or not shop.is_followed():
                waiting[shop.id] = state.value
        return waiting

    def _wait_until_arrived(self) -> None:
        heads = {store.id: read_head(store) for store in self._config.stores}

        def missing() -> dict[str, object]:
            with self._warehouse.transaction() as tx:
                reached = {store: (file, pos) for store, file, pos in tx.rows(_POSITIONS)}
                dirty = tx.value("SELECT count(*) FROM tillstream.dirty_keys")
            behind: dict[str, object] = {
                store: f"{reached[store]} of {head}" for store, head in heads.items() if reached[store] < head
            }
            return behind or ({"central": f"{dirty} keys to decide"} if dirty else {})

        self._wait(missing, STANDSTILL_SECONDS, "does not arrive")

    def _wait(self, missing: Callable[[], dict[str, object]], most_seconds: float, complaint: str) -> None:
        """Until nothing is missing; TransientError where what is missing stays the same for too long."""
        last: dict[str, object] = {}
        since = time.monotonic()
        while waiting := missing():
            if waiting != last:
                last, since = waiting, time.monotonic()
            if time.monotonic() - since > most_seconds:
                shown = ", ".join(f"{name} ({where})" for name, where in waiting.items())
                raise TransientError(f"after {most_seconds:.0f} s {shown} {complaint}")
            self._look()

    def _look(self) -> None:
        if self._pipeline.failure is not None:
            raise self._pipeline.failure
        self._workers.require_alive()
        time.sleep(LOOK_SECONDS)

    def _stores(self) -> list[StoreOutcome]:
        outcomes = []
        for till in self._tills.tills:
            report = self._watch.reports[till.shop.id]
            lag = round(report.lag_seconds or 0.0, 2)
            outcomes.append(
                StoreOutcome(
                    id=till.shop.id, name=till.shop.name, state=report.state, events=till.row_changes, lag_seconds=lag
                )
            )
        return outcomes

    def _resident_bytes(self) -> int:
        return int(psutil.Process().memory_info().rss) + self._workers.resident_bytes()

    def _ask(self, statement: str) -> int:
        with self._warehouse.transaction() as tx:
            return int(tx.value(statement))


def _policy(config: Config) -> Policy:
    assert config.policies is not None
    return read_policy(load(config.policies, remedy=""), config.store_attributes)


def _warehouse_bytes() -> int:
    """PostgreSQL's share of its memory: its processes have most of it in common, which PSS counts once."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            total += process.memory_full_info().pss if process.name() == "postgres" else 0
        except psutil.Error:  # gone since, or not ours to look into
            continue
    return total


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else value


def _percentiles(found: Percentiles | None) -> dict[str, Any] | None:
    return {"rows": found.rows, "p50": found.p50, "p99": found.p99, "most": found.most} if found else None
