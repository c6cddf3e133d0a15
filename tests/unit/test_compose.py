"""docker-compose.yml and Dockerfile: what they promise, and what Compose says of them where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.embedded.distribution import load_pin

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
PROCESSES = ("gateway", "bridge", "receiver")


def docker_compose(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", "compose", *words], capture_output=True, text=True, check=False)


def test_compose_accepts_the_file() -> None:
    if not shutil.which("docker") or docker_compose("version").returncode:
        pytest.skip("no Docker Compose here; the tests below look at the file's structure")
    checked = docker_compose("--file", str(ROOT / "docker-compose.yml"), "config", "--quiet")
    assert checked.returncode == 0, checked.stderr


def test_one_service_builds_the_image_that_all_run() -> None:
    """Were it each of them, there would be an image for each, all of one name, and a change of one would remake all."""
    builders = [name for name, service in SERVICES.items() if "build" in service]
    assert builders == ["key"]
    assert {service["image"] for name, service in SERVICES.items() if name != "broker"} == {SERVICES["key"]["image"]}


def test_no_service_lives_in_the_network_of_another() -> None:
    """It would be left in one that is no more when the other is started again."""
    assert not [name for name, service in SERVICES.items() if "network_mode" in service]


def test_the_receiver_is_the_one_private_address_that_webhooks_may_call() -> None:
    receiver = SERVICES["receiver"]["networks"]["default"]["ipv4_address"]
    ranges = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["networks"]["default"]["ipam"]["config"]
    assert ip_address(receiver) in ip_network(ranges[0]["subnet"])
    for name in ("gateway", "bridge"):
        assert SERVICES[name]["environment"]["PIPELINE_WEBHOOK_ALLOW"] == receiver
        assert "PIPELINE_WEBHOOK_ALLOW_LOOPBACK" not in SERVICES[name]["environment"]


def test_the_broker_is_the_release_that_is_embedded_too() -> None:
    assert SERVICES["broker"]["image"] == f"apache/kafka:{load_pin().kafka}"


@pytest.mark.parametrize("name", PROCESSES)
def test_each_process_is_a_command_of_the_one_image(name: str) -> None:
    assert SERVICES[name]["command"][:2] == ["pipeline", name]
    assert SERVICES[name]["image"] == SERVICES["gateway"]["image"]


@pytest.mark.parametrize("name", ["broker", *PROCESSES])
def test_each_lasting_service_tells_its_health_and_comes_back(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_ports_are_published_to_this_machine_only() -> None:
    """Nothing here asks for a password."""
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_clients_inside_are_told_an_address_that_is_listened_on() -> None:
    inside = SERVICES["gateway"]["environment"]["PIPELINE_BOOTSTRAP_SERVERS"]
    broker = SERVICES["broker"]["environment"]
    assert f"INSIDE://{inside}" in broker["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert f"INSIDE://0.0.0.0:{inside.rpartition(':')[2]}" in broker["KAFKA_LISTENERS"].split(",")


def test_what_is_depended_on_and_mounted_exists() -> None:
    volumes = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["volumes"]
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        assert {mount.split(":")[0] for mount in service["volumes"]} <= set(volumes)


def test_every_setting_is_one_that_exists() -> None:
    """An unknown PIPELINE_ variable would stop the process at its start."""
    from pipeline.config import ENVIRONMENT_ALIASES, environment_name, known_keys  # noqa: PLC0415 - imports every part

    known = {environment_name(key) for key in known_keys()} | set(ENVIRONMENT_ALIASES) | {"PIPELINE_CACHE_DIR"}
    used = set(re.findall(r"\bPIPELINE_[A-Z_]+", (ROOT / "Dockerfile").read_text()))
    for service in SERVICES.values():
        used |= {name for name in service.get("environment", {}) if name.startswith("PIPELINE_")}
    assert used <= known


def test_the_image_copies_what_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {word for line in sources for word in line.split()} == kept


def test_a_build_in_an_empty_place_asks_for_what_it_compiles_against(monkeypatch: pytest.MonkeyPatch) -> None:
    """So pip builds the image's package: mypyc looks at the types of every dependency first."""
    from hatchling.build import get_requires_for_build_wheel  # noqa: PLC0415 - reads the project of the folder

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("HATCH_BUILD_HOOK_ENABLE_MYPYC", "1")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked, needed = (
        {re.split("[^a-z-]", requirement, maxsplit=1)[0] for requirement in requirements}
        for requirements in (get_requires_for_build_wheel(), project["dependencies"])
    )
    assert {*needed, "types-pyyaml"} <= asked


def test_the_image_does_not_run_as_root() -> None:
    assert re.search(r"^USER pipeline$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_the_health_checks_are_python() -> None:
    for name in PROCESSES:
        program = SERVICES[name]["healthcheck"]["test"][-1]
        compile(program, name, "exec")
    compile(SERVICES["key"]["command"][-1], "key", "exec")
