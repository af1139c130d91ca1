"""When the policy differs from the one the warehouse was decided by: keys anew where their definition changed, and
every key of every shared table left to be decided, in chunks, while the worker goes on."""

import json
from collections.abc import Iterator
from typing import Any

from psycopg import sql

from conflict.identity import business_key
from conflict.policy import Policy, TablePolicy
from sinks.evolution import SCHEMA_LOCK, Catalog
from sinks.statements import names, quoted, stage_name
from sinks.views import Views
from sinks.warehouse import Transaction, Warehouse
from tillstream.errors import RefusedError

CHUNK_ROWS = 10_000
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('tillstream policy', 0))"

_REKEYED = sql.SQL("""\
CREATE TEMP TABLE {table} (
  _store text COLLATE "C", _pk text COLLATE "C", _key text COLLATE "C", PRIMARY KEY (_store, _pk)
) ON COMMIT DROP;
CREATE INDEX {index} ON {table} (_key)""")


def switch_policy(warehouse: Warehouse, policy: Policy) -> int:
    """The id under which the warehouse knows this policy; everything it changes is marked dirty first."""
    with warehouse.transaction() as tx:
        tx.execute(_LOCK)
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
    if policy is None:
        return
    rekeyed = rekey(tx, catalog, table, policy)
    tx.execute(
        sql.SQL("UPDATE stores.{} t SET _key = r._key FROM {} r WHERE t._store = r._store AND t._pk = r._pk").format(
            sql.Identifier(table), sql.Identifier(rekeyed)
        )
    )
    tx.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(rekeyed)))


def rekey(tx: Transaction, catalog: Catalog, table: str, policy: TablePolicy) -> str:
    """The name of a temporary table, until the transaction's end: the business key of each row that has one."""
    name = stage_name("rekeyed", table)
    tx.execute(_REKEYED.format(table=sql.Identifier(name), index=sql.Identifier(f"{name}_key")))
    columns = [part.column for part in policy.key if part.column in catalog.columns(table)]
    for rows in _chunks(tx, table, columns):
        keyed = (
            (store, pk, business_key(policy.key, dict(zip(columns, values, strict=True))))
            for store, pk, *values in rows
        )
        tx.copy(
            sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(name)), [row for row in keyed if row[2] is not None]
        )
    tx.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(name)))
    return name


def _chunks(tx: Transaction, table: str, columns: list[str]) -> Iterator[list[tuple[Any, ...]]]:
    statement = sql.SQL(
        "SELECT _store, _pk, {} FROM stores.{} WHERE (_store, _pk) > (%s, %s) ORDER BY _store, _pk LIMIT %s"
    ).format(names(columns), quoted(table))
    last = ("", "")
    while rows := tx.rows(statement, [*last, CHUNK_ROWS]):
        yield rows
        last = rows[-1][:2]


def _mark_all(tx: Transaction, table: str) -> None:
    tx.execute(
        sql.SQL(
            "INSERT INTO tillstream.dirty_keys SELECT DISTINCT {}, _key FROM stores.{}"
            " WHERE _key IS NOT NULL ON CONFLICT DO NOTHING"
        ).format(sql.Literal(table), sql.Identifier(table))
    )
