"""Another policy becomes the one in force: alone for a moment, while no transaction decides, and then key by key.

What a switch does at once is what no key may be decided without: room in central.*, business keys by a changed
definition, which were made beside the old ones before (see `sinks.key_change`). Every key of a table that may be
decided otherwise is gone through after it by the workers, in the keys' order, a chunk in each of their transactions
(see `Central.take_waiting`).
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from psycopg import sql

from conflict.identity import business_key
from conflict.policy import Policy, TablePolicy
from sinks.evolution import Catalog
from sinks.history import because
from sinks.identities import aliases_of
from sinks.key_change import PATIENCE, KeyChange, abandon_keys
from sinks.ledger import versions_at
from sinks.names import in_warehouse_names
from sinks.parked_keys import forget_parked
from sinks.policy_versions import (
    Origin,
    PolicyVersion,
    alone,
    keep,
    keep_rules,
    keep_source,
    last_of_file,
    version_in_force,
)
from sinks.row_codec import Shapes
from sinks.statements import names, quoted, stage_name
from sinks.store_orders import read_orders
from sinks.views import Views
from sinks.warehouse import Transaction, Warehouse
from tillstream.errors import ConfigError, RefusedError, TransientError, UnreachableError

log = logging.getLogger(__name__)

CHUNK_ROWS = 10_000
RESTS_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 10.0, 10.0, 0.0)  # before another try; the last is the last
STORES = "SELECT DISTINCT store FROM tillstream.schema_versions ORDER BY store"
_REDECIDE = """\
INSERT INTO tillstream.redecisions (table_name) VALUES (%s)
ON CONFLICT (table_name) DO UPDATE SET after = '', began_at = clock_timestamp(), reason = EXCLUDED.reason"""
_CLOSE_REVIEWS = """\
UPDATE tillstream.reviews SET closed_at = clock_timestamp()
WHERE closed_at IS NULL AND table_name || '.' || column_name <> ALL(%s)"""
_STOP_REDECIDING = "DELETE FROM tillstream.redecisions WHERE table_name = %s"

_KEY_ANEW = sql.SQL("""\
UPDATE stores.{table} t SET _key = r._key FROM {rekeyed} r
WHERE t._store = r._store AND t._pk = r._pk AND t._key IS DISTINCT FROM r._key""")

_REKEYED = sql.SQL("""\
CREATE TEMP TABLE {table} (
  _store text COLLATE "C", _pk text COLLATE "C", _key text COLLATE "C", PRIMARY KEY (_store, _pk)
) ON COMMIT DROP;
CREATE INDEX {index} ON {table} (_key)""")


def take_up_file(warehouse: Warehouse, shapes: Shapes) -> PolicyVersion:
    """The policy to work by, when a process starts: that of the file, unless a person went back from just that one."""
    with warehouse.transaction() as tx:
        present = version_in_force(tx)
        gone_back_from = present is not None and last_of_file(tx) == shapes.policy.fingerprint
    if present is not None and present.origin is Origin.ROLLBACK and gone_back_from:
        return present
    switch_policy(warehouse, shapes)
    with warehouse.transaction() as tx:
        taken_up = version_in_force(tx)
    assert taken_up is not None
    return taken_up


def switch_policy(
    warehouse: Warehouse, shapes: Shapes, origin: Origin = Origin.FILE, *, author: str = "", reason: str = ""
) -> int:
    """The id under which the warehouse knows `shapes.policy`; that is in force then."""
    with warehouse.transaction() as tx:
        present = version_in_force(tx)
        if present is not None and present.fingerprint == shapes.policy.fingerprint:
            keep_source(tx, present, shapes.policy)
            keep_rules(tx, present.id, shapes.policy)
            Catalog(Views(shapes.policy)).keep_views(tx)  # they may be those of an earlier Tillstream
            return present.id
    for rest_seconds in RESTS_SECONDS:
        try:
            changes = build_keys(warehouse, shapes.policy)
            with warehouse.transaction() as tx:
                for change in changes:
                    change.keep_vacuum_out(tx)
                alone(tx)
                present = version_in_force(tx)
                if present is not None and present.fingerprint == shapes.policy.fingerprint:
                    return present.id
                return _switch(tx, present, shapes, origin, author, reason)
        except TransientError as error:  # somebody reads for long what is to be held, or another policy came between
            if not rest_seconds or isinstance(error, UnreachableError):
                raise
            log.info("the switch to policy version %d waits: %s", shapes.policy.version, error)
            time.sleep(rest_seconds)
    raise AssertionError


def build_keys(warehouse: Warehouse, policy: Policy) -> list[KeyChange]:
    """Those of tables whose key is another one, beside the present ones: all of a switch that takes long."""
    with warehouse.transaction() as tx:
        catalog = Catalog()
        catalog.load(tx)
        changes = _key_changes(version_in_force(tx), policy, catalog.tables)
    for change in changes:
        change.build(warehouse)
    return changes


def _key_changes(present: PolicyVersion | None, policy: Policy, tables: Iterable[str]) -> list[KeyChange]:
    before, after = present.keys if present else {}, _keys(policy)
    return [
        KeyChange(table, policy.tables.get(table), after.get(table))
        for table in sorted({*before, *after} & set(tables))
        if before.get(table) != after.get(table)
    ]


def _switch(
    tx: Transaction, present: PolicyVersion | None, shapes: Shapes, origin: Origin, author: str, reason: str
) -> int:
    policy, catalog = shapes.policy, Catalog(Views(shapes.policy))
    because(tx, f"policy version {policy.version}{_said(author, reason)}")
    catalog.hold(tx)
    changes = _key_changes(present, policy, catalog.tables)
    tx.execute(PATIENCE)
    for change in changes:
        change.hold(tx)
    _make_room(tx, catalog, shapes)
    for change in changes:
        change.switch(tx)
    abandon_keys(tx)
    before, after = present.keys if present else {}, _keys(policy)
    was = _known(present)
    for table in sorted({*before, *after} & set(catalog.tables)):
        if table not in after:
            if catalog.central_columns(table):
                tx.execute(sql.SQL("DELETE FROM central.{}").format(sql.Identifier(table)))
            tx.execute(_STOP_REDECIDING, [table])
            forget_parked(tx, table)
        elif was is None or _what_decides(was.tables.get(table)) != _what_decides(policy.tables[table]):
            tx.execute(_REDECIDE, [table])
            forget_parked(tx, table)
    tx.execute(_CLOSE_REVIEWS, [_reviewed(policy, catalog)])
    number = keep(tx, policy, after, origin, author, reason)
    catalog.keep_views(tx, anew=[change.table for change in changes])
    for change in changes:
        change.end(tx)
    return number


def _what_decides(policy: TablePolicy | None) -> TablePolicy | None:
    return None if policy is None else replace(policy, guards=None)


def _said(author: str, reason: str) -> str:
    return f"{f' by {author}' if author else ''}{f': {reason}' if reason else ''}"


def _make_room(tx: Transaction, catalog: Catalog, shapes: Shapes) -> None:
    """For what every store's tables as they are now may come to under this policy: a sum may need more."""
    retired = read_orders(tx).retired
    for (store,) in tx.rows(STORES):
        for version in versions_at(tx, store) if store not in retired else ():
            with suppress(RefusedError):  # its lane is refused by it, and says so
                catalog.ensure(tx, shapes.of(version))


def _reviewed(policy: Policy, catalog: Catalog) -> list[str]:
    return [
        f"{table}.{column}"
        for table, each in policy.tables.items()
        for column in catalog.columns(table)
        if each.is_reviewed(column)
    ]


def _known(present: PolicyVersion | None) -> Policy | None:
    """What was in force, where that is still understood."""
    try:
        return in_warehouse_names(present.policy) if present else None
    except (RefusedError, ConfigError):
        return None


def require_applied(tx: Transaction, policy: Policy) -> None:
    """RefusedError unless central.* is what this policy makes, or will be once the keys that wait are decided."""
    present = version_in_force(tx)
    if policy.tables and (present is None or present.fingerprint != policy.fingerprint):
        raise RefusedError("central.*: another policy was taken up in the meantime; try again")


def _keys(policy: Policy) -> dict[str, Any]:
    return {table: [part.facts for part in each.key] for table, each in policy.tables.items()}


def set_keys(tx: Transaction, table: str, rekeyed: str) -> None:
    """Those that `rekey` made, whose table is gone after it."""
    tx.execute(_KEY_ANEW.format(table=sql.Identifier(table), rekeyed=sql.Identifier(rekeyed)))
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
            (store, pk, business_key(policy.key, dict(zip(columns, values, strict=True)), store))
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
