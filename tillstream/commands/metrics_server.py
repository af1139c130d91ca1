"""Where Prometheus reads what this process tells."""

import logging

from tillstream.config import Config
from tillstream.errors import RefusedError

log = logging.getLogger(__name__)


def serve_metrics(settings: Config, port: int | None = None) -> None:
    """`port` in place of the configuration's, where several processes run on one machine."""
    from prometheus_client import start_http_server

    from tillstream import metrics

    port = settings.metrics.port if port is None else port
    if port is None:
        return
    try:
        server, _ = start_http_server(port, settings.metrics.host, registry=metrics.REGISTRY)
    except OSError as error:
        raise RefusedError(
            f"the metrics address {settings.metrics.host}:{port} cannot be opened ({error.strerror}); set "
            "`metrics: {port: ...}` in tillstream.yaml, or null to switch it off; `work` has --metrics-port, too"
        ) from error
    log.info("metrics at http://%s:%d/metrics", settings.metrics.host, server.server_port)
