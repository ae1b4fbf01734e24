"""The parts of the demo that can be checked without Docker: what is mounted where, who asks whom, real configurations."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
import pytest
import yaml

from dhcp_failover_exporter.cli import main
from dhcp_failover_exporter.simulator.faults import FAULTS
from e2e.servers import eventually, free_port, started

Json = dict[str, Any]


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return root / "dashboards"


@pytest.fixture(scope="module")
def services(folder: Path) -> dict[str, Json]:
    loaded: dict[str, Json] = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    return loaded


def mounts(service: Json) -> list[tuple[str, str]]:
    """(source, place in the container) of each, all of them read-only."""
    split = [mount.split(":") for mount in service.get("volumes", ())]
    assert all(mode == "ro" for _, _, mode in split)
    return [(source, place) for source, place, _ in split]


def laid_out(service: Json, folder: Path, container: Path) -> None:
    """The files of a container where its programs will find them."""
    for source, place in mounts(service):
        inside = container / place.lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / source, inside)


def test_images_are_pinned_and_ports_are_on_loopback(services: dict[str, Json]) -> None:
    for name, service in services.items():
        assert service.get("build") == ".." or re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name


def test_what_is_mounted_exists(services: dict[str, Json], folder: Path) -> None:
    for service in services.values():
        assert all((folder / source).exists() for source, _ in mounts(service))
    assert (folder / services["exporter"]["build"] / "Dockerfile").exists()


def test_the_exporter_knows_the_command(services: dict[str, Json]) -> None:
    assert services["exporter"]["command"][0] in main.commands
    published = services["exporter"]["ports"][0].split(":")[-1]
    listening = next(option for option in main.params if option.name == "listen_address")
    assert listening.default == f":{published}"


def test_the_control_page_is_published_where_the_demo_serves_it(services: dict[str, Json]) -> None:
    published = dict(reversed(port.rsplit(":", 1)) for port in services["exporter"]["ports"])
    assert published["9648"] == "127.0.0.1:9648", "the log names the port inside: it must be the one outside"
    command, *flags = services["exporter"]["command"]
    demo = main.commands[command]
    assert demo.make_context("demo", list(flags)).params["control_address"] == ":9648"
    assert demo.make_context("demo", []).params["control_address"] == "127.0.0.1:0"


@pytest.mark.wire
def test_the_log_says_how_to_break_a_pair(services: dict[str, Json], tmp_path: Path) -> None:
    """The container's command, on loopback and on free ports."""
    port = free_port()
    flags = [str(flag).replace(":9648", f"127.0.0.1:{port}") for flag in services["exporter"]["command"]]
    url = f"http://127.0.0.1:{port}/"
    with started(flags, tmp_path) as running:
        eventually(lambda: f"control page {url}\n" in running.logged(), 30, "the log names the page")
        pressed = 'aria-pressed="true"'
        assert pressed not in httpx.get(url).text
        fault = {"server": "dhcp02.lab.local", "fault": next(iter(FAULTS)), "on": "1"}
        assert httpx.post(url, data=fault).status_code == httpx.codes.SEE_OTHER
        assert httpx.get(url).text.count(pressed) == 1


def test_prometheus_accepts_its_files(
    services: dict[str, Json], folder: Path, tmp_path: Path, program: Callable[[str], str]
) -> None:
    laid_out(services["prometheus"], folder, tmp_path)
    configuration = _flag(services["prometheus"], "config.file")
    command = [program("promtool"), "check", "config", str(tmp_path / configuration.lstrip("/"))]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "rules found" in checked.stdout


def test_alertmanager_accepts_its_file(
    services: dict[str, Json], folder: Path, tmp_path: Path, program: Callable[[str], str]
) -> None:
    laid_out(services["alertmanager"], folder, tmp_path)
    configuration = _flag(services["alertmanager"], "config.file")
    command = [program("amtool"), "check-config", str(tmp_path / configuration.lstrip("/"))]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def _flag(service: Json, name: str) -> str:
    start = f"--{name}="
    return next(str(flag).removeprefix(start) for flag in service["command"] if flag.startswith(start))


def test_whoever_is_asked_is_a_service_at_its_port(services: dict[str, Json], folder: Path) -> None:
    listening = {f"{name}:{service['ports'][0].split(':')[-1]}" for name, service in services.items()}
    prometheus = yaml.safe_load((folder / "prometheus.yml").read_text())
    asked = [
        target
        for job in (*prometheus["scrape_configs"], *prometheus["alerting"]["alertmanagers"])
        for static in job["static_configs"]
        for target in static["targets"]
    ]
    (datasource,) = _provisioned(folder, "datasources")["datasources"]
    asked.append(datasource["url"].removeprefix("http://"))
    assert set(asked) <= listening
    assert {"exporter:9647", "alertmanager:9093", "prometheus:9090"} == set(asked)


def test_grafana_finds_the_dashboards_and_the_pace_of_the_scrapes(
    services: dict[str, Json], folder: Path
) -> None:
    (provider,) = _provisioned(folder, "dashboards")["providers"]
    places = {place: folder / source for source, place in mounts(services["grafana"])}
    assert list(places[provider["options"]["path"]].glob("*.json"))
    assert (places["/etc/grafana/provisioning"] / "datasources").is_dir()
    home = PurePosixPath(services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (places[str(home.parent)] / home.name).exists()
    (datasource,) = _provisioned(folder, "datasources")["datasources"]
    prometheus = yaml.safe_load((folder / "prometheus.yml").read_text())
    assert datasource["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]


def _provisioned(folder: Path, kind: str) -> Json:
    (path,) = (folder / "provisioning" / kind).glob("*.yaml")
    loaded: Json = yaml.safe_load(path.read_text())
    assert loaded["apiVersion"] == 1
    return loaded
