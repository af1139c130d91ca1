"""What is wrong between a policy's tests and its tables, or between the rows of a test.

Looked for in the raw data, so that it is found beside the faults of the parts.
"""

from collections.abc import Iterator
from typing import Any

from conflict.case_file import ExpectedEntry, GivenEntry
from conflict.policy import REST, RuleName
from tillstream.checked_yaml import Document, Steps, suggestion
from tillstream.errors import Fault

_WORDS = {
    part: [info.alias or name for name, info in entry.model_fields.items()]
    for part, entry in (("given", GivenEntry), ("expect", ExpectedEntry))
}


def faults_of_cases(document: Document) -> Iterator[Fault]:
    data = _mapping(document.data)
    tables = _mapping(data.get("tables"))
    keys = {
        name: list(table["key"])
        for name, table in tables.items()
        if isinstance(table, dict) and table.get("scope") == "shared" and isinstance(table.get("key"), dict | list)
    }
    for number, case in enumerate(_list(data.get("tests"))):
        for part in _WORDS:
            for table in _mapping(_mapping(case).get(part)):
                place = ("tests", number, part, table)
                if table not in keys:
                    near = suggestion(table, keys, otherwise="")
                    yield document.fault(place, f'"{table}" is not a shared table of this file{near}')
                else:
                    yield from _faults_of_rows(document, place, case, keys[table])
                    yield from _openings_of_none(document, place, case, _mapping(tables[table].get("columns")))


def _faults_of_rows(document: Document, place: Steps, case: dict[str, Any], key: list[str]) -> Iterator[Fault]:
    part, table = str(place[2]), str(place[3])
    given = dict.fromkeys(column for _, row in _rows(case, "given", table) for column in row if column != "store")
    for index, row in _rows(case, part, table):
        for word in row:
            if word.startswith("_") and word not in _WORDS[part]:
                near = suggestion(word, _WORDS[part])
                yield document.fault((*place, index, word), f'"{word}" is not known here{near}')
        if part == "expect":
            missing = ", ".join(column for column in key if column not in row)
            if missing:
                yield document.fault((*place, index), f"lacks {missing}, the key of {table}")
            yield from _columns_of_no_row(document, (*place, index), row, [*given, *key])


def _openings_of_none(document: Document, place: Steps, case: dict[str, Any], rules: dict[str, Any]) -> Iterator[Fault]:
    """Openings of columns that have none."""
    for index, row in _rows(case, "given", str(place[3])) if place[2] == "given" else ():
        for column in _mapping(row.get("_opening")):
            rule = rules.get(column, rules.get(REST))
            while isinstance(rule, dict) and rule.get("rule") != RuleName.SUM_OF_CHANGES.value:
                rule = rule.get("then")
            if not isinstance(rule, dict):
                yield document.fault((*place, index, "_opening", column), "only sum_of_changes looks at an opening")


def _columns_of_no_row(document: Document, place: Steps, row: dict[str, Any], known: list[str]) -> Iterator[Fault]:
    """A column that no given row has could only be expected by mistake."""
    for step, said in row.items():
        if step.startswith("_"):
            named = said if step in _WORDS["expect"] and isinstance(said, dict | list) else []
        else:
            named = [step]
        for column in named:
            if isinstance(column, str) and column not in known:
                near = suggestion(column, known, otherwise="")
                yield document.fault((*place, step), f'no given row has "{column}"{near}')


def _rows(case: dict[str, Any], part: str, table: str) -> list[tuple[int, dict[str, Any]]]:
    rows = enumerate(_list(_mapping(case.get(part)).get(table)))
    return [(index, row) for index, row in rows if isinstance(row, dict)]


def _mapping(data: Any) -> dict[str, Any]:
    return data if isinstance(data, dict) else {}


def _list(data: Any) -> list[Any]:
    return data if isinstance(data, list) else []
