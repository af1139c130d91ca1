"""central.<table>_ids and _by_store, chain.<table> and desk.<table>: views, so they are never behind what they show."""

import hashlib
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from psycopg import sql

from conflict.policy import Policy, RuleName, TablePolicy
from conflict.resolution import SINCE
from sinks.statements import desk
from sinks.statements import views as statements
from sinks.warehouse import Transaction
from tillstream.checked_yaml import suggestion

log = logging.getLogger(__name__)

Place = tuple[str, str]  # (schema, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    of: str  # the table of stores.*
    create: str
    columns: tuple[str, ...]
    says: str

    @property
    def comment(self) -> str:
        """Tells by its first words that the view is ours, and by the digest whether it is as it should be."""
        digest = hashlib.sha256(self.create.encode()).hexdigest()[:12]
        return f"{statements.OURS} ({digest}): {self.says}"


class Views:
    """The views of one policy, which speaks in the warehouse's names."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def make_way(self, tx: Transaction, table: str) -> None:
        """PostgreSQL changes no column's type under a view: `keep` makes it again."""
        if table in self._policy.references:
            tx.execute(statements.DROP.format(view=sql.Identifier("chain", table)))
        if table in self._policy.tables:
            tx.execute(statements.DROP.format(view=sql.Identifier("central", statements.by_store_view(table))))

    def keep(
        self,
        tx: Transaction,
        columns: Mapping[str, Mapping[str, str]],
        central: Mapping[str, Mapping[str, str]],
        *,
        anew: Collection[str] = (),
    ) -> None:
        """Make the views as they should be. `columns`: table of stores.* → its columns; `central`: of central.*.

        Nothing is done where another policy is in force by now: it is for whoever works by that one.
        """
        if tx.value(statements.IN_FORCE) != self._policy.fingerprint:
            return
        wanted = self._wanted(columns, central)
        present = {(schema, name): (comment, tuple(columns))
                   for schema, name, comment, columns in tx.rows(statements.PRESENT)}  # fmt: skip
        for place in sorted(present, reverse=True):  # chain before central, on which it stands
            view = wanted.get(place)
            if view is None or view.columns[: len(present[place][1])] != present[place][1]:
                tx.execute(statements.DROP.format(view=sql.Identifier(*place)))
                del present[place]
        for place, view in wanted.items():
            if place not in present or present[place][0] != view.comment or view.of in anew:
                tx.execute(view.create)
                text = sql.Literal(view.comment)
                tx.execute(statements.COMMENT.format(view=sql.Identifier(*place), text=text))

    def _wanted(
        self, columns: Mapping[str, Mapping[str, str]], central: Mapping[str, Mapping[str, str]]
    ) -> dict[Place, _View]:
        shared = [table for table in self._policy.tables if table in central]
        wanted = {
            ("central", statements.ids_view(table)): _View(
                of=table,
                create=statements.ids(table),
                columns=("_store", "_pk", "_key"),
                says=f"the central key of each row of stores.{table} that has one",
            )
            for table in shared
        }
        for table in shared:
            wanted["desk", desk.desk_view(table)] = _View(
                of=table,
                create=desk.desk(table, _asked(self._policy.tables[table], central[table])),
                columns=desk.COLUMNS,
                says=f"each store's part in each value of central.{table}",
            )
            if own := self._policy.tables[table].of_each_store(columns.get(table, ())):
                wanted["central", statements.by_store_view(table)] = _View(
                    of=table,
                    create=statements.by_store(table, own),
                    columns=("_key", "_store", "_pk", *own),
                    says=f"what each store has of the columns of {table} that the policies leave to it",
                )
        for table, references in self._policy.references.items():
            if table in columns:
                for column in sorted(set(references) - set(columns[table])):
                    near = suggestion(column, columns[table], otherwise="")
                    log.warning("policies: no store has %s.%s, which `references:` names%s", table, column, near)
                keys = [statements.key_column(column) for column in references]
                wanted["chain", table] = _View(
                    of=table,
                    create=statements.resolved(table, columns[table], references, shared),
                    columns=("_store", "_pk", "_event_at", *keys, *columns[table]),
                    says=f"the live rows of stores.{table}, and in {', '.join(keys)} the central keys they refer to",
                )
        return wanted


def _asked(policy: TablePolicy, columns: Iterable[str]) -> dict[str, tuple[str, bool]]:
    """Column → which of a row's stamps its rule asks for, and whether it asks for any."""
    return {
        name: (name + SINCE if policy.rule_for(name).rule is RuleName.EARLIEST else name, policy.decides_by_time(name))
        for name in columns
    }
