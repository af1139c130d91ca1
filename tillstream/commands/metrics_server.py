"""Where Prometheus reads what this process tells, and whoever starts it whether it lives and is at work."""

import logging
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from tillstream.config import Config
from tillstream.errors import RefusedError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication

log = logging.getLogger(__name__)

TEXT = ("Content-Type", "text/plain; charset=utf-8")


def serve_metrics(settings: Config, why_not_ready: Callable[[], str], port: int | None = None) -> None:
    """`port` in place of the configuration's, where several processes run on one machine. `why_not_ready` is empty of
    one that is at work."""
    from tillstream import metrics

    metrics.ALERT_THRESHOLD.replace(settings.alerts.thresholds())
    port = settings.metrics.port if port is None else port
    if port is None:
        return
    host = settings.metrics.host
    try:
        server = make_server(host, port, _answering(why_not_ready), _Server, handler_class=_Handler)
    except OSError as error:
        raise RefusedError(
            f"the metrics address {host}:{port} cannot be opened ({error.strerror}); set "
            "`metrics: {port: ...}` in tillstream.yaml, or null to switch it off; `work` has --metrics-port, too"
        ) from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    log.info("metrics at http://%s:%d/metrics", host, server.server_port)


def _answering(why_not_ready: Callable[[], str]) -> "WSGIApplication":
    from prometheus_client import make_wsgi_app

    from tillstream import metrics

    tell_metrics: WSGIApplication = make_wsgi_app(metrics.REGISTRY)

    def answer(environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
        match environ.get("PATH_INFO"):
            case "/metrics":
                return tell_metrics(environ, start_response)
            case "/healthz":
                start_response("200 OK", [TEXT])
                return [b"alive\n"]
            case "/readyz":
                reason = why_not_ready()
                start_response("503 Service Unavailable" if reason else "200 OK", [TEXT])
                return [f"{reason or 'at work'}\n".encode()]
            case _:
                start_response("404 Not Found", [TEXT])
                return [b"/metrics, /healthz and /readyz are here\n"]

    return answer


class _Server(ThreadingMixIn, WSGIServer):
    """A scrape that hangs keeps no other waiting."""

    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked has gone: a load balancer's look at the port is none of our faults."""
        log.debug("an answer to %s was not taken", client_address, exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = 30  # seconds, after which a connection on which nothing is asked is closed

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)
