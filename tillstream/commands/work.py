"""tillstream work: one sink worker; as many as the lanes need, on as many machines."""

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from tillstream import logs
from tillstream.commands.config import DEFAULT_PATH, ConfigPath, load_all
from tillstream.commands.metrics_server import serve_metrics
from tillstream.commands.signals import Told
from tillstream.errors import RefusedError

if TYPE_CHECKING:
    from conflict.policy import Policy
    from sinks.warehouse import Warehouse
    from tillstream.config import Config

log = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    app.command("work")(work)


def work(
    config: ConfigPath = DEFAULT_PATH,
    log_format: Annotated[str, typer.Option("--log-format", help="text or json, on stderr.")] = "text",
    metrics_port: Annotated[
        int | None,
        typer.Option("--metrics-port", min=0, max=65535, help="Where this worker's metrics are; 0 takes a free port."),
    ] = None,
) -> None:
    """Bring lanes from Kafka into the warehouse until SIGTERM or Ctrl-C; what was taken in by then is finished first.

    Workers share the stores among them, and take over from one that is gone. `tillstream run` watches over the stores.
    """
    from tillstream.opening import open_warehouse

    logs.configure(as_json=log_format == "json")
    settings, policy = load_all(config)
    if settings.capture is None:
        raise RefusedError(
            f"{settings.file}: `work` brings lanes from Kafka, and `capture:` names none; with embedded capture "
            "`tillstream run` does all of it"
        )
    with open_warehouse(settings) as warehouse:
        interrupted = _work(settings, policy, warehouse, metrics_port)
    if interrupted:
        raise KeyboardInterrupt


def _work(settings: "Config", policy: "Policy", warehouse: "Warehouse", metrics_port: int | None) -> bool:
    """Whether it was Ctrl-C that ended it."""
    from tillstream.working import Working

    told = Told()
    working = Working(settings, policy, warehouse)
    serve_metrics(settings, working.why_not_ready, metrics_port)
    log.info("working on the lanes that the group gives; Ctrl-C or SIGTERM ends it")
    working.run(told.stop.is_set)
    return told.interrupted
