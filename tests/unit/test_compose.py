"""docker/compose.yaml: the compose schema, and what holds for every service of it; no engine is needed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from compose import COMPOSE, DOCKER, SERVICES, require_success

from tillstream.config import load_config

each_service = pytest.mark.parametrize("name", SERVICES)


def test_the_compose_file_follows_the_compose_schema() -> None:
    """With a name for the project, and without `version:`, which Compose no longer reads."""
    require_success("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DOCKER / "compose.yaml")
    assert COMPOSE["name"] == "tillstream"
    assert "version" not in COMPOSE


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
