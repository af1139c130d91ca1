"""Kafka Connect, by its REST interface."""

import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from tillstream.errors import RefusedError, TransientError, UnreachableError

REQUEST_SECONDS = 60.0  # a validation logs in to the store
REBALANCE_SECONDS = 60.0  # how long a cluster of workers may take to agree
LOOK_SECONDS, LOOK_SECONDS_EACH = 1.0, 0.005  # how old the list of all connectors may be: each is five kilobytes of it
NOT_FOUND, CONFLICT, SERVER_FAULT = 404, 409, 500
EXISTS = "already exists"  # has the code of workers that are agreeing, and no other


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """`state` is RUNNING, PAUSED, STOPPED, FAILED, UNASSIGNED or RESTARTING; that of its task, too."""

    name: str
    state: str
    config: Mapping[str, str] = field(default_factory=dict)
    task_state: str | None = None  # Debezium has one task; None: it has not started
    worker: str = ""
    trace: str = ""

    @property
    def has_failed(self) -> bool:
        return "FAILED" in (self.state, self.task_state)


class _RebalancingError(Exception):
    """The workers are agreeing on who does what; the request is to be made again."""


class Connect:
    """For many threads: the list of all connectors is asked for once for all of them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._seen: dict[str, Connector] = {}
        self._seen_at = 0.0
        self._patience = Retrying(
            retry=retry_if_exception_type(_RebalancingError),
            wait=wait_exponential_jitter(multiplier=0.2, max=2.0),
            stop=stop_after_delay(REBALANCE_SECONDS),
            reraise=True,
        )

    def connectors(self) -> dict[str, Connector]:
        """By name, with those that are none of ours."""
        with self._lock:
            if time.monotonic() - self._seen_at >= max(LOOK_SECONDS, LOOK_SECONDS_EACH * len(self._seen)):
                answer = self._ask("GET", "/connectors?expand=status&expand=info")
                self._seen = {name: _connector(name, each) for name, each in answer.items()}
                self._seen_at = time.monotonic()
            return dict(self._seen)

    def faults_of(self, name: str, config: Mapping[str, str]) -> list[str]:
        """What Connect and the connector itself find wrong with it; they log in to the store for that."""
        kind = config["connector.class"].rpartition(".")[2]
        answer = self._ask("PUT", f"/connector-plugins/{kind}/config/validate", {"name": name, **config})
        return [f"{each['value']['name']}: {error}" for each in answer["configs"] for error in each["value"]["errors"]]

    def configure(self, name: str, config: Mapping[str, str]) -> None:
        """Create the connector, or change it."""
        self._ask("PUT", f"/connectors/{_quoted(name)}/config", config)

    def create_stopped(self, name: str, config: Mapping[str, str]) -> None:
        """Where one of its name stood can be asked for then; nothing is read before it is resumed."""
        self._ask("POST", "/connectors", {"name": name, "config": dict(config), "initial_state": "STOPPED"})

    def resume(self, name: str) -> None:
        self._ask("PUT", f"/connectors/{_quoted(name)}/resume")

    def pause(self, name: str) -> None:
        """Its task stays, and its login in the store."""
        self._ask("PUT", f"/connectors/{_quoted(name)}/pause")

    def stop(self, name: str) -> None:
        """End its task; where it stood is kept."""
        self._ask("PUT", f"/connectors/{_quoted(name)}/stop", missing_is_fine=True)

    def restart(self, name: str, *, only_failed: bool = True) -> None:
        self._ask(
            "POST", f"/connectors/{_quoted(name)}/restart?includeTasks=true&onlyFailed={str(only_failed).lower()}"
        )

    def delete(self, name: str) -> None:
        """Where it stood is kept, and another of the same name goes on there."""
        self._ask("DELETE", f"/connectors/{_quoted(name)}", missing_is_fine=True)

    def offset(self, name: str) -> dict[str, Any] | None:
        """Where it stands in the store's log, in Debezium's words; None where it has not begun."""
        answer = self._ask("GET", f"/connectors/{_quoted(name)}/offsets", missing_is_fine=True)
        found = [each["offset"] for each in (answer or {}).get("offsets", ()) if each.get("offset")]
        return found[0] if found else None

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, missing_is_fine: bool = False
    ) -> Any:
        try:
            answer = self._patience(self._ask_once, method, path, body, missing_is_fine)
        except _RebalancingError:
            raise TransientError(
                f"Kafka Connect at {self._url} has been rebalancing for {REBALANCE_SECONDS:.0f} s"
            ) from None
        if method != "GET" and not path.endswith("/validate"):
            with self._lock:
                self._seen_at = 0.0
        return answer

    def _ask_once(self, method: str, path: str, body: Mapping[str, Any] | None, missing_is_fine: bool) -> Any:
        request = urllib.request.Request(
            f"{self._url}{path}",
            method=method,
            data=None if body is None else json.dumps(dict(body)).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == NOT_FOUND and missing_is_fine:
                return None
            said = _said(error)
            if error.code == CONFLICT and EXISTS not in said:
                raise _RebalancingError from None
            told = f"Kafka Connect at {self._url} refuses {method} {urllib.parse.unquote(path)}: {said}"
            # a worker that has just started answers before it knows its own list
            is_starting = error.code == NOT_FOUND and path.startswith("/connectors?")
            raise (TransientError(told) if error.code >= SERVER_FAULT or is_starting else RefusedError(told)) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise UnreachableError(
                f"Kafka Connect at {self._url} does not answer ({reason}); is it the one that "
                "`capture: {connect: ...}` names?"
            ) from None
        return json.loads(text) if text else None


def _said(error: urllib.error.HTTPError) -> str:
    try:
        return " ".join(str(json.load(error)["message"]).split())
    except (ValueError, KeyError, TypeError):  # not of Connect: a proxy's page
        return str(error.reason)


def _connector(name: str, answer: Mapping[str, Any]) -> Connector:
    status = answer.get("status", {})
    tasks = status.get("tasks", ())
    own = status.get("connector", {})
    failed = [each.get("trace", "") for each in (own, *tasks) if each.get("state") == "FAILED"]
    return Connector(
        name=name,
        state=str(own.get("state", "UNASSIGNED")),
        config=answer.get("info", {}).get("config", {}),
        task_state=str(tasks[0]["state"]) if tasks else None,
        worker=str((tasks[0] if tasks else own).get("worker_id", "")),
        trace=failed[0] if failed else "",
    )


def cause(trace: str) -> str:
    """The innermost reason of a Java stack trace, in its own words."""
    heads = [line.strip() for line in trace.splitlines() if line and not line.startswith(("\t", " "))]
    causes = [line.removeprefix("Caused by: ") for line in heads if line.startswith("Caused by: ")] or heads[:1]
    return causes[-1] if causes else ""


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
