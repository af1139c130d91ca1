"""central.<table> against the policy's function of what the stores contribute, decided anew by the same code."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from conflict.identity import business_key
from conflict.policy import Policy
from sinks.evolution import Catalog
from sinks.identities import aliases_of
from sinks.parked_keys import parked_keys
from sinks.policy_switch import require_applied
from sinks.statements import verification as statements
from sinks.verification.decided_beside import KEYS_AT_ONCE, DecidedBeside
from sinks.verification.differences import Compared, Difference, Kind
from sinks.verification.row_forms import SHOWN_CHARACTERS
from sinks.warehouse import Transaction
from tillstream.errors import RefusedError

SAMPLED_KEYS = 10


class CentralComparison:
    """Reads everything in one snapshot, so that what a worker writes meanwhile is not seen by halves."""

    def __init__(self, tx: Transaction, policy: Policy, stores: Collection[str] | None) -> None:
        self._tx, self._policy = tx, policy
        self._stores = None if stores is None else sorted(stores)
        tx.execute(statements.ONE_SNAPSHOT)
        self._catalog = Catalog()
        self._catalog.load(tx)
        self._beside = DecidedBeside(tx, self._catalog, policy)
        require_applied(tx, policy)

    def run(self, tables: Collection[str] | None) -> list[Compared]:
        """One result per shared table that the warehouse has; `tables` are the warehouse's names."""
        wanted = [table for table in sorted(self._policy.tables) if tables is None or table in tables]
        here = [table for table in wanted if self._catalog.columns(table)]
        self._beside.make_stages(here)
        self._tx.execute(statements.READ_ONLY)  # no table can be made any more, and none but the stages be written
        return [self._compare(table) for table in here]

    def _compare(self, table: str) -> Compared:
        found = Compared(store="", table=table)
        if not self._catalog.central_columns(table):
            raise RefusedError(f"central.{table} is not in the warehouse; `tillstream run` makes it")
        for keys in self._beside.keys(table, self._stores):
            found.rows += len(keys)
            self._compare_keys(table, keys, found)
        self._compare_business_keys(table, found)
        return found

    def _compare_keys(self, table: str, keys: list[str], found: Compared) -> None:
        columns = self._beside.columns(table)
        dirty = self._beside.dirty(table, keys)
        parked = {each.key for each in parked_keys(self._tx, table, keys)}
        differing, undecided = self._beside.differing(table, [key for key in keys if key not in parked])
        found.set_aside += len(parked) + len(undecided)
        for key, *facts in differing:
            if key in dirty:
                found.in_flux += 1
                continue
            found.differences += 1
            if found.differences <= SAMPLED_KEYS:
                found.samples.extend(_samples(table, key, columns, facts))

    def _compare_business_keys(self, table: str, found: Compared) -> None:
        """Contributions stand under the key that their values make, or the whole decision is about other rows."""
        policy = self._policy.tables[table]
        parts = [part.column for part in policy.key]
        statement = statements.business_keys(table, parts)
        aliases = aliases_of(self._tx, policy)
        last: Sequence[Any] = ("", "")
        while rows := self._tx.rows(statement, [*last, self._stores, self._stores, KEYS_AT_ONCE]):
            for store, pk, key, *values in rows:
                made = business_key(policy.key, dict(zip(parts, values, strict=True)), store)
                should = made and aliases.get(made, made)
                if should != key:
                    found.differences += 1
                    if found.differences <= SAMPLED_KEYS:
                        found.samples.append(_wrong_key(store, table, pk, should, key))
            last = rows[-1][:2]


def _samples(table: str, key: str, columns: Iterable[str], facts: Sequence[Any]) -> Iterator[Difference]:
    exists, stands, *values = facts
    if not exists or not stands:
        yield _central(table, key, "", "a row" if exists else None, "a row" if stands else None)
        return
    names = (*columns, *statements.DECIDED)
    for name, differs, should, stands in zip(names, values[::3], values[1::3], values[2::3], strict=True):
        if differs:
            yield _central(table, key, name, should, stands)


def _central(table: str, key: str, column: str, should: str | None, stands: str | None) -> Difference:
    return Difference(
        store="",
        table=table,
        key=key,
        column=column,
        store_value=should and should[:SHOWN_CHARACTERS],
        warehouse_value=stands and stands[:SHOWN_CHARACTERS],
        kind=Kind.CENTRAL,
    )


def _wrong_key(store: str, table: str, pk: str, should: str | None, key: str | None) -> Difference:
    return Difference(
        store=store,
        table=table,
        key=pk,
        column="_key",
        store_value=should,
        warehouse_value=key,
        kind=Kind.CENTRAL,
    )
