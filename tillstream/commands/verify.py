"""tillstream verify: the stores' values against the warehouse's, and central.* against the policies."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from sinks.verification.differences import Difference, Kind
from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all

if TYPE_CHECKING:
    from sinks.verification.run import VerificationResult

DIFFERENT, UNREACHABLE = 1, 3

StoreIds = Annotated[list[str] | None, typer.Option("--store", metavar="ID", help="Only this store; repeatable.")]
TableNames = Annotated[list[str] | None, typer.Option("--table", metavar="NAME", help="Only this table; repeatable.")]


def register(app: typer.Typer) -> None:
    app.command("verify")(verify)


def verify(
    config: ConfigPath = DEFAULT_PATH,
    store: StoreIds = None,
    table: TableNames = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Compare every value in the stores with the warehouse, also while the tills are at work.

    Exit code 1 if something differs, 3 if nothing does but some store could not be asked.
    """
    from tillstream.opening import open_warehouse
    from tillstream.policies import in_force
    from tillstream.verifying import verification_for

    settings, written = load_all(config)
    with open_warehouse(settings) as warehouse:
        warehouse.check_version()
        policy = in_force(warehouse, written)
        result = verification_for(settings, policy, warehouse).run(stores=store or None, tables=table or None)
    if output is Output.JSON:
        print(json.dumps(result.as_json(), ensure_ascii=False))
    else:
        print("\n".join(in_words(result)))
    code = exit_code(result)
    if code:
        raise typer.Exit(code)


def exit_code(result: "VerificationResult") -> int:
    if result.differences:
        return DIFFERENT
    return UNREACHABLE if result.unreachable else 0


def in_words(result: "VerificationResult") -> list[str]:
    """A line per table that differs, its samples, and what all of it came to."""
    lines = []
    for each in result.differing:
        place = f"store {each.store}, table {each.table}" if each.store else f"central.{each.table}"
        lines.append(f"{place}: {_counted(each.differences, 'difference')}")
        samples = [sample for sample in result.samples if _is_of(sample, each.store, each.table)]
        lines += [f"  {_told(sample)}" for sample in samples]
        if len({sample.key for sample in samples}) < each.differences:
            lines.append("  ...")
    lines += [f"not judged: {reason}" for reason in result.unreachable]
    return [*lines, _closing(result)]


def _is_of(sample: Difference, store: str, table: str) -> bool:
    return sample.table == table and (sample.kind is Kind.CENTRAL if not store else sample.store == store)


def _told(sample: Difference) -> str:
    key = f"row {sample.key}" if sample.key else "a row"
    here, there = _value(sample.store_value), _value(sample.warehouse_value)
    match sample.kind:
        case Kind.MISSING:
            return f"{key} is missing in the warehouse: {here}"
        case Kind.EXTRA if sample.column:
            return f"column {sample.column} is in the warehouse only"
        case Kind.EXTRA:
            return f"{key} is in the warehouse only: {there}"
        case Kind.CENTRAL if not sample.column:
            return f"key {sample.key} {'is missing' if sample.warehouse_value is None else 'should not be there'}"
        case Kind.CENTRAL:
            return f"key {sample.key}, {sample.column}: should be {here}, is {there}"
        case Kind.VALUE:
            return f"{key}, {sample.column}: {here} in the store, {there} in the warehouse"


def _value(text: str | None) -> str:
    return "NULL" if text is None else json.dumps(text, ensure_ascii=False)


def _closing(result: "VerificationResult") -> str:
    judged = (
        f"{_counted(result.rows, 'row')} in {_counted(result.tables, 'table')} and "
        f"{_counted(result.central_keys, 'shared key')} compared in {result.seconds:.1f} s"
    )
    parts = [_counted(result.differences, "difference") if result.differences else "no difference"]
    if letters := result.set_aside - result.central_set_aside:
        parts.append(f"{letters} set aside as dead letters")
    if result.central_set_aside:
        parts.append(f"{_counted(result.central_set_aside, 'key')} parked (`tillstream parked list`)")
    if result.in_flux:
        parts.append(f"{result.in_flux} still moving")
    if result.unreachable:
        parts.append(f"{len(result.unreachable)} not judged")
    return f"{judged}: {', '.join(parts)}."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
