"""A real Prometheus scrapes the exporter, which polls the simulated pairs over real WinRM."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from dhcp_failover_exporter.simulator.lab import Lab
from e2e.servers import HTTP, Exporter, Prometheus, eventually, exporter, prometheus, scrape_job

pytestmark = pytest.mark.e2e

FAST = {"state": "1s", "pools": "2s", "checks": "5s", "audit": "10s"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def watched(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    with exporter(lab.configuration(intervals=FAST), tmp_path_factory.mktemp("exporter")) as running:
        eventually(lambda: HTTP.get(f"{running.url}-/ready").status_code == httpx.codes.OK, 20, "ready")
        yield running


@pytest.fixture(scope="module")
def scraped(
    watched: Exporter, program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    target = httpx.URL(watched.url).netloc.decode()
    configuration = {"scrape_configs": [scrape_job(target)]}
    with prometheus(program("prometheus"), tmp_path_factory.mktemp("prometheus"), configuration) as server:
        eventually(lambda: server.value("min_over_time(up[5s])"), 20, "first scrapes")
        yield server


def test_prometheus_takes_every_sample(scraped: Prometheus) -> None:
    assert scraped.value('up{job="dhcp-failover"}') == 1
    kept = scraped.value("scrape_samples_post_metric_relabeling")
    assert kept is not None
    assert kept > 1000
    assert kept == scraped.value("scrape_samples_scraped")
    assert all(target["lastError"] == "" for target in scraped.targets())
    for counter in ("out_of_order", "duplicate_timestamp", "out_of_bounds"):
        assert not scraped.query(f"prometheus_target_scrapes_sample_{counter}_total > 0")


def test_both_partners_views_arrive(scraped: Prometheus, lab: Lab) -> None:
    assert scraped.values("dhcp_failover_up", "server") == {(name,): 1.0 for name in lab.hosts}
    normal = scraped.values('dhcp_failover_state{state="Normal"}', "server", "partner", "relationship")
    assert normal == {
        ("dhcp01.lab.local", "dhcp02.lab.local", "dhcp01-dhcp02"): 1,
        ("dhcp02.lab.local", "dhcp01.lab.local", "dhcp01-dhcp02"): 1,
        ("dhcp03.lab.local", "dhcp04.lab.local", "dhcp03-dhcp04"): 1,
        ("dhcp04.lab.local", "dhcp03.lab.local", "dhcp03-dhcp04"): 1,
    }


def test_both_partners_agree_on_the_pair(scraped: Prometheus) -> None:
    counted = scraped.values("count by (pair) (dhcp_failover_relationship_info)", "pair")
    assert counted == {
        ("dhcp01.lab.local|dhcp02.lab.local",): 2,
        ("dhcp03.lab.local|dhcp04.lab.local",): 2,
    }


def test_addresses_of_the_whole_scope_are_the_same_from_both_sides(scraped: Prometheus) -> None:
    """Partners are asked at different moments and leases come and go: the sums differ by a few at most."""
    total = "dhcp_failover_scope_addresses_free + dhcp_failover_scope_addresses_in_use"
    by_server = scraped.values(f"sum by (server) ({total})", "server")
    first, second = by_server["dhcp03.lab.local",], by_server["dhcp04.lab.local",]
    assert first == pytest.approx(second, rel=0.01)
    assert scraped.value('count(dhcp_failover_scope_protected{server="dhcp01.lab.local"} == 0)') == 2


def test_promtool_finds_nothing_to_complain_about(watched: Exporter, program: Callable[[str], str]) -> None:
    command = [program("promtool"), "check", "metrics"]
    checked = subprocess.run(command, input=watched.metrics(), capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_sessions_are_kept_over_many_polls(watched: Exporter, lab: Lab) -> None:
    polls = 'dhcp_failover_polls_total{server="dhcp01.lab.local"}'
    eventually(lambda: (watched.value(polls) or 0) >= 10, 30, "ten polls")
    assert lab.hosts["dhcp01.lab.local"].winrm.shells_opened == 1
    assert watched.value("dhcp_failover_exporter_sessions_open") == len(lab.hosts)


def test_sigterm_leaves_no_shell_behind(tmp_path: Path) -> None:
    with Lab() as lab, exporter(lab.configuration(intervals=FAST), tmp_path) as running:
        eventually(
            lambda: all(host.winrm.shells for host in lab.hosts.values()), 20, "a shell on each server"
        )
        running.running.terminate()
        assert running.running.wait(5) == 0
        assert [host.winrm.shells for host in lab.hosts.values()] == [()] * 4
        assert Path(tmp_path / "exporter.log").read_text().count("level=error") == 0
