"""A broker and a Kafka Connect worker as plain Java, on free ports, with the configuration files of docker/."""

import base64
import json
import logging
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tillstream import processes
from tillstream.errors import RefusedError, TillstreamError
from tillstream.free_ports import free_port
from tillstream.rehearsal.kafka_jars import KafkaJars, kafka_jars

START_SECONDS = 120.0  # Connect reads its plugins first: 15 s on two cores that have nothing else to do
STOP_SECONDS = 30.0
LOOK_SECONDS = 0.2
HOST = "127.0.0.1"
DOCKER = Path(__file__).resolve().parents[2] / "docker"


class JavaServer:
    """One Java process with a properties file; what it has written survives stop, kill and start."""

    def __init__(self, jars: KafkaJars, directory: Path, name: str, main: str, heap_megabytes: int) -> None:
        self._jars, self.directory, self._name, self._main = jars, directory, name, main
        self._heap_megabytes = heap_megabytes
        self.process: subprocess.Popen[bytes] | None = None
        processes.make_directory(directory)

    @property
    def log(self) -> Path:
        return self.directory / f"{self._name}.log"

    @property
    def properties(self) -> Path:
        return self.directory / f"{self._name}.properties"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def write_properties(self, template: Path, own: Mapping[str, object]) -> None:
        """The file that docker/ uses, and behind it what is different here: the last of two counts."""
        if not template.is_file():
            raise RefusedError(f"{template} is not here: Kafka is started from a checkout of Tillstream")
        lines = "".join(f"{key}={value}\n" for key, value in own.items())
        self.properties.write_text(f"{template.read_text()}\n{lines}")
        shutil.copy(DOCKER / "kafka" / "log4j2.yaml", self.directory)  # the server's user may not get into a checkout

    def java(self, main: str, *arguments: str) -> list[str]:
        return [
            str(self._jars.java),
            f"-Xmx{self._heap_megabytes}m",
            "-XX:+UseSerialGC" if self._heap_megabytes <= 512 else "-XX:+UseParallelGC",
            "-Duser.timezone=UTC",  # a DATETIME in the hour that the machine's own zone skips in spring would be moved
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={self.directory / 'log4j2.yaml'}",
            "-cp",
            f"{self._jars.servers}/*",
            main,
            *arguments,
        ]

    def agent(self) -> list[str]:
        """Java's options for what is to look into the server."""
        return []

    def spawn(self, environment: Mapping[str, str] | None = None) -> None:
        java, *rest = self.java(self._main, str(self.properties))
        command = [java, *self.agent(), *rest]
        processes.hand_over(self.directory)
        self.process = processes.spawn(
            command,
            directory=self.directory,
            log=self.log,
            environment=environment,
        )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        self.kill()

    def failed(self, what: str) -> RefusedError:
        self.kill()
        return RefusedError(f"{self._name} {what}; the end of {self.log}:\n{processes.last_lines(self.log)}")


class Broker(JavaServer):
    def __init__(self, jars: KafkaJars, directory: Path) -> None:
        super().__init__(jars, directory, "kafka", "kafka.Kafka", 512)
        self._port, self._controller = free_port(), free_port()
        self.address = f"{HOST}:{self._port}"

    def start(self) -> None:
        """Return when it answers."""
        data = self.directory / "data"
        self.write_properties(
            DOCKER / "kafka" / "server.properties",
            {
                "controller.quorum.voters": f"1@{HOST}:{self._controller}",
                "listeners": f"INTERNAL://{HOST}:{self._port},CONTROLLER://{HOST}:{self._controller}",
                "advertised.listeners": f"INTERNAL://{self.address}",
                "log.dirs": data,
            },
        )
        if not data.exists():
            self._format()
        self.spawn()
        deadline = time.monotonic() + START_SECONDS
        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        while time.monotonic() < deadline:
            if not self.running:
                raise self.failed("exited")
            with suppress(KafkaException):
                admin.list_topics(timeout=2)
                return
            time.sleep(LOOK_SECONDS)
        raise self.failed(f"did not answer within {START_SECONDS:.0f} s")

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        processes.hand_over(self.directory)
        arguments = (f"--cluster-id={cluster}", f"--config={self.properties}")  # an id may begin with a dash
        formatting = self.java("kafka.tools.StorageTool", "format", *arguments)
        done = processes.run(formatting, directory=self.directory)
        if done.returncode != 0:
            raise RefusedError(f"Kafka could not lay out its storage in {self.directory}:\n{done.stdout[-2000:]}")


class ConnectWorker(JavaServer):
    def __init__(self, jars: KafkaJars, directory: Path, broker: Broker, *, heap_megabytes: int = 768) -> None:
        super().__init__(jars, directory, "connect", "org.apache.kafka.connect.cli.ConnectDistributed", heap_megabytes)
        self._broker = broker
        self._port, self._metrics_port = free_port(), free_port()
        self.url, self.metrics_url = f"http://{HOST}:{self._port}", f"http://{HOST}:{self._metrics_port}/metrics"
        self.environment: dict[str, str] = {}

    def agent(self) -> list[str]:
        rules = shutil.copy(DOCKER / "connect" / "jmx.yaml", self.directory)
        return [f"-javaagent:{self._jars.agent}={HOST}:{self._metrics_port}:{rules}"]

    def start(self) -> None:
        """Return when it answers; its connectors start on their own."""
        self.write_properties(
            DOCKER / "connect" / "connect-distributed.properties",
            {
                "bootstrap.servers": self._broker.address,
                "listeners": self.url,
                "plugin.path": self._jars.plugins,
            },
        )
        self.spawn(self.environment)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not self.running:
                raise self.failed("exited")
            with suppress(OSError, ValueError), urllib.request.urlopen(f"{self.url}/connectors", timeout=5) as answer:
                json.load(answer)
                return
            time.sleep(LOOK_SECONDS)
        raise self.failed(f"did not answer within {START_SECONDS:.0f} s")


class KafkaServers:
    """A broker and a Connect worker; both are started, and stopped, together."""

    def __init__(self, directory: Path, jars: KafkaJars | None = None) -> None:
        jars = jars or kafka_jars()
        self.broker = Broker(jars, directory / "broker")
        self.connect = ConnectWorker(jars, directory / "connect", self.broker)

    @property
    def capture(self) -> dict[str, str]:
        """As tillstream.yaml says it."""
        return {"kafka": self.broker.address, "connect": self.connect.url}

    def resident_bytes(self) -> int:
        running = [each.process for each in (self.broker, self.connect) if each.process is not None]
        return sum(int(psutil.Process(process.pid).memory_info().rss) for process in running)

    def start(self) -> None:
        self.broker.start()
        self.connect.start()

    def stop(self) -> None:
        self.connect.stop()
        self.broker.stop()

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


def main() -> None:
    """`make kafka`: both on free ports, in a new directory, until Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    directory = Path(tempfile.mkdtemp(prefix="tillstream-kafka-"))
    directory.chmod(0o711)  # servers run as `nobody` where we are root, and have to pass through
    try:
        with KafkaServers(directory) as servers:
            print("Kafka and Kafka Connect are ready; in tillstream.yaml:", file=sys.stderr)
            print(f"capture: {{kafka: {servers.broker.address}, connect: '{servers.connect.url}'}}", flush=True)
            print(f"What Connect counts, for Prometheus: {servers.connect.metrics_url}", file=sys.stderr)
            print("Ctrl-C stops them and forgets what they hold.", file=sys.stderr)
            signal.pause()
    except KeyboardInterrupt:
        sys.exit(130)
    except TillstreamError as error:
        sys.exit(str(error))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
