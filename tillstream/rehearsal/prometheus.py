"""Prometheus and Alertmanager on free ports, with the rules and files of docker/ and a clock that runs faster."""

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tillstream import processes
from tillstream.errors import RefusedError
from tillstream.free_ports import free_port
from tillstream.rehearsal import downloads

START_SECONDS = 30.0
STOP_SECONDS = 10.0
LOOK_SECONDS = 0.05
HOST = "127.0.0.1"
DOCKER = Path(__file__).resolve().parents[2] / "docker"
RULES = DOCKER / "prometheus" / "rules"
_IN_EXPRESSIONS = re.compile(r"(?<=\[)\d+[smhd](?=\])|(?<=offset )\d+[smhd]")
_UNITS_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """How each program is called; fetched on the way."""

    prometheus: tuple[str, ...]
    promtool: tuple[str, ...]
    alertmanager: tuple[str, ...]
    amtool: tuple[str, ...]
    alertmanager_root: Path  # where it is to be started


def find_tools() -> Tools:
    """Debian's, each on the C library that it was built with. RefusedError where they cannot be fetched."""
    try:
        first, second = downloads.prometheus_242(), downloads.alertmanager_025()
    except downloads.NoServerError as error:  # it tells of ways to a MySQL server
        raise RefusedError(f"Prometheus and Alertmanager come from Debian, by apt-get: {error.reason}") from error
    return Tools(
        prometheus=_program(first, "prometheus"),
        promtool=_program(first, "promtool"),
        alertmanager=_program(second, "prometheus-alertmanager"),
        amtool=_program(second, "amtool"),
        alertmanager_root=second,
    )


def _program(root: Path, name: str) -> tuple[str, ...]:
    libraries = root / "lib" / "x86_64-linux-gnu"
    loader = libraries / "ld-linux-x86-64.so.2"
    return (str(loader), "--library-path", str(libraries), str(root / "usr" / "bin" / name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """As Alertmanager has it."""

    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    is_held_back: bool  # by another alert, or by a silence


class Monitoring:
    """Both servers. With `faster=60` a minute of the rules is a second: what they scrape and how often, `for:`, ranges
    and offsets alike, and Alertmanager's waits; thresholds are not theirs."""

    def __init__(self, directory: Path, tools: Tools, *, faster: float = 60.0, webhook: str | None = None) -> None:
        """`webhook` is told what the receiver of docker/ would be."""
        self._tools, self.directory, self._faster, self._webhook = tools, directory, faster, webhook
        self.url, self.alertmanager_url = (f"http://{HOST}:{free_port()}" for _ in range(2))
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        processes.make_directory(directory / "targets")

    # --- what is asked of them ------------------------------------------------------------------------------

    def scrape(self, jobs: Mapping[str, Sequence[str]]) -> None:
        """From now on these addresses, host:port, by job; read within moments. May be said before they are started."""
        for job, targets in jobs.items():
            file = self.directory / "targets" / f"{job}.json"
            draft = file.with_suffix(".draft")
            draft.write_text(json.dumps([{"targets": list(targets)}]))
            draft.rename(file)  # never seen half-written

    def query(self, expression: str) -> list[Sample]:
        """An instant vector, or a scalar as one sample without labels."""
        data = _get(f"{self.url}/api/v1/query", query=expression)["data"]
        if data["resultType"] == "scalar":
            return [Sample(labels={}, value=float(data["result"][1]))]
        return [Sample(labels=each["metric"], value=float(each["value"][1])) for each in data["result"]]

    def alerts(self) -> list[Alert]:
        """All that are active in Alertmanager."""
        found = _get(f"{self.alertmanager_url}/api/v2/alerts")
        return [
            Alert(
                name=each["labels"]["alertname"],
                labels=each["labels"],
                annotations=each["annotations"],
                is_held_back=each["status"]["state"] == "suppressed",
            )
            for each in found
        ]

    def rule_failures(self) -> list[str]:
        """Rules that could not be evaluated last."""
        groups = _get(f"{self.url}/api/v1/rules")["data"]["groups"]
        return [f"{rule['name']}: {rule['lastError']}" for group in groups for rule in group["rules"]
                if rule.get("lastError")]  # fmt: skip

    # --- running --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Return when both answer."""
        self._write("rules.yaml", {"groups": list(self._faster_groups())})
        self._write("prometheus.yml", self._prometheus_file())
        self._write("alertmanager.yml", self._alertmanager_file())
        processes.hand_over(self.directory)
        self._spawn(
            "alertmanager", self._tools.alertmanager, self._tools.alertmanager_root,
            f"--config.file={self.directory / 'alertmanager.yml'}", f"--storage.path={self.directory / 'alerts'}",
            f"--web.listen-address={self._address(self.alertmanager_url)}", "--cluster.listen-address=",
        )  # fmt: skip
        self._spawn(
            "prometheus", self._tools.prometheus, self.directory,
            f"--config.file={self.directory / 'prometheus.yml'}", f"--storage.tsdb.path={self.directory / 'series'}",
            f"--web.listen-address={self._address(self.url)}", f"--rules.alert.resend-delay={self._time(60)}",
        )  # fmt: skip
        self._await("alertmanager", f"{self.alertmanager_url}/-/ready")
        self._await("prometheus", f"{self.url}/-/ready")

    def stop(self) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
            process.wait()
        self._running.clear()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self, name: str, program: tuple[str, ...], where: Path, *arguments: str) -> None:
        log = self.directory / f"{name}.log"
        self._running[name] = processes.spawn([*program, *arguments], directory=where, log=log)

    def _await(self, name: str, url: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._running[name].poll() is None:
            with suppress(OSError), urllib.request.urlopen(url, timeout=5):
                return
            time.sleep(LOOK_SECONDS)
        log = self.directory / f"{name}.log"
        raise RefusedError(f"{name} did not answer; the end of {log}:\n{processes.last_lines(log)}")

    # --- the files of docker/, faster and with what is here ---------------------------------------------------

    def _prometheus_file(self) -> dict[str, Any]:
        said = _yaml(DOCKER / "prometheus" / "prometheus.yml")
        said["global"] = {name: self._shorter(value) for name, value in said["global"].items()}
        said["rule_files"] = [str(self.directory / "rules.yaml")]
        said["alerting"] = {
            "alertmanagers": [{"static_configs": [{"targets": [self._address(self.alertmanager_url)]}]}]
        }
        said["scrape_configs"] = [
            {
                **{
                    key: value
                    for key, value in job.items()
                    if not key.endswith("_sd_configs") and key != "static_configs"
                },
                "file_sd_configs": [{"files": [str(self.directory / "targets" / f"{job['job_name']}.json")]}],
            }
            for job in said["scrape_configs"]
        ]
        return said

    def _alertmanager_file(self) -> dict[str, Any]:
        said = _yaml(DOCKER / "alertmanager" / "alertmanager.yml")
        said["route"] = self._faster_route(said["route"])
        if self._webhook is not None:
            hook = {"url": self._webhook, "send_resolved": True}
            said["receivers"] = [{"name": each["name"], "webhook_configs": [hook]} for each in said["receivers"]]
        return said

    def _faster_route(self, route: dict[str, Any]) -> dict[str, Any]:
        waits = {name: self._shorter(value) for name, value in route.items() if name in _WAITS}
        return {**route, **waits, "routes": [self._faster_route(each) for each in route.get("routes", ())]}

    def _faster_groups(self) -> Iterator[dict[str, Any]]:
        for file in sorted(RULES.glob("*.yaml")):
            for group in _yaml(file)["groups"]:
                yield {**group, "rules": [self._faster_rule(rule) for rule in group["rules"]]}

    def _faster_rule(self, rule: dict[str, Any]) -> dict[str, Any]:
        waits = {name: self._shorter(value) for name, value in rule.items() if name in ("for", "keep_firing_for")}
        return {**rule, **waits, "expr": _IN_EXPRESSIONS.sub(lambda found: self._shorter(found[0]), rule["expr"])}

    def _shorter(self, duration: str) -> str:
        return self._time(int(duration[:-1]) * _UNITS_SECONDS[duration[-1]])

    def _time(self, seconds: float) -> str:
        return f"{max(1, round(1000 * seconds / self._faster))}ms"

    def _write(self, name: str, what: dict[str, Any]) -> None:
        (self.directory / name).write_text(yaml.safe_dump(what, allow_unicode=True, sort_keys=False), encoding="utf-8")

    def _address(self, url: str) -> str:
        return url.removeprefix("http://")


_WAITS = ("group_wait", "group_interval", "repeat_interval")


def _yaml(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise RefusedError(f"{file} is not here: Prometheus is started from a checkout of Tillstream")
    said: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return said


def _get(url: str, **parameters: str) -> Any:
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    with urllib.request.urlopen(url + query, timeout=30) as answer:
        return json.load(answer)
