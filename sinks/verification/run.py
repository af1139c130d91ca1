"""`verify`: the stores' values against the warehouse's, and central.* against the policy, safe under traffic."""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import msgspec

from conflict.policy import Policy
from sinks.evolution import Catalog
from sinks.ledger import versions_at
from sinks.names import identifier, in_warehouse_names
from sinks.statements import verification as statements
from sinks.store_orders import read_orders
from sinks.store_session import Patience, StoreSession, StoreSource
from sinks.verification.both_sides import BothSides
from sinks.verification.central_comparison import CentralComparison
from sinks.verification.comparison import Comparison
from sinks.verification.differences import Compared, Difference, Kind
from sinks.verification.open_letters import OpenLetters
from sinks.warehouse import Warehouse
from tillstream.envelope import DeclaredColumn, TableVersion
from tillstream.errors import RefusedError, TillstreamError

STORES_AT_ONCE = 4
MOST_SAMPLES = 200

__all__ = ["Difference", "Kind", "Patience", "StoreSource", "Verification", "VerificationResult"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingTable:
    """`store` is empty for central.<table>."""

    store: str
    table: str
    differences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationResult:
    tables: int  # pairs of store and table
    rows: int  # of the stores
    differences: int  # rows that differ, and keys of central.* that do
    set_aside: int  # rows that differ, and an open dead letter says why, and keys of central.* that are parked
    in_flux: int  # rows that differ, but were moving, or whose store the warehouse had not caught up with
    central_keys: int
    central_differences: int  # contained in `differences`
    central_set_aside: int  # contained in `set_aside`
    unreachable: tuple[str, ...]  # what could not be judged, each with its reason
    differing: tuple[DifferingTable, ...]
    samples: tuple[Difference, ...]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return {"schema": 1, **asdict(self)}


@dataclass(slots=True, kw_only=True)
class _Found:
    """What one store, or central.*, came to."""

    compared: list[Compared] = field(default_factory=list)
    unreachable: str | None = None


class Verification:
    def __init__(
        self,
        stores: Sequence[StoreSource],
        policy: Policy,
        warehouse: Warehouse,
        *,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        self._stores, self._policy, self._warehouse = tuple(stores), in_warehouse_names(policy), warehouse
        self._patience = patience

    def run(
        self, *, stores: Collection[str] | None = None, tables: Collection[str] | None = None
    ) -> VerificationResult:
        """Compare all of it, or only these stores and tables; the result is kept in the warehouse.

        RefusedError where no such store or table is known; UnreachableError where the warehouse does not answer.
        """
        started, began = datetime.now(UTC), monotonic()
        self._warehouse.check_version()
        self._require_known(stores, tables)
        with self._warehouse.transaction() as tx:
            retired = read_orders(tx).retired
        wanted = [each for each in self._stores if (stores is None or each.id in stores) and each.id not in retired]
        with ThreadPoolExecutor(STORES_AT_ONCE, thread_name_prefix="verify") as pool:
            found = list(pool.map(lambda source: self._verify_store(source, tables), wanted))
        central = self._verify_central(stores, tables)
        result = _result(found, central, monotonic() - began)
        is_whole = stores is None and tables is None and bool(result.tables or not wanted)
        self._record(started, result, is_whole=is_whole)
        return result

    # --- stores -----------------------------------------------------------------------------------------

    def _verify_store(self, source: StoreSource, tables: Collection[str] | None) -> _Found:
        found = _Found()
        try:
            self._require_captured(source.id)
            with source.connect() as connection:
                session = StoreSession(source, connection, self._warehouse, self._patience)
                for version in self._versions(source.id, tables):
                    found.compared.append(self._verify_table(session, version))
        except TillstreamError as error:
            self._require_warehouse()
            found.unreachable = _named(source.id, error)
        return found

    def _verify_table(self, session: StoreSession, version: TableVersion) -> Compared:
        version, columns, followed = self._shared_columns(session, version)
        with self._warehouse.transaction() as tx:
            catalog = Catalog()
            catalog.load(tx)
            letters = OpenLetters(tx, version.store, identifier(version.table), keyless=not version.primary_key)
        sides = BothSides(session, self._warehouse, version, columns, catalog.columns(identifier(version.table)))
        compared = Comparison(session, sides, version, letters).run()
        for lost in (column.name for column in version.columns if columns and column not in columns):
            if followed:
                compared.differences += 1
                compared.samples.append(_lost_column(version, lost))
            else:
                compared.in_flux += 1
        return compared

    def _shared_columns(
        self, session: StoreSession, version: TableVersion
    ) -> tuple[TableVersion, tuple[DeclaredColumn, ...], bool]:
        """The version with those of its columns that the store still has: none of them, if the table is gone.

        A schema change that is on its way is waited for; the last part says whether that came to an end.
        """
        columns = _those_in(version, session.columns(version.database, version.table))
        if not columns or columns == version.columns:
            return version, columns, True
        followed = session.follow() is not None
        for present in self._versions(version.store, None):
            if (present.database, present.table) == (version.database, version.table):
                version = present
        return version, _those_in(version, session.columns(version.database, version.table)), followed

    def _versions(self, store: str, tables: Collection[str] | None) -> list[TableVersion]:
        """The tables that the warehouse takes from the store, as it last saw them declared."""
        with self._warehouse.transaction() as tx:
            versions = versions_at(tx, store)
        return [version for version in versions if tables is None or version.table in tables]

    def _require_known(self, stores: Collection[str] | None, tables: Collection[str] | None) -> None:
        with self._warehouse.transaction() as tx:
            known_tables = {table for (table,) in tx.rows(statements.TABLES)} | set(self._policy.tables)
        for noun, asked, known in (
            ("store", stores, {source.id for source in self._stores}),
            ("table", tables, known_tables),
        ):
            strange = sorted(set(asked or ()) - known)
            if strange:
                raise RefusedError(
                    f"no {noun} is known as {', '.join(strange)}; there are: {', '.join(sorted(known)) or 'none yet'}"
                )

    def _require_captured(self, store: str) -> None:
        with self._warehouse.transaction() as tx:
            if not tx.value(statements.IS_CAPTURED, [store]):
                raise RefusedError(f"store {store}: nothing of it is in the warehouse yet; start `tillstream run`")

    def _require_warehouse(self) -> None:
        """A store is only to blame for an error if the warehouse answers."""
        with self._warehouse.transaction() as tx:
            tx.value("SELECT 1")

    # --- central ----------------------------------------------------------------------------------------

    def _verify_central(self, stores: Collection[str] | None, tables: Collection[str] | None) -> _Found:
        found = _Found()
        try:
            with self._warehouse.transaction() as tx:
                wanted = None if tables is None else {identifier(table) for table in tables}
                found.compared = CentralComparison(tx, self._policy, stores).run(wanted)
        except RefusedError as error:
            found.unreachable = str(error)
        return found

    def _record(self, started: datetime, result: VerificationResult, *, is_whole: bool) -> None:
        with self._warehouse.transaction() as tx:
            tx.execute(statements.RECORD, [started, msgspec.json.encode(result.as_json()).decode(), is_whole])


def _those_in(version: TableVersion, names: Collection[str]) -> tuple[DeclaredColumn, ...]:
    return tuple(column for column in version.columns if column.name.lower() in names)


def _named(store: str, error: TillstreamError) -> str:
    return str(error) if str(error).startswith(f"store {store}") else f"store {store}: {error}"


def _lost_column(version: TableVersion, column: str) -> Difference:
    return Difference(
        store=version.store,
        table=version.table,
        key="",
        column=column,
        store_value="no such column",
        warehouse_value="known from a schema change that the store has undone without its log",
        kind=Kind.EXTRA,
    )


def _result(found: Sequence[_Found], central: _Found, seconds: float) -> VerificationResult:
    of_stores = [compared for each in found for compared in each.compared]
    every = [*of_stores, *central.compared]
    return VerificationResult(
        tables=len(of_stores),
        rows=sum(each.rows for each in of_stores),
        differences=sum(each.differences for each in every),
        set_aside=sum(each.set_aside for each in every),
        in_flux=sum(each.in_flux for each in every),
        central_keys=sum(each.rows for each in central.compared),
        central_differences=sum(each.differences for each in central.compared),
        central_set_aside=sum(each.set_aside for each in central.compared),
        unreachable=tuple(each.unreachable for each in (*found, central) if each.unreachable),
        differing=tuple(
            DifferingTable(store=each.store, table=each.table, differences=each.differences)
            for each in every
            if each.differences
        ),
        samples=tuple(sample for each in every for sample in each.samples)[:MOST_SAMPLES],
        seconds=round(seconds, 3),
    )
