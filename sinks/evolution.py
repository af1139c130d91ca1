"""The warehouse's tables follow the stores' schemas: they are created, widened, added to, and never narrowed.

Different stores may declare one table differently; the warehouse's is their union. What cannot be followed without
bending a value is refused, which stops that store's lane and no other.
"""

from collections.abc import Collection, Mapping

from psycopg import sql

from conflict.policy import RuleName, TablePolicy, chain
from conflict.resolution import OPENING
from sinks.clocks import KnownClocks
from sinks.columns import column_type, wider
from sinks.defaults import value_of_old_rows
from sinks.history import keep_history
from sinks.names import META_COLUMNS, identifier
from sinks.row_codec import RowCodec
from sinks.statements import central as central_sql
from sinks.statements import mirror as mirror_sql
from sinks.statements import quoted, render
from sinks.views import Views
from sinks.warehouse import Transaction
from tillstream.envelope import DeclaredColumn, Stamp
from tillstream.errors import RefusedError

RESYNC = "read the store anew with `tillstream resync {store}`"

_SCHEMA_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('tillstream schema', 0))"
_COLUMNS = """\
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum"""
_COLUMNS_OF = """\
SELECT a.attrelid = s.oid, a.attname, format_type(a.atttypid, a.atttypmod)
FROM (SELECT %s::regclass AS oid) s, (SELECT %s::regclass AS oid) c, pg_attribute a
WHERE a.attrelid IN (s.oid, c.oid) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum"""
_KEEP_AS_IT_IS = sql.SQL("LOCK TABLE stores.{table}, central.{table} IN ACCESS SHARE MODE")
_PG_NAMES = {"timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz"}


class Catalog:
    """The warehouse's own columns, as its catalog has them; read anew after anything that may have changed it.

    `clocks` are the stores', as contributions are read by them; `views` those that stand on the tables, for whoever
    changes tables.
    """

    def __init__(self, views: Views | None = None) -> None:
        self._views = views
        self.clocks = KnownClocks()
        self._stores: dict[str, dict[str, str]] = {}
        self._central: dict[str, dict[str, str]] = {}

    def load(self, tx: Transaction) -> None:
        self._stores = _read(tx, "stores")
        self._central = _read(tx, "central")

    def hold(self, tx: Transaction) -> None:
        """The same, and nobody else changes it until this transaction ends."""
        tx.execute(_SCHEMA_LOCK)
        self.load(tx)

    def refresh(self, tx: Transaction, table: str) -> None:
        """A shared table as it is now and stays until this transaction ends, whatever other workers have added."""
        name = sql.Identifier(table)
        tx.execute(_KEEP_AS_IT_IS.format(table=name))
        found: dict[bool, dict[str, str]] = {True: {}, False: {}}
        places = [render(sql.Identifier(schema, table)) for schema in ("stores", "central")]
        for is_stores, column, kind in tx.rows(_COLUMNS_OF, places):
            if column not in META_COLUMNS:
                found[is_stores][column] = _PG_NAMES.get(kind, kind)
        self._stores[table], self._central[table] = found[True], found[False]

    def types(self, table: str, columns: tuple[str, ...]) -> tuple[str, ...]:
        present = self._stores[table]
        return tuple(present[column] for column in columns)

    def columns(self, table: str) -> Mapping[str, str]:
        """The POS columns of stores.<table>, with their types; empty for a table that is not there yet."""
        return self._stores.get(table, {})

    def central_columns(self, table: str) -> Mapping[str, str]:
        return self._central.get(table, {})

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(self._stores)

    def ensure(self, tx: Transaction, codec: RowCodec) -> None:
        """Make room for everything this shape may bring. RefusedError where that would bend a value."""
        wanted = dict(zip(codec.columns, codec.warehouse_types, strict=True))
        present = self._stores.get(codec.table)
        if present is None or self._differs(present, wanted, codec):
            tx.execute(_SCHEMA_LOCK)
            self.load(tx)  # another worker may have been here
            self._follow(tx, codec, wanted)
            self.load(tx)
            self.keep_views(tx)

    def keep_views(self, tx: Transaction, *, anew: Collection[str] = ()) -> None:
        """`anew`: shared tables whose views are made again though nothing is to be seen of the change."""
        if self._views is not None:
            tx.execute(_SCHEMA_LOCK)
            self.load(tx)
            self._views.keep(tx, self._stores, self._central, anew=anew)
            keep_history(tx, self._central)

    def _differs(self, present: Mapping[str, str], wanted: Mapping[str, str], codec: RowCodec) -> bool:
        if codec.policy is not None:
            central = self._central.get(codec.table)
            if central is None or _lacks(central, _central_wanted(codec, wanted)):
                return True  # a column need not be new for that: another rule may want more room
        return _lacks(present, wanted)

    def _follow(self, tx: Transaction, codec: RowCodec, wanted: Mapping[str, str]) -> None:
        table = sql.Identifier(codec.table)
        if codec.table not in self._stores:
            tx.execute(mirror_sql.CREATE.format(table=table))
        self._grow(tx, codec, "stores", self._stores.get(codec.table, {}), wanted)
        if codec.policy is not None:
            index = sql.Identifier(identifier(f"{codec.table}__key"))
            tx.execute(mirror_sql.INDEX_KEY.format(index=index, table=table))
            tx.execute(central_sql.CREATE.format(table=table))
            self._grow(tx, codec, "central", self._central.get(codec.table, {}), _central_wanted(codec, wanted))

    def _grow(
        self,
        tx: Transaction,
        codec: RowCodec,
        schema: str,
        present: Mapping[str, str],
        wanted: Mapping[str, str],
    ) -> None:
        for name, kind in wanted.items():
            place = {
                "schema": sql.Identifier(schema),
                "table": sql.Identifier(codec.table),
                "column": sql.Identifier(name),
            }
            if name not in present:
                tx.execute(mirror_sql.ADD_COLUMN.format(**place, type=sql.SQL(kind)))
                continue
            union = wider(present[name], kind)
            if union is None and schema == "central":
                union = kind  # a part of the key is a text, whatever it was as a column that is decided
            if union is None:
                raise RefusedError(
                    f"store {codec.version.store}: {codec.version.table}.{name} is declared as {kind}, but the "
                    f"warehouse holds it as {present[name]}, and nothing holds both; make the stores' columns "
                    "agree, or leave this one out with tables.exclude_columns"
                )
            if union != present[name]:
                if self._views is not None:
                    self._views.make_way(tx, codec.table)
                tx.execute(mirror_sql.WIDEN.format(**place, type=sql.SQL(union)))


def _lacks(present: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return any(name not in present or present[name] != wider(present[name], kind) for name, kind in wanted.items())


def _read(tx: Transaction, schema: str) -> dict[str, dict[str, str]]:
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in tx.rows(_COLUMNS, [schema]):
        columns = tables.setdefault(table, {})
        if column not in META_COLUMNS:
            columns[column] = _PG_NAMES.get(kind, kind)
    return tables


def _central_wanted(codec: RowCodec, wanted: Mapping[str, str]) -> dict[str, str]:
    """The agreed row has no local id: a store's own primary key means nothing outside it, unless it is the key."""
    assert codec.policy is not None
    key = key_columns(codec.policy)
    local = {identifier(name) for name in codec.version.primary_key} - key
    return {
        name: "text" if name in key else _summed(codec.policy, name, kind)
        for name, kind in wanted.items()
        if name not in local
    }


def _summed(policy: TablePolicy, column: str, kind: str) -> str:
    """A sum over stores may need more room than any store's own value."""
    exact = kind in ("smallint", "integer", "bigint")
    is_sum = any(rule.rule in (RuleName.SUM, RuleName.SUM_OF_CHANGES) for rule in chain(policy.rule_for(column)))
    return "numeric" if is_sum and exact else kind


def key_columns(policy: TablePolicy) -> set[str]:
    return {part.column for part in policy.key}


def backfill(tx: Transaction, codec: RowCodec, added: list[DeclaredColumn], at: Stamp, ddl: str) -> set[str]:
    """ALTER TABLE … ADD gives old rows a value without any event: do the same here.

    Returns the business keys of the rows it changed.
    """
    touched: set[str] = set()
    store = codec.version.store
    place = {"store": store, "epoch": at.epoch, "file": at.file, "pos": at.pos, "row": at.row, "ord": at.order}
    for column in added:
        parts = {
            "table": quoted(codec.table),
            "column": quoted(identifier(column.name)),
            "type": sql.SQL(column_type(column).warehouse),
        }
        try:
            value = value_of_old_rows(column, ddl)
        except ValueError as error:
            if tx.rows(mirror_sql.ANY_LIVE.format(**parts), place):
                raise RefusedError(
                    f"store {store}: {codec.version.table}.{column.name} was added ({' '.join(ddl.split())[:200]}), "
                    f"and what the rows that were there got cannot be told: {error}; {RESYNC.format(store=store)}"
                ) from None
            continue
        registers = [identifier(column.name), identifier(column.name) + OPENING]
        rows = tx.rows(mirror_sql.BACKFILL.format(**parts), {**place, "value": value, "registers": registers})
        touched.update(key for (key,) in rows if key is not None)
    return touched
