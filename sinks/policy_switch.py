"""When the policy differs from the one the warehouse was decided by: keys anew where their definition changed, and
every key of every shared table left to be decided, in chunks, while the worker goes on."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import sql

from conflict.identity import business_key
from conflict.policy import Policy, TablePolicy
from sinks.evolution import SCHEMA_LOCK, Catalog
from sinks.identities import aliases_of, keep_aliases
from sinks.statements import names, quoted, stage_name
from sinks.views import Views
from sinks.warehouse import Transaction, Warehouse
from tillstream.errors import RefusedError

CHUNK_ROWS = 10_000
POLICY_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('tillstream policy', 0))"

_REKEYED = sql.SQL("""\
CREATE TEMP TABLE {table} (
  _store text COLLATE "C", _pk text COLLATE "C", _key text COLLATE "C", PRIMARY KEY (_store, _pk)
) ON COMMIT DROP;
CREATE INDEX {index} ON {table} (_key)""")


def switch_policy(warehouse: Warehouse, policy: Policy) -> int:
    """The id under which the warehouse knows this policy; everything it changes is marked dirty first."""
    with warehouse.transaction() as tx:
        tx.execute(POLICY_LOCK)
        tx.execute(SCHEMA_LOCK)
        catalog = Catalog(Views(policy))
        catalog.load(tx)
        catalog.keep_views(tx)  # what they show may change without anything being decided otherwise
        rows = tx.rows("SELECT id, fingerprint, keys FROM tillstream.policies ORDER BY id DESC LIMIT 1")
        if rows and rows[0][1] == policy.fingerprint:
            return int(rows[0][0])
        before = rows[0][2] if rows else {}
        after = _keys(policy)
        for table in sorted({*before, *after} & set(catalog.tables)):
            if before.get(table) != after.get(table):
                _redo_keys(tx, catalog, table, policy.tables.get(table))
            if table in after:
                _mark_all(tx, table)
        return int(
            tx.value(
                "INSERT INTO tillstream.policies (version, fingerprint, keys) VALUES (%s, %s, %s) RETURNING id",
                [policy.version, policy.fingerprint, json.dumps(after)],
            )
        )


def require_applied(tx: Transaction, policy: Policy) -> None:
    """RefusedError unless central.* is what this policy makes, or will be once the dirty keys are decided."""
    fingerprint = tx.value("SELECT fingerprint FROM tillstream.policies ORDER BY id DESC LIMIT 1")
    if policy.tables and fingerprint != policy.fingerprint:
        raise RefusedError(
            "central.*: the warehouse was not decided by the policies as they are now; `tillstream run` applies them"
        )


def _keys(policy: Policy) -> dict[str, Any]:
    return {
        table: [[part.column, part.normaliser.value, sorted(part.stop)] for part in each.key]
        for table, each in policy.tables.items()
    }


def _redo_keys(tx: Transaction, catalog: Catalog, table: str, policy: TablePolicy | None) -> None:
    """All rows' business keys by the new definition. What was agreed under the old keys is gone with them."""
    if catalog.central_columns(table):
        tx.execute(sql.SQL("DELETE FROM central.{}").format(sql.Identifier(table)))
    tx.execute(sql.SQL("UPDATE stores.{} SET _key = NULL WHERE _key IS NOT NULL").format(sql.Identifier(table)))
    keep_aliases(tx, table, policy)
    if policy is not None:
        set_keys(tx, table, rekey(tx, catalog, table, policy))


def set_keys(tx: Transaction, table: str, rekeyed: str) -> None:
    """Those of a table that `rekey` made, which is gone after it."""
    tx.execute(
        sql.SQL("UPDATE stores.{} t SET _key = r._key FROM {} r WHERE t._store = r._store AND t._pk = r._pk").format(
            sql.Identifier(table), sql.Identifier(rekeyed)
        )
    )
    tx.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(rekeyed)))


def rekey(
    tx: Transaction, catalog: Catalog, table: str, policy: TablePolicy, *, under: Sequence[str] | None = None
) -> str:
    """The name of a temporary table, until the transaction's end: the business key of each row that has one.

    Of all rows, or only of those whose stored key is one of `under`.
    """
    name = stage_name("rekeyed", table)
    tx.execute(_REKEYED.format(table=sql.Identifier(name), index=sql.Identifier(f"{name}_key")))
    columns = [part.column for part in policy.key if part.column in catalog.columns(table)]
    aliases = aliases_of(tx, policy)
    for rows in _chunks(tx, table, columns, under):
        keyed = (
            (store, pk, business_key(policy.key, dict(zip(columns, values, strict=True))))
            for store, pk, *values in rows
        )
        tx.copy(
            sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(name)),
            [(store, pk, aliases.get(key, key)) for store, pk, key in keyed if key is not None],
        )
    tx.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(name)))
    return name


def _chunks(
    tx: Transaction, table: str, columns: list[str], under: Sequence[str] | None
) -> Iterator[list[tuple[Any, ...]]]:
    statement = sql.SQL(
        "SELECT _store, _pk, {} FROM stores.{} WHERE (_store, _pk) > (%s, %s){} ORDER BY _store, _pk LIMIT %s"
    ).format(names(columns), quoted(table), sql.SQL("" if under is None else " AND _key = ANY(%s)"))
    last = ("", "")
    while rows := tx.rows(statement, [*last, *([] if under is None else [list(under)]), CHUNK_ROWS]):
        yield rows
        last = rows[-1][:2]


def _mark_all(tx: Transaction, table: str) -> None:
    tx.execute(
        sql.SQL(
            "INSERT INTO tillstream.dirty_keys SELECT DISTINCT {}, _key FROM stores.{}"
            " WHERE _key IS NOT NULL ON CONFLICT DO NOTHING"
        ).format(sql.Literal(table), sql.Identifier(table))
    )
