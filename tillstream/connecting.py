"""The connectors of all stores: compared with what tillstream.yaml wants, and made so; all at once, nobody holding up
another."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.pool import ThreadPool
from typing import TypeVar

from connectors import preflight
from connectors.connect import Connector, cause
from connectors.connector_engine import ConnectorCapture
from connectors.connector_plan import Action, Found, Step, Wanted, differing, to_remove, to_rest, to_run
from connectors.engine_failures import engine_failure, remedy_of
from connectors.supervisor import Supervisor, require_own
from sinks.engine_offsets import ConnectorBeginnings
from sinks.lane_topics import LaneRefusals, Reached, reached
from sinks.store_orders import Orders, StoreOrders
from sinks.store_states import StoreStates
from sinks.warehouse import Warehouse
from tillstream.config import Config, Store
from tillstream.envelope import file_number
from tillstream.errors import RefusedError, TillstreamError, UnreachableError
from tillstream.pipeline import Books
from tillstream.states import StoreState

AT_ONCE = 32  # each mostly waits for a store or for Kafka Connect
SHOWN_SECONDS, LOOK_SECONDS = 15.0, 0.2
NO_MORE = "the store is no more in tillstream.yaml"
FAILED_STATES = ("FAILED", "STOPPED", "PAUSED")
Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlan:
    """`faults`: what forbids it, each with its remedy; `unreachable`: why nothing could be judged."""

    store: str
    steps: tuple[Step, ...] = ()
    faults: tuple[str, ...] = ()
    unreachable: str = ""
    wanted: Wanted | None = None
    server_uuid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`unknown`: connectors that are left alone."""

    stores: tuple[StorePlan, ...]
    unknown: tuple[str, ...]

    @property
    def steps(self) -> list[Step]:
        return [step for each in self.stores for step in each.steps]

    @property
    def as_wanted(self) -> list[str]:
        return [each.store for each in self.stores if not each.steps and not each.faults and not each.unreachable]

    @property
    def faults(self) -> list[str]:
        return [told for each in self.stores for told in (*each.faults, each.unreachable) if told]

    def require_judged(self) -> None:
        """UnreachableError where no store could be asked."""
        if self.stores and all(each.unreachable for each in self.stores):
            raise UnreachableError("\n".join(each.unreachable for each in self.stores))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorStatus:
    """`behind`: records of the lane that the warehouse does not have."""

    store: str
    name: str
    connector: str
    state: str
    task: str | None
    worker: str
    stands: str | None
    lane_end: int | None
    behind: int | None
    warehouse: str | None
    cause: str
    has_failed: bool


class Connecting:
    def __init__(self, config: Config, warehouse: Warehouse) -> None:
        assert config.capture is not None
        self._config, self._warehouse = config, warehouse
        self._beginnings = ConnectorBeginnings(warehouse)
        self._capture = ConnectorCapture(config, self._beginnings, LaneRefusals(warehouse).why)
        self.places = self._capture.places
        self._books = Books(warehouse, None)
        self._owners: dict[str, str] = {}

    # --- as tillstream.yaml wants it ---------------------------------------------------------------------

    def plan(self, chosen: Sequence[str] = ()) -> Plan:
        """All stores, or those chosen. Nothing is written anywhere."""
        found = self.places.found()
        written = {store.id: store for store in self._config.stores}
        gone = sorted(found.keys() & reached(self._warehouse).keys() - written.keys())
        self._require_known(chosen, [*written, *gone])
        orders = StoreOrders(self._warehouse).read()

        def planned(store: str) -> StorePlan:
            there = found.get(store, Found())
            if store not in written:
                return StorePlan(store=store, steps=to_remove(store, there, NO_MORE))
            if resting := _resting(store, orders):
                return StorePlan(store=store, steps=to_rest(store, there, f"the store is {resting}"))
            return self._planned(written[store], there)

        plans = _at_once(planned, [each for each in [*written, *gone] if not chosen or each in chosen])
        ours = {name for store in (*written, *gone) for name in found.get(store, Found()).connectors}
        unknown = sorted(self.places.connect.connectors().keys() - ours)
        return Plan(stores=tuple(self._without_doubles(plans)), unknown=tuple(unknown))

    def apply(self, plan: Plan) -> dict[str, TillstreamError | None]:
        """What the plan has steps for, as `run` would do it; by store what went wrong."""

        def applied(planned: StorePlan) -> TillstreamError | None:
            try:
                if planned.wanted is not None:
                    self.begin(planned.store)
                else:
                    self.places.take(planned.steps)
            except TillstreamError as error:
                return error
            return None

        due = [each for each in plan.stores if each.steps]
        errors = dict(zip([each.store for each in due], _at_once(applied, due), strict=True))
        self._await_shown([each.wanted for each in due if each.wanted is not None and errors[each.store] is None])
        return errors

    def _await_shown(self, wanted: Iterable[Wanted]) -> None:
        """All workers of Connect have to hear of a change before it shows: whoever looks next is to see it."""
        deadline = time.monotonic() + SHOWN_SECONDS
        waiting = list(wanted)
        while waiting and time.monotonic() < deadline:
            present = self.places.connect.connectors()
            waiting = [
                each for each in waiting
                if each.name not in present or differing(present[each.name].config, each.options)
            ]  # fmt: skip
            time.sleep(LOOK_SECONDS if waiting else 0.0)

    def begin(self, store: str) -> None:
        """What `run` does before it watches over the store."""
        (found,) = (each for each in self._config.stores if each.id == store)
        Supervisor(self._config, found, self._capture, self._books, self._owners).begin()

    def resume(self, store: str) -> None:
        """Even where it does not show yet that its connector was stopped."""
        self.places.rested.update(self.places.found([store])[store].connectors)
        self.begin(store)

    def rest(self, store: str) -> None:
        """Stop the store's connector."""
        self.places.take(to_rest(store, self.places.found([store])[store], ""))

    def removal(self, store: str) -> tuple[Step, ...]:
        """What `places.take` would have to do so that nothing reads the store any more."""
        self._require_known(
            [store], sorted({each.id for each in self._config.stores} | reached(self._warehouse).keys())
        )
        return to_remove(store, self.places.found([store])[store], "")

    def _require_known(self, chosen: Iterable[str], known: Sequence[str]) -> None:
        for store in chosen:
            if store not in known:
                raise RefusedError(f"no store is known as {store}; there are: {', '.join(known)}")

    def _planned(self, store: Store, found: Found) -> StorePlan:
        try:
            facts = preflight.examine(store)
            wanted = self._capture.wanted(store, facts, self._capture.look(store, facts, found))
            steps = to_run(wanted, found)
            faults = self._faults(store, wanted) if _is_configured(steps) else ()
        except UnreachableError as error:
            return StorePlan(store=store.id, unreachable=str(error))
        except TillstreamError as error:
            return StorePlan(store=store.id, faults=(str(error),))
        if faults:
            return StorePlan(store=store.id, faults=faults)
        return StorePlan(store=store.id, steps=steps, wanted=wanted, server_uuid=facts.server_uuid)

    def _faults(self, store: Store, wanted: Wanted) -> tuple[str, ...]:
        """What Connect itself says of it, in its own words and ours."""
        try:
            said = self.places.connect.faults_of(wanted.name, wanted.options)
        except UnreachableError:
            raise
        except TillstreamError as error:
            said = [str(error)]
        return tuple(f"store {store.id}: {each}; {_remedy(store, each)}" for each in said)

    def _without_doubles(self, plans: Iterable[StorePlan]) -> Iterable[StorePlan]:
        """Of two stores on one server the second is told."""
        owners: dict[str, str] = {}
        written = {store.id: store for store in self._config.stores}
        for each in plans:
            try:
                if each.server_uuid:
                    require_own(written[each.store], each.server_uuid, owners)
                yield each
            except RefusedError as error:
                yield replace(each, steps=(), faults=(*each.faults, str(error)))

    # --- as it is ----------------------------------------------------------------------------------------

    def statuses(self) -> list[ConnectorStatus]:
        found, orders = self.places.found(), StoreOrders(self._warehouse).read()
        states = {row["store"]: row for row in StoreStates(self._warehouse).read()}
        in_warehouse = reached(self._warehouse)
        names = self.places.names
        ends = self.places.topics.ends([names.lane(each.id) for each in self._config.stores])

        def status(store: Store) -> ConnectorStatus:
            at, end = in_warehouse.get(store.id), ends.get(names.lane(store.id))
            name = names.connector(store.id, at.generation if at else 0)
            present = found.get(store.id, Found()).connectors.get(name)
            resting = _resting(store.id, orders)
            seen = states.get(store.id, {})
            return ConnectorStatus(
                store=store.id,
                name=store.name,
                connector=name,
                state=present.state.lower() if present else resting or "missing",
                task=present.task_state.lower() if present and present.task_state else None,
                worker=present.worker if present else "",
                stands=self._stands(name) if present else None,
                lane_end=end,
                behind=None if end is None or at is None else max(0, end - (at.lane_offset or 0)),
                warehouse=_place(at.position) if at else None,
                cause=_cause(store.id, present, at) or ("" if resting else seen.get("reason") or ""),
                has_failed=not resting and (_has_failed(present, at) or seen.get("state") == StoreState.REFUSED),
            )

        return _at_once(status, self._config.stores)

    def _stands(self, name: str) -> str | None:
        offset = self.places.connect.offset(name)
        if offset is None:
            return None
        place = _place((file_number(str(offset["file"])), int(offset["pos"])))
        return f"{place} (first snapshot)" if "snapshot" in offset and not offset.get("snapshot_completed") else place


def _at_once(do: Callable[[Given], Made], each: Sequence[Given]) -> list[Made]:
    """Its threads are daemons: Ctrl-C does not wait for a store that does not answer."""
    if not each:
        return []
    with ThreadPool(min(AT_ONCE, len(each))) as pool:
        return pool.map(do, each, chunksize=1)


def _resting(store: str, orders: Orders) -> str:
    return "retired" if store in orders.retired else "paused" if store in orders.paused else ""


def _is_configured(steps: Iterable[Step]) -> bool:
    return any(each.action in (Action.CREATE, Action.CHANGE) for each in steps)


def _remedy(store: Store, said: str) -> str:
    if remedy := remedy_of(store.id, said):
        return remedy
    where = f"the variable {store.password.env}" if store.password.env else f"the file {store.password.file}"
    return (
        f"Kafka Connect logs in to {store.host}:{store.port} from its own machine, with the password that {where} "
        "holds there"
    )


def _place(position: tuple[int, int]) -> str:
    return f"{position[0]:06d}:{position[1]}"


def _cause(store: str, present: Connector | None, at: Reached | None) -> str:
    if present is not None and present.has_failed:
        return str(engine_failure(store, cause(present.trace)))
    return (at.refusal if at else None) or ""


def _has_failed(present: Connector | None, at: Reached | None) -> bool:
    if present is None or present.state in FAILED_STATES or present.has_failed:
        return True
    return at is not None and at.refusal is not None
