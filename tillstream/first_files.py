"""The text of a first tillstream.yaml and policies.yaml: commented, since their reader changes them next. Pure."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from conflict.policy import RuleName
from tillstream.config_file import MYSQL_PORT
from tillstream.suggestions import ColumnChoice, SharedTable, Suggestions

WIDTH = 110
_BREAKS = re.compile("[\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStore:
    """What a person told of the first store."""

    id: str
    name: str
    host: str
    port: int
    user: str
    password: Mapping[str, str]  # {"env": NAME} or {"file": PATH}
    database: str
    timezone: str
    timezone_why: str


def config_text(store: FirstStore, suggestions: Suggestions) -> str:
    """tillstream.yaml."""
    return "\n".join([*_config_lines(store, suggestions), ""])


def policies_text(store: FirstStore, suggestions: Suggestions) -> str:
    """policies.yaml."""
    return "\n".join([*_policy_lines(store, suggestions), ""])


def _config_lines(store: FirstStore, suggestions: Suggestions) -> Iterator[str]:
    yield "# tillstream.yaml: written by `tillstream init`, yours from here on."
    yield "# `tillstream config validate` checks it, `tillstream config schema` lists all that may stand in it."
    yield "data: ./data                 # the embedded warehouse lives here"
    yield "warehouse: embedded          # or postgresql+psycopg://user@host:5432/database"
    yield "policies: policies.yaml      # what the stores share, and who is right"
    yield "defaults:                    # for every store that does not say otherwise"
    yield f"  user: {_flow(store.user)}"
    yield f"  password: {_flow(dict(store.password))}   # where it is kept; the password itself never stands here"
    yield f"  database: {_flow(store.database)}"
    yield f"  timezone: {_flow(store.timezone)}   # {store.timezone_why}"
    yield from _table_lines(suggestions)
    yield from _business_lines(suggestions)
    yield "stores:                      # one line each"
    port = {} if store.port == MYSQL_PORT else {"port": store.port}
    yield f"  - {_flow({'id': store.id, 'name': store.name, 'host': store.host, **port})}"


def _table_lines(suggestions: Suggestions) -> Iterator[str]:
    if not suggestions.left_out and not suggestions.left_out_columns:
        return
    yield "tables:                      # all are captured but these"
    if suggestions.left_out:
        yield "  exclude:"
        for table, why in suggestions.left_out.items():
            yield f"    - {_flow(table)}   # {_on_one_line(why)}"
    if suggestions.left_out_columns:
        yield "  exclude_columns:"
        for table, columns in suggestions.left_out_columns.items():
            yield f"    {_flow(table)}:"
            for column, why in columns.items():
                yield f"      - {_flow(column)}   # {_on_one_line(why)}"


def _business_lines(suggestions: Suggestions) -> Iterator[str]:
    if suggestions.business:
        yield "business:                    # what `tillstream anomalies` and `tillstream day-close` look at"
        for section, said in suggestions.business.items():
            yield f"  {section}: {_flow(dict(said))}"


def _policy_lines(store: FirstStore, suggestions: Suggestions) -> Iterator[str]:
    yield "# policies.yaml: proposed by `tillstream init` from the names, types and keys of the store's tables."
    yield "# Read it before the first `tillstream run`. A table that is not named stays each store's own, and every row"
    yield "# of every store is in stores.<table> in any case."
    doubtful = {table: why for table, why in suggestions.own.items() if why}
    if doubtful:
        yield "#"
        yield "# Not shared:"
        for table, why in doubtful.items():
            yield from _comment(f"{table}: {why}", indent="#   ")
    yield "version: 1                   # raise it with every change"
    if not suggestions.shared:
        yield "tables: {}                   # nothing looks shared; the README shows what stands here otherwise"
        return
    yield "tables:"
    for shared in suggestions.shared:
        yield from _shared_lines(store, shared)


def _shared_lines(store: FirstStore, table: SharedTable) -> Iterator[str]:
    names = " and ".join(part.column for part in table.key)
    yield f"  {_flow(table.table)}:"
    yield f"    scope: shared              # {table.kind}: rows with the same {names} are one, whatever the store"
    yield from _comment(table.key_why, indent="    # ")
    yield f"    key: {_flow({part.column: part.normaliser.value for part in table.key})}"
    if table.changed_at:
        yield f"    changed_at: {_flow(table.changed_at)}   # the POS's own time of change, for what a snapshot brings"
    for remark in table.remarks:
        yield from _comment(remark, indent="    # ")
    yield "    columns:"
    for choice in table.columns:
        yield from _comment(choice.why, indent="      # ")
        yield f"      {_flow(choice.column)}: {_flow(_rule(store, choice))}"
    yield '      "*": {rule: latest}      # all others: what was changed last, column by column'
    if table.changed_at:
        yield f"    contest: {_flow({'ignore': [table.changed_at]})}   # it differs whenever anything does"
    why = "a store that deletes a third of its rows, or comes back with changes of days ago, is held until somebody"
    yield from _comment(f"{why} has seen what that would make of the chain's", indent="    # ")
    yield "    guards: {deletes: 30%, dark: 3d}"


def _rule(store: FirstStore, choice: ColumnChoice) -> dict[str, Any]:
    if choice.rule is RuleName.PRIORITY:
        return {"rule": "priority", "stores": [store.id], "then": "latest"}
    return {"rule": choice.rule.value}


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _comment(text: str, *, indent: str) -> list[str]:
    text = _on_one_line(text)  # textwrap takes a line separator of Unicode for a letter, YAML does not
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False)


def _flow(value: Any) -> str:
    """As it may stand inside {...} or [...] on one line, quoted where YAML would read something else."""
    plain = not _BREAKS.search(json.dumps(value, ensure_ascii=False))  # at these PyYAML folds a text, and reads another
    text: str = yaml.safe_dump([value], default_flow_style=True, allow_unicode=plain, sort_keys=False, width=10**6)
    return text.strip().removeprefix("[").removesuffix("]")
