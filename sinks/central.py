"""central.<table>: the agreed row of every business key a batch touched, in the same transaction."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from psycopg import sql

from conflict.alone import alone
from conflict.policy import Policy, TablePolicy
from conflict.resolution import CHANGED, INSERTED, NEVER_OBSERVED, SNAPSHOT, UNSEEN, Contest, Contribution, Resolution
from conflict.resolve import resolve
from conflict.shortcut import MANY_STORES, Standing, may_shorten, shortened
from sinks.clocks import read_around, read_stamps
from sinks.evolution import Catalog, key_columns
from sinks.guards import held_stores
from sinks.history import tell_reasons
from sinks.ledger import mark_dirty
from sinks.mirror import Reasons, Touched
from sinks.own_functions.asking import Batch, NotAsked, Unanswered, asking, runner_of
from sinks.parked_keys import keep_parked
from sinks.reviews import keep_reviews, with_decisions
from sinks.statements import central as statements
from sinks.statements import render
from sinks.statements.alone import write_alone
from sinks.statements.verification import central_keys
from sinks.warehouse import Transaction
from tillstream.errors import UndecidableError

MOST_KEYS = 500  # decided in a batch's transaction beside those that it touched
MOST_CONTRIBUTIONS = 5_000  # that those may have: about a third of a second
MOST_AT_ONCE = 50_000  # contributions in memory, about 100 MB: a price list stands in every store


@dataclass(frozen=True, slots=True)
class Tally:
    """What deciding came to: contests not seen before, by table and rule and by each store that lost one, values
    decided between times that cannot be told apart, and keys that could not be decided since."""

    contests: Counter[tuple[str, str]] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    uncertain: int = 0
    parked: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            contests=self.contests + other.contests,
            lost=self.lost + other.lost,
            uncertain=self.uncertain + other.uncertain,
            parked=self.parked + other.parked,
        )


@dataclass(frozen=True, slots=True)
class Decisions:
    """By key; of each key one or the other."""

    resolutions: dict[str, Resolution] = field(default_factory=dict)
    undecided: dict[str, UndecidableError] = field(default_factory=dict)

    def __or__(self, other: "Decisions") -> "Decisions":
        return Decisions(self.resolutions | other.resolutions, self.undecided | other.undecided)


class Central:
    """Decides keys; its policy speaks in the warehouse's names.

    Callers hold no key when they come, and touch no row of `stores` after.
    """

    def __init__(self, catalog: Catalog, policy: Policy, policy_id: int) -> None:
        self._catalog = catalog
        self.policy = policy
        self._policy_id = policy_id

    def decide(self, tx: Transaction, touched: Touched, reasons: Reasons) -> Tally:
        """Lock the keys in one order, read what all stores contribute, write what follows; reasons are only told."""
        if not touched:
            return Tally()
        by_table: dict[str, dict[str, set[str] | None]] = defaultdict(dict)
        for table, key in sorted(touched):
            by_table[table][key] = touched[table, key]
        for table, keys in by_table.items():
            tx.execute(statements.LOCK_KEYS, [table, _json(list(keys))])
        tally = Tally()
        for table, keys in by_table.items():
            tell_reasons(tx, {key: reasons.get((table, key), "") for key in keys})
            tally += self._decide_table(tx, table, keys)
        return tally

    def take_waiting(self, tx: Transaction) -> Reasons:
        """Some of the keys that a change of schema or floor, a quarantine or a switch of the policy left to be decided:
        as many as do not hold up the rows of a batch for long."""
        at_once = tx.value(statements.AT_ONCE, [MOST_KEYS, MOST_CONTRIBUTIONS])
        dirty = {(table, key): reason for table, key, reason in tx.rows(statements.TAKE_DIRTY, [at_once])}
        return {**self._take_redecided(tx, at_once - len(dirty)), **dirty}

    def _take_redecided(self, tx: Transaction, most: int) -> Reasons:
        """The next of a table that is gone through after a switch; one transaction at a time is at it."""
        rows = tx.rows(statements.NEXT_REDECISION) if most > 0 else []
        if not rows:
            return {}
        table, after, reason = rows[0]
        keys = [key for (key,) in tx.rows(central_keys(table), {"last": after, "limit": most, "stores": None})]
        if len(keys) < most:
            tx.execute(statements.END_REDECISION, [table])
        else:
            tx.execute(statements.MOVE_REDECISION, [keys[-1], table])
        return {(table, key): reason for key in keys}

    def resolutions(self, tx: Transaction, table: str, keys: Iterable[str], rekeyed: str | None = None) -> Decisions:
        """What the policy makes of the stores' contributions, key by key; writes nothing.

        `rekeyed` names a table of other business keys than the stored ones (see `policy_switch.rekey`).
        """
        policy = self.table_policy(table)
        columns = self.decided_columns(table)
        found = read_contributions(tx, self._catalog, table, keys, rekeyed)
        if self._reviews(table):
            with_decisions(tx, table, found)
        return _decisions(policy, columns, {key: found.get(key, []) for key in keys}, self._batch(policy))

    def _batch(self, policy: TablePolicy) -> Batch | None:
        """Of questions to functions of one's own, where the table has such."""
        return (
            Batch(runner_of(self.policy), self._catalog.central_columns(policy.table)) if policy.functions() else None
        )

    def asking(self, table: str) -> TablePolicy:
        """For who decides keys one by one: functions of one's own are asked at once."""
        return asking(self.policy, {table: self._catalog.central_columns(table)}).tables[table]

    def _reviews(self, table: str) -> bool:
        policy = self.table_policy(table)
        return any(policy.is_reviewed(column) for column in self.decided_columns(table))

    def table_policy(self, table: str) -> TablePolicy:
        return self.policy.tables[table]

    def decided_columns(self, table: str) -> tuple[str, ...]:
        own = key_columns(self.table_policy(table))
        return tuple(name for name in self._catalog.central_columns(table) if name not in own)

    def _decide_table(self, tx: Transaction, table: str, touched: Mapping[str, set[str] | None]) -> Tally:
        self._catalog.refresh(tx, table)  # a column that another worker added must not be left out
        short: dict[str, Resolution] = {}
        lone: set[str] = set()
        if not held_stores(tx, table):
            short = self._shortened(tx, table, {key: stores for key, stores in touched.items() if stores})
            lone = self._write_alone(tx, table, [key for key in touched if key not in short])
        made = Decisions(resolutions=dict(short))
        rest = [key for key in touched if key not in short and key not in lone]
        for keys in _portions(rest, tx.value(statements.AT_ONCE, [len(rest), MOST_AT_ONCE])):
            made |= self.resolutions(tx, table, keys)
        resolutions = made.resolutions
        gone = [key for key, resolution in resolutions.items() if not resolution.exists]
        if gone:
            tx.execute(render(statements.REMOVE.format(table=sql.Identifier(table))), [gone])
        present = {key: resolution for key, resolution in resolutions.items() if resolution.exists}
        if present:
            self._write(tx, table, present, list(short))
        if self._reviews(table):
            keep_reviews(tx, table, resolutions)
        contests = self._record_contests(tx, table, present)
        return Tally(
            parked=self._park(tx, table, made) if self.table_policy(table).may_park else 0,
            contests=Counter((table, rule) for rule, _ in contests),
            lost=Counter(store for _, losers in contests for store in set(losers)),
            uncertain=sum(len(resolution.uncertain) for resolution in present.values()),
        )

    def _park(self, tx: Transaction, table: str, made: Decisions) -> int:
        """Keys that cannot be decided, but for those whose turn just did not come. How many are new."""
        later = {key for key, error in made.undecided.items() if isinstance(error, NotAsked)}
        mark_dirty(tx, {(table, key) for key in later}, "other keys took the time of a rule of one's own")
        undecided = {key: error for key, error in made.undecided.items() if key not in later}
        return keep_parked(tx, table, made.resolutions, undecided)

    def _shortened(self, tx: Transaction, table: str, changed: Mapping[str, set[str]]) -> dict[str, Resolution]:
        """Of keys that many stores have, those that are decided by a few of their rows; without the other stores."""
        policy, columns = self.table_policy(table), self.decided_columns(table)
        if not changed or not may_shorten(policy, columns):
            return {}
        found = {
            key: Standing(winners=winners, newest=newest)
            for key, winners, newest in tx.rows(
                statements.standing(table), [_json(list(changed)), self._policy_id, MANY_STORES]
            )
        }
        pairs = [(key, store) for key, was in found.items() for store in sorted(was.stores | changed[key])]
        rows = read_contributions(tx, self._catalog, table, pairs=pairs)
        doubt_us = self._catalog.clocks.greatest_doubt_us
        answers = {
            key: shortened(policy, columns, was, changed[key], rows.get(key, ()), doubt_us)
            for key, was in found.items()
        }
        return {key: answer for key, answer in answers.items() if answer is not None}

    def _write_alone(self, tx: Transaction, table: str, keys: Sequence[str]) -> set[str]:
        """Those of the keys that one row alone contributes to: no other has to be read, and that one not here."""
        policy, columns = self.table_policy(table), self.decided_columns(table)
        decided = alone(policy, columns)
        if decided is None or not keys:
            return set()
        own = tuple(part.column for part in policy.key)
        statement = write_alone(table, own, self._catalog.central_columns(table), decided)
        return {key for (key,) in tx.rows(statement, [_json(keys), self._policy_id])}

    def _write(self, tx: Transaction, table: str, resolutions: Mapping[str, Resolution], short: Sequence[str]) -> None:
        """`short`: keys of which more stores stand already than their resolution names."""
        kinds = self._catalog.central_columns(table)
        policy = self.table_policy(table)
        create, copy, upsert = statements.stage(table, tuple(kinds), tuple(kinds.values()))
        tx.execute(create)
        tx.copy(
            copy,
            (
                central_row(policy, tuple(kinds), key, resolution, self._policy_id)
                for key, resolution in resolutions.items()
            ),
        )
        if short:
            tx.execute(statements.add_stores(table, tuple(kinds), tuple(kinds.values())), [short])
        tx.execute(upsert)

    def _record_contests(
        self, tx: Transaction, table: str, resolutions: Mapping[str, Resolution]
    ) -> list[tuple[str, list[str]]]:
        """Rule and losing stores of each that was not seen before."""
        rows = [_conflict_row(key, contest) for key, found in resolutions.items() for contest in found.contests]
        recorded = tx.rows(statements.CONFLICTS, [table, _json(rows)]) if rows else []
        return [(rule, [loser["store"] for loser in losers]) for rule, losers in recorded]


def _portions(keys: list[str], size: int) -> Iterator[list[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def _decisions(
    policy: TablePolicy, columns: Collection[str], rows: Mapping[str, Sequence[Contribution]], batch: Batch | None
) -> Decisions:
    """Keys whose rules ask something are gone through again once all of it is answered."""
    made = Decisions()
    policy = replace(policy, ask=batch) if batch is not None else policy
    waiting = list(rows)
    while waiting:
        keys, waiting = waiting, []
        for key in keys:
            try:
                made.resolutions[key] = resolve(policy, columns, rows[key])
            except UndecidableError as error:
                made.undecided[key] = error
            except Unanswered:
                waiting.append(key)
        if batch is not None:
            batch.fetch()
    return made


def central_row(
    policy: TablePolicy, columns: tuple[str, ...], key: str, resolution: Resolution, version: int
) -> tuple[Any, ...]:
    """The row for COPY: the key's own columns hold its normalised parts."""
    parts = _key_values(policy, key)
    values = (parts[name] if name in parts else resolution.values.get(name) for name in columns)
    return (
        *values,
        key,
        list(resolution.stores),
        _json(resolution.winners),
        _json(resolution.newest),
        sorted(contest.column for contest in resolution.contests),
        list(resolution.uncertain),
        version,
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _key_values(policy: TablePolicy, key: str) -> dict[str, str]:
    parts = [key] if len(policy.key) == 1 else msgspec.json.decode(key)
    return {part.column: value for part, value in zip(policy.key, parts, strict=True)}


def read_contributions(
    tx: Transaction,
    catalog: Catalog,
    table: str,
    keys: Iterable[str] = (),
    rekeyed: str | None = None,
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    released: str = "",
) -> dict[str, list[Contribution]]:
    """By key; of these keys, or where `pairs` are given of these (key, store). As if the store `released` were not held
    in the table."""
    wanted = list(keys) if pairs is None else [{"key": key, "store": store} for key, store in pairs]
    kinds = catalog.columns(table)
    columns, whole = tuple(kinds), frozenset(kinds)
    clocks = catalog.clocks.read(tx)
    found: dict[str, list[Contribution]] = defaultdict(list)
    statement = statements.contributions(
        table, kinds, rekeyed, of_stores=pairs is not None, released=released if held_stores(tx, table) else None
    )
    for row in tx.rows(statement, [_json(wanted)]):
        key, store, pk = row[:3]
        deleted, stamps, present, read_us, quarantined_us = row[8:13]
        known = read_stamps(clocks[store], stamps)
        found[key].append(
            Contribution(
                store=store,
                pk=pk,
                position=row[3:8],
                changed_us=known.pop(CHANGED, UNSEEN).effective_us,
                deleted=deleted,
                columns=frozenset(present) if present else whole,
                values=dict(zip(columns, row[13:], strict=True)),
                read_us=NEVER_OBSERVED if read_us is None else read_us,
                quarantined_us=quarantined_us,
                inserted_us=known.pop(INSERTED, UNSEEN).effective_us,
                snapshot=known.pop(SNAPSHOT, UNSEEN),
                stamps=known,
                around=read_around(clocks[store], stamps, kinds),
            )
        )
    return found


def _conflict_row(key: str, contest: Contest) -> dict[str, Any]:
    return {
        "fingerprint": contest.fingerprint,
        "key": key,
        "column_name": contest.column,
        "rule": contest.rule,
        "winner": contest.winner,
        "value": _shown(contest.value),
        "losers": [{"store": store, "value": _shown(value), "effective_us": at} for store, value, at in contest.losers],
        "reason": contest.reason,
    }


def _shown(value: Any) -> str | None:
    return None if value is None else str(value)
