"""docker/ is held against the compose schema, a linter, and the code that it is to start; no engine is needed."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from invocation import TILLSTREAM, environment

from tillstream.config import KafkaEntry, load_config
from tillstream.rehearsal import shop

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
TOOLS = Path(sys.executable).parent

each_service = pytest.mark.parametrize("name", SERVICES)


def test_the_compose_file_follows_the_compose_schema() -> None:
    """With a name for the project, and without `version:`, which Compose no longer reads."""
    _succeeds("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DOCKER / "compose.yaml")
    assert COMPOSE["name"] == "tillstream"
    assert "version" not in COMPOSE


def test_the_dockerfile_passes_its_linter() -> None:
    """All of hadolint's rules."""
    _succeeds("hadolint", DOCKER / "Dockerfile")


@each_service
def test_a_service_runs_one_version_within_limits_and_tells_whether_it_is_well(name: str) -> None:
    """`latest` is another program tomorrow; what has no limit takes the machine down with it."""
    service = SERVICES[name]
    _, _, tag = service["image"].rpartition(":")
    assert re.match(r"v?\d", tag), service["image"]
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= limits.keys()
    if service["restart"] == "no":
        waiting = [each["depends_on"][name] for each in SERVICES.values() if name in each.get("depends_on", {})]
        assert {each["condition"] for each in waiting} == {"service_completed_successfully"}
    else:
        assert service["healthcheck"]["test"][0] == "CMD"


@each_service
def test_a_service_may_do_no_more_than_it_must(name: str) -> None:
    """A read-only root, no capability, no way to more rights, and no root where the image would begin as root."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid"} & service.keys()
    if service["image"].startswith(("postgres:", "mysql:")):
        assert service["user"] == "999:999"


@each_service
def test_a_service_waits_until_what_it_needs_is_well(name: str) -> None:
    """And what it needs is there."""
    for other, dependency in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        finished = SERVICES[other]["restart"] == "no"
        wanted = "service_completed_successfully" if finished else "service_healthy"
        assert dependency["condition"] == wanted


@each_service
def test_only_what_a_person_opens_is_published_and_only_to_this_machine(name: str) -> None:
    """Whoever comes from elsewhere comes by a tunnel or a proxy that asks who it is."""
    ports = SERVICES[name].get("ports", [])
    assert bool(ports) == (name in {"prometheus", "alertmanager", "grafana"})
    for port in ports:
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


@each_service
def test_what_is_mounted_is_there_and_cannot_be_written_to(name: str) -> None:
    """Only named volumes can; passwords are made by secrets.sh."""
    for volume in SERVICES[name].get("volumes", []):
        if isinstance(volume, str):
            assert volume.partition(":")[0] in COMPOSE["volumes"]
            continue
        assert volume["type"] == "bind"
        assert volume["read_only"] is True
        source = re.sub(r"\$\{\w+:-(.+)\}", r"\1", volume["source"])
        assert source == "./secrets/pos" or (DOCKER / source).exists(), source


def test_every_secret_is_declared_used_and_made_once(tmp_path: Path) -> None:
    """secrets.sh makes a file for each, without a newline: Kafka Connect would take it for a part of the password."""
    shutil.copy(DOCKER / "secrets.sh", tmp_path)
    subprocess.run(["sh", tmp_path / "secrets.sh"], check=True, capture_output=True)
    made = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*/*") if path.is_file()}
    declared = {name: Path(secret["file"]) for name, secret in COMPOSE["secrets"].items()}
    used = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    stores = {f"secrets/pos/{store.id}" for store in load_config(DOCKER / "demo" / "tillstream.yaml").stores}
    assert used == declared.keys()
    assert made.keys() == {str(path) for path in declared.values()} | stores
    assert all(re.fullmatch(rb"[0-9a-f]{48}", password) for password in made.values())
    assert len(set(made.values())) == len(made)
    subprocess.run(["sh", tmp_path / "secrets.sh"], check=True, capture_output=True)
    assert all((tmp_path / name).read_bytes() == password for name, password in made.items())


@each_service
def test_a_password_is_read_only_where_it_is_given(name: str) -> None:
    """Whatever a service's settings call a file under /run/secrets is mounted into it."""
    service = SERVICES[name]
    told = yaml.safe_dump([service.get("environment", {}), service.get("command", [])])
    if any(
        volume.get("target") == "/etc/tillstream" for volume in service.get("volumes", []) if isinstance(volume, dict)
    ):
        told = told if name == "tills" else f"{told} /run/secrets/warehouse"
    assert set(re.findall(r"/run/secrets/(\w+)", told)) == set(service.get("secrets", []))


def test_the_demo_s_files_are_valid_and_fit_the_compose_file() -> None:
    """Its stores, Kafka, Connect and the warehouse are services, reached over a network that both are in."""
    checked = subprocess.run(
        [TILLSTREAM, "config", "validate", "--config", DOCKER / "demo" / "tillstream.yaml"],
        capture_output=True, text=True, env=environment(), check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    config = load_config(DOCKER / "demo" / "tillstream.yaml")
    assert config.capture is not None
    assert config.warehouse is not None
    assert (config.metrics.host, config.metrics.port) == ("0.0.0.0", 9464)
    assert config.warehouse.address.get_secret_value() == "postgresql+psycopg://tillstream@warehouse/tillstream"
    for store in config.stores:
        assert SERVICES[store.host]["profiles"] == ["demo"]
        assert {"run", "connect", "tills"} <= _together_with(store.host)
        assert store.password.file == Path("/run/secrets/pos") / store.id
    assert {"run", "work", "connect"} <= _together_with(config.capture.kafka.partition(":")[0])
    assert config.capture.connect == "http://connect:8083"
    assert {"run", "work", "migrate"} <= _together_with("warehouse")
    rules = (DOCKER / "demo" / "policies.yaml").read_text(encoding="utf-8")
    assert rules == shop.POLICIES, "docker/demo/policies.yaml is a copy of tillstream/rehearsal/policies.yaml"


def test_a_store_of_the_demo_writes_the_log_that_capture_wants() -> None:
    """Each under a number of its own, in UTC: its `updated_at` is compared with the other stores'."""
    text = (DOCKER / "demo" / "shop.cnf").read_text()
    for line in ("binlog-format = ROW", "binlog-row-image = FULL", "default-time-zone = +00:00"):
        assert line in text.splitlines()
    stores = [service for service in SERVICES.values() if service["image"].startswith("mysql:")]
    assert len({tuple(service["command"]) for service in stores}) == len(stores) == 3


def test_connect_is_started_with_what_the_code_relies_on() -> None:
    """It is this file and no environment variable that says how Connect works: the image's own start would add some."""
    connect = SERVICES["connect"]
    assert connect["entrypoint"] == [
        "/kafka/bin/connect-distributed.sh", "/etc/tillstream/connect-distributed.properties",
    ]  # fmt: skip
    assert not [name for name in connect["environment"] if name.startswith("CONNECT_")]
    said = _properties("connect/connect-distributed.properties")
    config = load_config(DOCKER / "demo" / "tillstream.yaml")
    assert config.capture is not None
    assert said["bootstrap.servers"] == config.capture.kafka
    assert said["offset.storage.topic"] == KafkaEntry.model_fields["offsets_topic"].default
    assert said["plugin.path"] == "/kafka/connect"
    assert said["listeners"] == "http://:8083", "0.0.0.0 would be what workers tell each other"
    assert said["config.providers"] == "dir,env", "connectors refer to passwords by them"
    assert said["config.providers.dir.class"].endswith(".DirectoryConfigProvider")
    assert said["config.providers.env.class"].endswith(".EnvVarConfigProvider")
    assert said["connector.client.config.override.policy"] == "All", "connectors say how large records may be"
    assert int(said["offset.flush.interval.ms"]) <= 1000, "how old a quiet store's position may be"
    for topic in ("config", "offset", "status"):
        assert said[f"{topic}.storage.replication.factor"] == "1", "there is one broker"
    assert {said["key.converter.schemas.enable"], said["value.converter.schemas.enable"]} == {"false"}


def test_kafka_is_started_with_what_the_code_relies_on() -> None:
    """It makes no topic of itself, and takes the largest record that tillstream.yaml allows by itself."""
    kafka = SERVICES["kafka"]
    assert "exec ./kafka-server-start.sh /etc/tillstream/server.properties" in kafka["command"][-1]
    said = _properties("kafka/server.properties")
    assert said["auto.create.topics.enable"] == "false"
    largest = KafkaEntry.model_fields["max_message_megabytes"].default * 1024 * 1024
    assert int(said["message.max.bytes"]) >= largest
    assert int(said["replica.fetch.max.bytes"]) >= int(said["message.max.bytes"])
    assert said["advertised.listeners"] == "INTERNAL://kafka:9092"
    assert said["controller.quorum.voters"] == "1@kafka:9093"
    assert f"kafka:{said['log.dirs']}" in kafka["volumes"]
    assert f"{said['log.dirs']}/meta.properties" in kafka["command"][-1]
    for key in ("offsets.topic.replication.factor", "transaction.state.log.replication.factor"):
        assert said[key] == "1", "there is one broker"


def test_the_image_holds_what_the_package_holds() -> None:
    """Its tag is the version, it is built from the locks alone, and .dockerignore lets in what is copied."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert SERVICES["run"]["image"] == f"tillstream:{project['project']['version']}"
    text = (DOCKER / "Dockerfile").read_text()
    copied = {name for line in re.findall(r"^COPY ([^-].*) \S+$", text, re.MULTILINE) for name in line.split()}
    packages = {name.partition(".")[0] for name in project["tool"]["setuptools"]["packages"]}
    locks = {"requirements.lock", "requirements-build.lock"}
    assert copied == packages | locks | {"pyproject.toml", "README.md", "LICENSE"}
    admitted = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert set(admitted) == copied
    assert all((ROOT / name).exists() for name in copied)
    assert text.count("FROM ") == 2
    assert re.search(r"^USER \d+:\d+$", text, re.MULTILINE)
    for lock in locks:
        assert f"--require-hashes --only-binary :all: --requirement {lock}" in text


def test_the_image_and_the_compose_file_ask_the_same_question() -> None:
    """Whether /metrics answers; both say it, as `docker run` reads the one and `docker compose` the other."""
    (told,) = re.findall(r'HEALTHCHECK [^\[]+CMD (\[".+"\])$', (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    for name in ("run", "work"):
        assert SERVICES[name]["healthcheck"]["test"] == ["CMD", *yaml.safe_load(told)]


def test_prometheus_and_grafana_find_what_they_are_told_of() -> None:
    """Targets are services at the port of /metrics, and each directory that is named is mounted."""
    said = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in said["scrape_configs"]}
    assert jobs["run"]["static_configs"] == [{"targets": ["run:9464"]}]
    (found,) = jobs["work"]["dns_sd_configs"]
    assert (found["names"], found["port"]) == (["work"], 9464)
    assert {"run", "work", "alertmanager", "grafana"} <= _together_with("prometheus")
    mounted = {volume["target"] for name in ("prometheus", "grafana") for volume in SERVICES[name]["volumes"]
               if isinstance(volume, dict)}  # fmt: skip
    provided = yaml.safe_load((DOCKER / "grafana/provisioning/dashboards/tillstream.yaml").read_text())["providers"]
    assert {provider["options"]["path"] for provider in provided} <= mounted
    assert {str(Path(pattern).parent) for pattern in said["rule_files"]} <= mounted


def _together_with(name: str) -> set[str]:
    """The services that can reach this one by its name."""
    networks = set(SERVICES[name]["networks"])
    return {other for other, service in SERVICES.items() if networks & set(service["networks"])}


def _properties(name: str) -> dict[str, str]:
    lines = (line.strip() for line in (DOCKER / name).read_text().splitlines())
    pairs = [line.partition("=")[::2] for line in lines if line and not line.startswith("#")]
    assert len({key for key, _ in pairs}) == len(pairs), "the last of two would count"
    return dict(pairs)


def _succeeds(tool: str, *arguments: str | Path) -> None:
    done = subprocess.run([TOOLS / tool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
