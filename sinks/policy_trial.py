"""Which central values would change under another policy: decided by the code that decides, and written nowhere."""

import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from psycopg import sql

from conflict.clock import moment
from conflict.policy import TablePolicy
from conflict.what_if import ChangedValue, Scope, TableDifference, rules_of, scope_of
from sinks.evolution import Catalog
from sinks.ledger import versions_at
from sinks.names import identifier
from sinks.policy_switch import STORES, rekey, require_applied
from sinks.row_codec import RowCodec, Shapes
from sinks.statements import verification as statements
from sinks.store_orders import read_orders
from sinks.verification.decided_beside import DecidedBeside
from sinks.verification.row_forms import SHOWN_CHARACTERS
from sinks.warehouse import Transaction
from tillstream.checked_yaml import suggestion
from tillstream.envelope import TableVersion
from tillstream.errors import RefusedError, TillstreamError


class UnfitPolicyError(TillstreamError):
    """The new policy cannot be that of these stores; `reasons` is by table, in the warehouse's names."""

    def __init__(self, reasons: Mapping[str, Sequence[str]]) -> None:
        self.reasons = reasons
        super().__init__("\n".join(itertools.chain.from_iterable(reasons.values())))


class PolicyTrial:
    """Tries `new` where `old` is in force, in the caller's transaction. Both speak in the warehouse's names.

    RefusedError if `old` is not in force, UnfitPolicyError if a store cannot be captured under `new`.
    """

    def __init__(self, tx: Transaction, old: Shapes, new: Shapes, *, samples: int, most_keys: int | None) -> None:
        tx.execute(statements.ONE_SNAPSHOT)
        require_applied(tx, old.policy)
        self._tx, self._old, self._new = tx, old.policy, new.policy
        self._samples, self._most_keys = samples, most_keys
        self._catalog = Catalog()
        self._catalog.load(tx)
        self._untimed = _untimed(tx, old, new)
        self._scopes = {
            table: scope
            for table in sorted({*self._old.tables, *self._new.tables})
            if (scope := scope_of(self._old.tables.get(table), self._new.tables.get(table))) is not None
        }

    def run(self) -> list[TableDifference]:
        """Of every table that the two policies treat differently."""
        here = {table: scope for table, scope in self._scopes.items() if table in self._catalog.tables}
        rekeyed = {
            table: rekey(self._tx, self._catalog, table, self._new.tables[table])
            for table, scope in here.items()
            if scope in (Scope.REKEYED, Scope.SHARED)
        }
        self._beside = DecidedBeside(self._tx, self._catalog, self._new, rekeyed)
        self._beside.make_stages(table for table, scope in here.items() if scope is not Scope.ISOLATED)
        self._tx.execute(statements.READ_ONLY)
        return [self._difference(table, scope, table in here) for table, scope in self._scopes.items()]

    def _difference(self, table: str, scope: Scope, is_here: bool) -> TableDifference:
        found = TableDifference(table=table, scope=scope, samples_at_most=self._samples)
        if not is_here:
            found.notes.append("is not in the warehouse; no store that was captured has it")
        elif scope is Scope.ISOLATED:
            self._withdrawn(found)
        else:
            self._compare(found)
        if is_here and (new := self._new.tables.get(table)):
            found.notes += _notes(self._old.tables.get(table), new, list(self._catalog.columns(table)))
        return found

    def _withdrawn(self, found: TableDifference) -> None:
        if not self._catalog.central_columns(found.table):
            return
        name = sql.Identifier(found.table)
        found.keys = found.disappearing = self._tx.value(sql.SQL("SELECT count(*) FROM central.{}").format(name))
        keys = self._tx.rows(sql.SQL("SELECT _key FROM central.{} ORDER BY _key LIMIT {}").format(name, self._samples))
        found.samples_disappearing += [key for (key,) in keys]

    def _compare(self, found: TableDifference) -> None:
        columns = self._beside.columns(found.table)
        old, new = self._old.tables.get(found.table), self._new.tables[found.table]
        if old is not None:
            found.rules = {column: rules_of(column, old, new) for column in columns}
            found.untimed = frozenset(self._untimed[found.table] & set(columns))
        for keys in self._keys(found):
            dirty = self._beside.dirty(found.table, keys)
            found.keys += len(keys)
            found.pending += len(dirty)
            settled = [key for key in keys if key not in dirty]
            if not columns:
                existing, undecided = self._beside.existing(found.table, settled)
                for key in existing:
                    found.row_appears(key)
                found.not_decided(undecided)
                continue
            differing, undecided = self._beside.differing(found.table, settled)
            found.not_decided(undecided)
            for key, *facts in differing:
                _take(found, key, columns, facts)

    def _keys(self, found: TableDifference) -> Iterator[list[str]]:
        left = self._most_keys
        for keys in self._beside.keys(found.table):
            if left is not None and len(keys) > left:
                found.complete = False
                if left:
                    yield keys[:left]
                return
            yield keys
            left = None if left is None else left - len(keys)


def _take(found: TableDifference, key: str, columns: Sequence[str], facts: Sequence[Any]) -> None:
    would_exist, exists, *values = facts
    if not exists:
        found.row_appears(key)
    elif not would_exist:
        found.row_disappears(key)
    else:
        found.row_changes(_changed(key, columns, values))


def _changed(key: str, columns: Sequence[str], values: Sequence[Any]) -> list[ChangedValue]:
    names = (*columns, *statements.DECIDED)
    triples = dict(zip(names, zip(values[::3], values[1::3], values[2::3], strict=True), strict=True))
    _, to_winners, from_winners = triples["_winners"]
    to, from_ = json.loads(to_winners), json.loads(from_winners)
    return [
        ChangedValue(
            key=key,
            column=column,
            old=is_now and is_now[:SHOWN_CHARACTERS],
            new=would_be and would_be[:SHOWN_CHARACTERS],
            from_store=from_.get(column),
            to_store=to.get(column),
        )
        for column in columns
        for differs, would_be, is_now in (triples[column],)
        if differs
    ]


def _notes(old: TablePolicy | None, new: TablePolicy, columns: list[str]) -> Iterator[str]:
    named = {*new.columns, *new.contest_ignore, *([new.changed_at] if new.changed_at else [])}
    for column in sorted(named - set(columns)):
        yield f"no store has the column {column}{suggestion(column, columns, otherwise='')}"
    for column in columns:
        opening_us = new.opening_us(column)
        if opening_us is not None and (old is None or old.opening_us(column) != opening_us):
            yield (
                f"{column}: what stores had on {moment(opening_us)} is not kept by the policies in force; where such "
                "ones did not before, what each has when these are put in force counts as that"
            )
    if old is not None and old.changed_at != new.changed_at:
        yield "changed_at counts for rows that a snapshot brings from then on; what is there keeps its times"


def codecs_under(tx: Transaction, shapes: Shapes) -> list[RowCodec]:
    """Of every table of every store that is not retired; UnfitPolicyError where one cannot bear the policy."""
    found: list[RowCodec] = []
    unfit: dict[str, list[str]] = defaultdict(list)
    retired = read_orders(tx).retired
    for (store,) in tx.rows(STORES):
        for version in versions_at(tx, store) if store not in retired else ():
            try:
                found.append(shapes.of(version))
            except RefusedError as error:
                unfit[identifier(version.table)].append(str(error))
    for table, policy in shapes.policy.tables.items():
        known = {column for codec in found if codec.table == table for column in codec.columns}
        for written, column in policy.columns_of_conditions().items() if known else ():
            if column not in known:
                near = suggestion(written, sorted(known), otherwise="")
                unfit[table].append(f"no store has the column {written}, which `when` names{near}")
    if unfit:
        raise UnfitPolicyError(unfit)
    return found


def _untimed(tx: Transaction, old: Shapes, new: Shapes) -> dict[str, set[str]]:
    """Columns that `new` decides by time although the stores' changes of them were not timed under `old`."""
    found: dict[str, set[str]] = defaultdict(set)
    for codec in codecs_under(tx, new):
        found[codec.table] |= _stamped(codec) - _stamped_if_taken(old, codec.version)
    return found


def _stamped_if_taken(shapes: Shapes, version: TableVersion) -> set[str]:
    try:
        return _stamped(shapes.of(version))
    except RefusedError:  # of a store that `run` refuses for it already
        return set()


def _stamped(codec: RowCodec) -> set[str]:
    return {column for _, column in codec.stamped}
