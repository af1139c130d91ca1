"""tillstream doctor: whether every store can be captured without loss, and what to change where it cannot."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillstream.commands.config import DEFAULT_PATH, ConfigPath, Output, OutputOption, load_all
from tillstream.config import Config, Store

if TYPE_CHECKING:
    from connectors.census import Difference
    from connectors.findings import Finding
    from tillstream.examining import Examination, Report

REFUSED, UNREACHABLE = 1, 3
PAPER_WIDTH = 120

StoreIds = Annotated[list[str] | None, typer.Argument(metavar="STORE", help="Only these stores; all if left out.")]
Deep = Annotated[bool, typer.Option("--deep", help="Look at values too: at most 10 s of a store per column.")]


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(
    stores: StoreIds = None,
    config: ConfigPath = DEFAULT_PATH,
    deep: Deep = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Look at every store, live and read-only, and say what to change before and while it is captured.

    Each finding is at one of three levels. refuse: capture would lose or bend data. warn: it may, or a person should
    act. note: good to know. At the end, where stores differ from most of the others.

    Exit code 1 if anything is at level refuse; 3 if nothing is, but some store could not be reached; 0 otherwise.
    """
    from tillstream.examining import examine_stores

    settings, policy = load_all(config)
    report = examine_stores(settings, policy, _chosen(settings, stores or []), deep=deep)
    if output is Output.JSON:
        print(json.dumps(as_json(report), ensure_ascii=False))
    else:
        _print(report)
    code = exit_code(report)
    if code:
        raise typer.Exit(code)


def exit_code(report: "Report") -> int:
    if report.refuses:
        return REFUSED
    return UNREACHABLE if report.unreachable else 0


def _chosen(settings: Config, ids: list[str]) -> list[Store]:
    known = {store.id: store for store in settings.stores}
    for store in ids:
        if store not in known:
            raise typer.BadParameter(f"there is no store {store} in {settings.file}", param_hint="STORE")
    return [known[store] for store in dict.fromkeys(ids)] or list(settings.stores)


# --- for programs -------------------------------------------------------------------------------------------


def as_json(report: "Report") -> dict[str, Any]:
    return {
        "schema": 1,
        "ok": exit_code(report) == 0,
        "stores": [_store_json(each) for each in report.stores],
        "census": [asdict(difference) for difference in report.census],
    }


def _store_json(each: "Examination") -> dict[str, Any]:
    from connectors.findings import retention_hours

    server, clock = each.server, each.clock
    return {
        "id": each.store.id,
        "name": each.store.name,
        "host": each.store.host,
        "port": each.store.port,
        "reachable": not each.unreachable,
        "reason": each.unreachable,
        "version": server.setting("version") if server else None,
        "server_uuid": server.uuid if server else None,
        "server_id": int(server.setting("server_id", "0")) if server else None,
        "binlog_files": len(each.binlogs) if server else None,
        "binlog_bytes": sum(file.size_bytes for file in each.binlogs) if server else None,
        "retention_hours": retention_hours(server) if server else None,
        "binlog_reaches_back_hours": each.reaches_back_hours,
        "clock_offset_seconds": round(clock.offset_seconds, 6) if clock else None,
        "clock_uncertainty_seconds": round(clock.uncertainty_seconds, 6) if clock else None,
        "utc_offset_seconds": clock.utc_offset_seconds if clock else None,
        "captured_tables": len(each.captured) if server else None,
        "findings": [asdict(finding) for finding in each.findings],
    }


# --- for people -----------------------------------------------------------------------------------------------


def _print(report: "Report") -> None:
    from rich.console import Console

    # of its own width where nobody's terminal has one: in a log or a mail a name must not be cut
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else PAPER_WIDTH)
    console.print(_table(report))
    for line in in_words(report):
        console.print(line, soft_wrap=True)


def _table(report: "Report") -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("store", "name", "server", "binlog", "kept", "clock", "tables", "refuse", "warn", "note"):
        counts = heading in ("tables", "refuse", "warn", "note")
        table.add_column(heading, justify="right" if counts else "left", no_wrap=heading != "name")
    for each in report.stores:
        table.add_row(each.store.id, each.store.name, *_cells(each))
    return table


def _cells(each: "Examination") -> list[str]:
    from connectors.findings import Level, duration, retention_hours

    if each.server is None:
        return ["no answer" if each.unreachable else "refused", "-", "-", "-", "-", *_counts(each, Level)]
    server, hours = each.server, retention_hours(each.server)
    return [
        str(server.version),
        "-" if each.reaches_back_hours is None else duration(each.reaches_back_hours * 3600),
        "ever" if hours is None else duration(hours * 3600),
        f"{each.clock.offset_seconds:+.2f} s" if each.clock else "-",
        str(len(each.captured)),
        *_counts(each, Level),
    ]


def _counts(each: "Examination", levels: Any) -> list[str]:
    counts = [sum(finding.level is level for finding in each.findings) for level in levels]
    return ["-"] * len(counts) if each.unreachable else [str(count or "") for count in counts]


def in_words(report: "Report") -> list[str]:
    """The findings, worst first and each once with the stores it holds for; then the census and a closing line."""
    return [
        *(line for finding, stores in _grouped(report) for line in _told(finding, stores)),
        *(f"\n{each.unreachable}" for each in report.stores if each.unreachable),
        *_census(report.census, sum(each.server is not None for each in report.stores)),
        "",
        _closing(report),
    ]


def _grouped(report: "Report") -> list[tuple["Finding", list[str]]]:
    from connectors.findings import Level

    stores: dict[Finding, list[str]] = {}
    for each in report.stores:
        for finding in each.findings:
            stores.setdefault(finding, []).append(each.store.id)
    order = list(Level)
    return sorted(stores.items(), key=lambda pair: order.index(pair[0].level))


def _told(finding: "Finding", stores: list[str]) -> list[str]:
    lines = ["", f"{finding.level} {', '.join(stores)}: {finding.subject}: {finding.sentence}"]
    if finding.remedy:
        lines.append(f"  {finding.remedy}{':' if finding.paste else ''}")
    return [*lines, *(f"    {line}" for line in finding.paste)]


def _census(differences: "tuple[Difference, ...]", stores: int) -> list[str]:
    if not differences:
        return []
    lines = ["", f"Where the {stores} stores that answered differ:"]
    for each in differences:
        odd = "; ".join(f"{value or 'empty'} in {', '.join(some)}" for value, some in each.odd.items())
        usual = f", elsewhere {each.usual or 'empty'}" if each.usual is not None else ""
        lines.append(f"  {each.subject}: {odd}{usual}")
    return lines


def _closing(report: "Report") -> str:
    from connectors.findings import Level

    refused = sum(any(f.level is Level.REFUSE for f in each.findings) for each in report.stores)
    silent = sum(bool(each.unreachable) for each in report.stores)
    ready = len(report.stores) - refused - silent
    parts = [f"{ready} of {len(report.stores)} stores can be captured without loss"]
    if refused:
        parts.append(f"{refused} must be changed first")
    if silent:
        parts.append(f"{silent} could not be reached and {'was' if silent == 1 else 'were'} not judged")
    return ", ".join(parts) + "."
