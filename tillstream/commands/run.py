"""tillstream run: every store into the warehouse, until told to stop."""

import logging
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from tillstream import logs
from tillstream.commands.config import DEFAULT_PATH, ConfigPath, load_all
from tillstream.commands.metrics_server import serve_metrics
from tillstream.commands.signals import Told
from tillstream.config import Config
from tillstream.states import StoreReport, StoreState

if TYPE_CHECKING:  # drivers and Java are loaded by the verb that needs them, not by --help
    from tillstream.pipeline import Pipeline

log = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    app.command("run")(run)


def run(
    config: ConfigPath = DEFAULT_PATH,
    log_format: Annotated[str, typer.Option("--log-format", help="text or json, on stderr.")] = "text",
) -> None:
    """Follow every store until SIGTERM or Ctrl-C; what was taken in by then is finished first."""
    from tillstream.opening import open_warehouse
    from tillstream.pipeline import Pipeline

    logs.configure(as_json=log_format == "json")
    settings, policy = load_all(config)
    with open_warehouse(settings) as warehouse:
        pipeline = Pipeline(settings, policy, warehouse, on_report=_Announcer().announce)
        interrupted = _work(settings, pipeline)
    if pipeline.failure is not None:
        raise pipeline.failure
    if interrupted:
        raise KeyboardInterrupt


def _work(settings: Config, pipeline: "Pipeline") -> bool:
    """Whether it was Ctrl-C that ended it."""
    told = Told()
    signal.signal(signal.SIGHUP, lambda number, frame: pipeline.look_at_stores())
    pipeline.claim()  # whoever starts a second `run` hears of the first, and not of its port
    serve_metrics(settings, pipeline.why_not_ready)
    try:
        pipeline.start()
        log.info("following %d stores; Ctrl-C or SIGTERM ends it", len(settings.stores))
        while not told.stop.is_set() and not pipeline.wait(0.2):
            pass
        log.info("finishing what was taken in")
    finally:
        pipeline.stop()
    return told.interrupted


class _Announcer:
    """A line when a store's state or its reason changes, and none otherwise."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[StoreState, str]] = {}

    def announce(self, report: StoreReport) -> None:
        told = (report.state, report.reason)
        if self._last.get(report.store) != told:
            self._last[report.store] = told
            tail = f": {report.reason}" if report.reason else ""
            level = logging.WARNING if report.reason else logging.INFO
            log.log(level, "store %s (%s) is %s%s", report.store, report.name, report.state.value, tail)
