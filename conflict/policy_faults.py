"""What is wrong between the parts of policies.yaml.

Looked for in the raw data, so that it is found beside the faults of the parts.
"""

from collections.abc import Collection, Iterator
from typing import Any

from conflict.case_faults import faults_of_cases
from conflict.condition import columns_named
from conflict.policy import REST, RuleName
from tillstream.checked_yaml import Document, suggestion
from tillstream.errors import Fault


def faults_between_parts(document: Document, words: Collection[str]) -> Iterator[Fault]:
    tables = document.data.get("tables") if isinstance(document.data, dict) else None
    written = tables if isinstance(tables, dict) else {}
    named = {name: table for name, table in written.items() if isinstance(table, dict)}
    shared = {name for name, table in named.items() if table.get("scope") == "shared"}
    for name in sorted(shared):
        for view, what in (
            (f"{name}_ids", f"the stores' ids of {name}"),
            (f"{name}_by_store", "each store's own values"),
        ):
            if view in shared:
                message = f"cannot be shared: central.{view} is where {what} stand"
                yield document.fault(("tables", view, "scope"), message)
    for name, table in named.items():
        yield from _references(document, name, table, shared)
        if table.get("scope", "isolated") == "isolated":
            yield from _rules_without_scope(document, name, table, words)
        elif table.get("key") is None and table["scope"] == "shared":
            message = "a shared table needs its business key, such as {phone: phone_cn}"
            yield document.fault(("tables", name, "key"), message)
        yield from _rules_of_key_columns(document, name, table)
        yield from _maps_of_no_key(document, name, table)
        yield from _circles_of_owners(document, name, table)
        yield from _columns_of_conditions(document, name, table)
    yield from faults_of_cases(document)


def _rules_without_scope(
    document: Document, name: str, table: dict[str, Any], words: Collection[str]
) -> Iterator[Fault]:
    for word in table:
        if word in words and word not in ("scope", "references"):
            message = "means nothing in an isolated table; write `scope: shared` or take it out"
            yield document.fault(("tables", name, word), message)


def _references(document: Document, name: str, table: dict[str, Any], shared: set[str]) -> Iterator[Fault]:
    found = table.get("references")
    if name in shared and found is not None:
        message = "means nothing in a shared table; only the rows of an isolated one have no central key of their own"
        yield document.fault(("tables", name, "references"), message)
        return
    for column, target in (found if isinstance(found, dict) else {}).items():
        if isinstance(target, str) and target not in shared:
            near = suggestion(target, shared, otherwise="; only rows of shared tables have a central key")
            yield document.fault(("tables", name, "references", column), f'"{target}" is not a shared table{near}')


def _rules_of_key_columns(document: Document, name: str, table: dict[str, Any]) -> Iterator[Fault]:
    key, columns = table.get("key"), table.get("columns")
    if not isinstance(key, list | dict) or not isinstance(columns, dict):
        return
    for column in columns:
        if column in key:
            message = "is part of the key, which is the same in every store; take its rule out"
            yield document.fault(("tables", name, "columns", column), message)


def _maps_of_no_key(document: Document, name: str, table: dict[str, Any]) -> Iterator[Fault]:
    key, maps = table.get("key"), table.get("map")
    if not isinstance(key, list | dict) or not isinstance(maps, dict):
        return
    for column in maps:
        if column not in key:
            near = suggestion(column, [each for each in key if isinstance(each, str)])
            yield document.fault(
                ("tables", name, "map", column), f"is not part of the key, whose codes a map is of{near}"
            )


def _circles_of_owners(document: Document, name: str, table: dict[str, Any]) -> Iterator[Fault]:
    columns, key = table.get("columns"), table.get("key")
    if not isinstance(columns, dict):
        return
    named = {column: set(_owner_columns(rule)) for column, rule in columns.items()}
    rest = named.pop(REST, set())
    for column, owners in named.items():
        for owner in owners:
            place = ("tables", name, "columns", column)
            if isinstance(key, list | dict) and owner in key:
                yield document.fault(place, f"{owner} is part of the key and decided by no rule; name another column")
            elif column in _reached(owner, named, rest):
                yield document.fault(place, f"who owns it is decided by {owner}, which is decided by {column} itself")
    for owner in rest:
        if owner not in named:
            place = ("tables", name, "columns", REST)
            yield document.fault(place, f"{owner} is one of the rest and would name its own owner; give it a rule")


def _reached(column: str, named: dict[str, set[str]], rest: set[str]) -> set[str]:
    found: set[str] = set()
    waiting = [column]
    while waiting:
        if (each := waiting.pop()) not in found:
            found.add(each)
            waiting.extend(named.get(each, rest))
    return found


def _columns_of_conditions(document: Document, name: str, table: dict[str, Any]) -> Iterator[Fault]:
    """No file lists a table's columns. But one that nothing else here names, and that is nearly one that is named, is
    taken for a slip; what no store has is found once the stores are known."""
    columns = table.get("columns")
    if not isinstance(columns, dict):
        return
    known = {*_named_elsewhere(document, name, table), *columns} - {REST}
    for column, rule in columns.items():
        for path, text in _conditions(rule, ("tables", name, "columns", column)):
            for each in columns_named(text):
                if each not in known and (near := suggestion(each, sorted(known), otherwise="")):
                    own = f"If it is a column of its own, give it a rule, such as `{each}: {{rule: latest}}`"
                    yield document.fault(path, f'"{each}" is a column that nothing else here names{near} {own}')


def _conditions(rule: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    while isinstance(rule, dict):
        yield (*path, "when"), rule.get("when")
        rule, path = rule.get("then"), (*path, "then")


def _named_elsewhere(document: Document, name: str, table: dict[str, Any]) -> Iterator[str]:
    key, contest = table.get("key"), table.get("contest")
    named = [*(key if isinstance(key, list | dict) else ()), table.get("changed_at")]
    named += contest.get("ignore", ()) if isinstance(contest, dict) else ()
    tests = document.data.get("tests")
    for test in tests if isinstance(tests, list) else ():
        given = test.get("given") if isinstance(test, dict) else None
        rows = given.get(name) if isinstance(given, dict) else None
        named += [column for row in (rows if isinstance(rows, list) else ()) if isinstance(row, dict) for column in row]
    yield from (each for each in named if isinstance(each, str))


def _owner_columns(rule: Any) -> Iterator[str]:
    while isinstance(rule, dict):
        if rule.get("rule") == RuleName.OWNER.value and isinstance(rule.get("column"), str):
            yield rule["column"]
        rule = rule.get("then")
