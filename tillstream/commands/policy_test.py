"""tillstream policy check, test, schema: what needs neither a store nor the warehouse."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conflict.cases import Case
from conflict.policy import REST, Policy, chain
from tillstream.checked_yaml import load, shown_path
from tillstream.commands.config import (
    DEFAULT_PATH,
    ConfigPath,
    Output,
    OutputOption,
    Subject,
    answer,
    counted,
    load_all,
    load_policies,
    print_schema,
    told,
)
from tillstream.commands.policy_diff import policies_file, require_functions
from tillstream.errors import RefusedError
from tillstream.own_modules import read_policy

if TYPE_CHECKING:  # it knows phone numbers, which take time to load
    from conflict.case_run import Unexpected

FAILED = 1

PolicyPath = Annotated[
    Path | None, typer.Argument(metavar="NEW.yaml", help="Without it the file that tillstream.yaml names.")
]


def check(new: PolicyPath = None, config: ConfigPath = DEFAULT_PATH, output: OutputOption = Output.TEXT) -> None:
    """Look for all faults of a policies file at once, without a store or the warehouse. Modules of one's own that it
    names are imported, in a process of their own.

    Where there is no tillstream.yaml beside it, nothing is said of the stores that it names.
    """
    with told(output):
        file, policy = _parsed(new, config)
        require_functions(load(Path(file)), policy)
    own = [(name, *each) for name, table in policy.tables.items() for each in table.functions()]
    tables, tests = len(policy.tables), len(policy.cases)
    notes = [note for table in policy.tables.values() for part in table.key if part.codes for note in part.codes.notes]
    knows_stores = policy.source is not None and policy.source.stores is not None
    if output is Output.JSON:
        facts = {
            "shared_tables": tables,
            "tests": tests,
            "stores_checked": knows_stores,
            "own_rules": [
                {"table": table, "column": column, "function": function.name} for table, column, function in own
            ],
            "notes": notes,
        }
        print(json.dumps({**answer([]), **facts}, ensure_ascii=False))
        return
    unrun = ", not run: `tillstream policy test`" if tests else ""
    alone = "" if knows_stores else f"\nwithout {config}: nothing is said of the stores that it names"
    print(f"{file}: ok, {counted(tables, 'shared table')}, {counted(tests, 'test')}{unrun}{alone}")
    for table, column, function in own:
        print(f"  {table}.{column} is decided by {function.name}, a rule of your own: tested, not proven")
    for note in notes:
        print(note)


def run_tests(new: PolicyPath = None, config: ConfigPath = DEFAULT_PATH, output: OutputOption = Output.TEXT) -> None:
    """Run the `tests:` of a policies file: each decided in many orders of arrival. Exit code 1 if one fails."""
    from conflict.case_run import differences
    from sinks.own_functions.asking import asking

    with told(output):
        file, policy = _parsed(new, config)
    if not policy.cases:
        raise RefusedError(f"{file} has no tests; `tests:` lists rows `given` in stores and the rows to `expect`")
    _require_known_stores(file, policy)
    require_functions(load(Path(file)), policy)
    policy = asking(policy)
    results = [(case, differences(policy, case)) for case in policy.cases]
    failed = sum(bool(found) for _, found in results)
    if output is Output.JSON:
        tests = [_as_json(case, found) for case, found in results]
        print(json.dumps({"schema": 1, "ok": not failed, "tests": tests}, ensure_ascii=False))
    else:
        for case, found in results:
            print("\n".join(_in_words(file, case, found)))
        print(f"{counted(len(results), 'test')}, {failed or 'none'} failed")
    if failed:
        raise typer.Exit(FAILED)


def schema() -> None:
    """Print the JSON Schema of policies files, for editors."""
    print_schema(Subject.POLICIES)


def _parsed(new: Path | None, config: Path) -> tuple[str, Policy]:
    if new is not None and config == DEFAULT_PATH and not config.exists():
        return shown_path(new), read_policy(load_policies(new), None)
    settings, policy = load_all(config, new)
    return shown_path(new or policies_file(settings)), policy


def _require_known_stores(file: str, policy: Policy) -> None:
    if policy.source is not None and policy.source.stores is None:
        for table in policy.tables.values():
            for column, rule in (*table.columns.items(), (REST, table.default)):
                asks = [f"ranks stores by {each.by}" for each in chain(rule) if each.by]
                asks += [
                    f"asks for store.{name}" for each in chain(rule) if each.when for name, _ in each.when.attributes
                ]
                if asks:
                    raise RefusedError(
                        f"{file}: tables.{table.table}.columns.{column} {asks[0]}, of which tillstream.yaml "
                        "tells; run this beside it or name it with --config"
                    )


def _in_words(file: str, case: Case, found: "list[Unexpected]") -> list[str]:
    if not found:
        return [f"ok    {case.name}"]
    lines = [f"FAIL  {case.name} ({file}:{case.line})"]
    for each in found:
        what = "" if each.column is None else f" {each.column}"
        why = f": {each.why}" if each.why else ""
        lines.append(f"      {each.table} {each.key}{what}: expected {each.expected}, got {each.found}{why}")
    return lines


def _as_json(case: Case, found: "list[Unexpected]") -> dict[str, Any]:
    return {
        "name": case.name,
        "line": case.line,
        "ok": not found,
        "differences": [
            {
                "table": each.table, "key": each.key, "column": each.column, "expected": each.expected,
                "found": each.found, "why": each.why,
            }
            for each in found
        ],
    }  # fmt: skip
