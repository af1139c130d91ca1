"""A warehouse that the real worker filled from stores in memory, and the commands that look at what was decided."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asked import AskedStore
from fake_store import FakeStore, FakeTable, Row, column
from invocation import write_config
from lanes import RecordedLanes

from conflict.policy import Policy
from sinks.engine_offsets import EngineOffsets
from sinks.epochs import Epochs
from sinks.ledger import versions_at
from sinks.names import in_warehouse_names
from sinks.policy_switch import switch_policy
from sinks.policy_versions import version_in_force
from sinks.resync import table_resync
from sinks.resync.pace import Pace
from sinks.resync.requests import add, finish, found, open_requests
from sinks.resync.table_resync import TableResync
from sinks.row_codec import Shapes
from sinks.verification.central_comparison import CentralComparison
from sinks.warehouse import Warehouse
from sinks.worker import Worker
from tillstream.commands import main
from tillstream.commands.config import load_all

TEXT = {"length": 40, "charset_name": "utf8mb4"}
WAITING = "SELECT FROM tillstream.dirty_keys UNION ALL SELECT FROM tillstream.redecisions LIMIT 1"
NOON = 1_767_268_800  # 2026-01-01 12:00:00 UTC


class DecidedChain:
    """Stores with members and products, and wallets if the policies share them. The policies are those of policies.yaml
    in `directory`."""

    def __init__(
        self,
        directory: Path,
        url: str,
        policies: str,
        *,
        ids: Sequence[str] = ("s1", "s2"),
        locations: Mapping[str, tuple[float, float]] | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        ports = {store: port for port, store in enumerate(ids, 1)}
        write_config(directory, url, ports, policies=policies, locations=locations, attributes=attributes)
        self.warehouse = Warehouse(url)
        self.warehouse.migrate()
        self.policy = self._policy()
        self._policy_id = switch_policy(self.warehouse, Shapes(self.policy))
        self._wallets = "wallets" in self.policy.tables
        self.stores = {name: self._store(name) for name in ids}
        self._taken = dict.fromkeys(self.stores, 0)

    def _policy(self) -> Policy:
        _, policy = load_all(self.directory / "tillstream.yaml")
        return in_warehouse_names(policy)

    def _store(self, name: str) -> FakeStore:
        members = [column("id", "INT", optional=False), column("phone", "VARCHAR", **TEXT),
                   column("name", "VARCHAR", **TEXT), column("points", "INT"), column("level", "INT")]  # fmt: skip
        products = [column("sku", "VARCHAR", optional=False, **TEXT), column("region", "VARCHAR", **TEXT),
                    column("price", "DECIMAL", length=12, scale=2)]  # fmt: skip
        wallets = [column("id", "INT", optional=False), column("phone", "VARCHAR", **TEXT),
                   column("balance", "DECIMAL", length=12, scale=2)]  # fmt: skip
        tables = [
            FakeTable("members", members, ("id",), self.policy.tables.get("members")),
            FakeTable("products", products, ("sku",), self.policy.tables.get("products")),
            *([FakeTable("wallets", wallets, ("id",), self.policy.tables["wallets"])] if self._wallets else []),
        ]
        store = FakeStore(name, tables)
        store.tick(NOON - store.seconds)
        return store

    def take_in(self, stores: Iterable[str] | None = None) -> None:
        """What these stores' logs, or all, have since the last time."""
        lanes = RecordedLanes()
        for name in self.stores if stores is None else stores:
            log = self.stores[name].log
            lanes.record([log.batch(self._taken[name], len(log))])
            self._taken[name] = len(log)
        self._work(lanes)

    def deliver_again(self) -> None:
        """All of every log, as after a restart whose place was lost."""
        lanes = RecordedLanes()
        for store in self.stores.values():
            lanes.record([store.log.batch(0, len(store.log))])
        self._work(lanes)

    def apply(self, policies: str) -> None:
        """As the next start of `run` does it."""
        (self.directory / "policies.yaml").write_text(policies)
        self.policy = self._policy()
        self._policy_id = switch_policy(self.warehouse, Shapes(self.policy))
        lanes = RecordedLanes()
        for name, store in self.stores.items():  # taking a lane over makes room for what is shared by now
            lanes.record([store.log.batch(len(store.log), len(store.log))])
            self._taken[name] = len(store.log)
        self._work(lanes)

    def take_up(self) -> None:
        """Go on under the policy that a command has put in force."""
        with self.warehouse.transaction() as tx:
            present = version_in_force(tx)
        assert present is not None
        self.policy, self._policy_id = in_warehouse_names(present.policy), present.id
        self.work()

    def work(self) -> None:
        """What is left to be decided, without anything new from the stores."""
        self._work(RecordedLanes())

    def _work(self, lanes: RecordedLanes) -> None:
        worker = Worker(self.warehouse, lanes, Shapes(self.policy, self._policy_id))
        worker.run(lambda: not lanes.busy and not self.rows(WAITING))
        assert not lanes.refused

    def read_anew(
        self, name: str, meanwhile: Callable[[], object] = lambda: None, *, clock: FakeStore | None = None
    ) -> dict[str, tuple[int, int, int]]:
        """What was asked of the store, as `run` does it: by table, rows read, mended and withdrawn. `meanwhile` happens
        when a table was read and the warehouse does not have it yet. `clock`: the store whose clock goes as ours does,
        if that is not this one."""
        store, right = self.stores[name], clock or self.stores[name]

        def follow() -> None:
            meanwhile()
            self.take_in([name])

        shapes, pace = Shapes(self.policy, self._policy_id), Pace(100, lambda seconds: False)
        ours = SimpleNamespace(time_ns=lambda: right.seconds * 1_000_000_000)  # what is found counts from its reading
        with self.warehouse.transaction() as tx:
            asked = open_requests(tx, name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(table_resync, "time", ours)
            for request in asked:
                TableResync(AskedStore(store, follow), self.warehouse, shapes, request, pace).run(lambda: False)  # type: ignore[arg-type]
        self.work()
        with self.warehouse.transaction() as tx:
            done = found(tx, [each.id for each in asked])
        assert [each.state for each in done] == ["done"] * len(done)
        return {str(each.table): (each.rows, each.mended, each.withdrawn) for each in done}

    def restore(self, name: str, backup: dict[str, dict[Any, Row]]) -> dict[str, tuple[int, int, int]]:
        """The store is put back to it; its new log is found out, and its tables are read anew."""
        store = self.stores[name]
        store.restore(backup)
        Epochs(self.warehouse).begin(name, "the log was reset")
        beginning = EngineOffsets(self.warehouse).prepare(name)
        assert (beginning.epoch, beginning.schema_only) == (store.epoch, True)
        store.begin_anew()
        lanes = RecordedLanes()
        lanes.record([replace(store.log.batch(0, len(store.log)), schema_only=True)])
        self._taken[name] = len(store.log)
        self._work(lanes)
        with self.warehouse.transaction() as tx:
            (whole,) = open_requests(tx, name)
            for version in versions_at(tx, name):
                add(tx, name, whole.reason, database=version.database, table=version.table)
            finish(tx, whole)
        return self.read_anew(name)

    def close(self) -> None:
        self.warehouse.dispose()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.warehouse.transaction() as tx:
            return tx.rows(query)

    def tillstream(self, *arguments: str) -> int:
        """Run a verb in this process; its exit code."""
        with pytest.raises(SystemExit) as left:
            main([*arguments, "--config", str(self.directory / "tillstream.yaml")])
        return int(left.value.code or 0)


def agreed_right(chain: DecidedChain) -> None:
    """central.* is what the policy in force makes of all rows, and nothing waits to be decided."""
    assert not chain.rows(WAITING)
    with chain.warehouse.transaction() as tx:
        for compared in CentralComparison(tx, chain.policy, None).run(None):
            assert (compared.differences, compared.samples) == (0, [])
