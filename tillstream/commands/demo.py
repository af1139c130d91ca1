"""tillstream demo: a chain of tea shops on real MySQL servers, a day of trade, and every value compared."""

import json
import logging
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tillstream.commands.config import Output, OutputOption

if TYPE_CHECKING:
    from tillstream.rehearsal.day import Outcome


class Via(StrEnum):
    EMBEDDED = "embedded"
    KAFKA = "kafka"


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    stores: Annotated[int, typer.Option("--stores", min=1, max=200, help="How many shops.")] = 3,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="How long the tills work.")] = 20,
    rate: Annotated[float, typer.Option("--rate", min=1, help="Row changes per second, of all shops together.")] = 200,
    via: Annotated[Via, typer.Option("--via", help="The way from the shops into the warehouse.")] = Via.EMBEDDED,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, max=16, help="Worker processes, by Kafka; 2 if left out.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, another chain and another day.")] = 7,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="A new directory for everything, which stays afterwards.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Play a day in a chain of shops, with all that usually goes wrong, and check that nothing got lost."""
    # Imported here: Debezium, rich and the drivers take half a second, which `tillstream --help` has no use for.
    from tillstream.rehearsal.day import Plan, rehearse
    from tillstream.rehearsal.displays import LogLines, display_for_stderr

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it too stops everything on its way out
    if workers is not None and via is Via.EMBEDDED:
        raise typer.BadParameter(
            "--workers goes with --via kafka: embedded capture has one worker, in the same process"
        )
    count = 0 if via is Via.EMBEDDED else workers or 2
    plan = Plan(stores=stores, seconds=seconds, rate=rate, seed=seed, workers=count)
    with _place(keep) as directory, display_for_stderr() as display:
        logging.basicConfig(level=logging.WARNING, handlers=[LogLines(display)], force=True)
        logging.getLogger("tillstream.rehearsal").setLevel(logging.INFO)  # says when it downloads something
        outcome = rehearse(directory, plan, display)
    if output is Output.JSON:
        print(json.dumps(outcome.as_json(), ensure_ascii=False))
    else:
        print("\n".join([*_told(outcome), "", *_next_steps(outcome, keep)]))
    if outcome.faults():
        raise typer.Exit(1)


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep.expanduser().absolute()
        return
    directory = Path(tempfile.mkdtemp(prefix="tillstream-demo-"))
    directory.chmod(0o711)  # servers run as `nobody` where we are root, and have to pass through
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _told(outcome: "Outcome") -> Iterator[str]:
    """What happened, in plain words."""
    plan, verified, live = outcome.plan, outcome.verification, outcome.latency.live
    yield f"{plan.seconds:g} seconds of trade in {_number_of(plan.stores, 'shop')} on MySQL {outcome.mysql}:"
    yield f"  {outcome.events:,} row changes were committed in the shops, {outcome.applied:,} came into the warehouse."
    if live is not None:
        yield f"  A row was there after {live.p50:.0f} ms (median); 99 of 100 after {live.p99:.0f} ms."
    yield from _after_outage(outcome)
    yield f"  Decided by policies.yaml: {_number_of(outcome.conflicts, 'conflict')} between shops" + (
        ", such as:" if outcome.recent_conflicts else "."
    )
    yield from (f"    {line}" for line in outcome.recent_conflicts[:3])
    yield f"  The pool of points: {outcome.pool}."
    yield (
        f"  verify compared {verified.tables} tables and {verified.rows:,} rows value by value with the shops: "
        f"{_number_of(verified.differences, 'difference')}, {verified.set_aside} set aside."
    )
    if plan.workers:
        yield (
            f"  Memory: {outcome.resident_mb} MB for `run` and {_number_of(plan.workers, 'worker')}; Kafka and Kafka "
            f"Connect took {outcome.kafka_mb} MB more, PostgreSQL {outcome.warehouse_mb} MB."
        )
    else:
        yield f"  Memory: {outcome.resident_mb} MB, Java included; PostgreSQL took {outcome.warehouse_mb} MB more."
    yield from (f"NOT RIGHT: {fault}" for fault in outcome.faults())


def _after_outage(outcome: "Outcome") -> Iterator[str]:
    late = outcome.latency.after_outage
    if late is not None:
        yield (
            f"  {late.rows} more rows were committed in a shop that had just come back from the dark, before it was "
            f"found again: they took up to {late.most / 1000:.1f} s."
        )


def _next_steps(outcome: "Outcome", keep: Path | None) -> Iterator[str]:
    yield "Where to look next:"
    if keep is None:
        again = f"--stores {outcome.plan.stores} --seconds {outcome.plan.seconds:g} --seed {outcome.plan.seed}"
        again += f" --via kafka --workers {outcome.plan.workers}" if outcome.plan.workers else ""
        yield f"  tillstream demo {again} --keep DIR     the same, and everything stays in DIR"
        yield "  tillstream config schema                            what tillstream.yaml of your own chain may say"
        return
    config = keep / "tillstream.yaml"
    yield f"  {config} and {keep / 'policies.yaml'}: what your own would look like"
    yield f"  tillstream status --config {config}"
    yield f"  tillstream config validate --config {config}"
    yield f"  {keep / 'data' / 'warehouse'}: the warehouse, PostgreSQL's data directory; stopped, as the shops are"


def _number_of(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"
