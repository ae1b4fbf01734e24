"""State polls stay on time, whatever other servers do, probes ask for and other sections take."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from dhcp_failover_exporter.simulator.lab import Host, Lab
from dhcp_failover_exporter.simulator.windows import Cost
from e2e.fleet import FAST, FAST_STATE_SECONDS, TIMEOUT_SECONDS, pair, polls, up, watched
from e2e.servers import HTTP, Exporter, eventually, exporter

pytestmark = pytest.mark.e2e


def seconds_of_failed_poll(running: Exporter, host: Host) -> float:
    """How long the first one took, from its call to the moment when it was given up."""
    failed = rf'msg="poll failed" server={re.escape(host.name)} .*seconds=([\d.]+)'
    return float(re.findall(failed, running.logged())[0])


@pytest.mark.parametrize("fault", ["hung", "dripping"])
def test_a_silent_server_is_down_by_timeout_and_delays_nobody(fault: str, tmp_path: Path) -> None:
    with Lab([pair(1)]) as lab, watched(lab, tmp_path) as running:
        sick, well = lab.hosts.values()
        eventually(lambda: up(running, sick) == up(running, well) == 1, 20, "both are up")
        sick.break_(fault)
        started, before = time.monotonic(), polls(running, well)
        eventually(lambda: up(running, sick) == 0, 10, "the silent server is down")
        assert seconds_of_failed_poll(running, sick) < TIMEOUT_SECONDS + 1
        assert running.value(f'dhcp_failover_poll_failed{{server="{sick.name}",reason="timeout"}}') == 1
        stale = f'dhcp_failover_relationships{{server="{sick.name}"}}'
        eventually(lambda: running.value(stale) is None, 10, "what the server said before is gone")
        passed = time.monotonic() - started
        assert polls(running, well) - before >= passed / FAST_STATE_SECONDS - 2
        assert up(running, well) == 1
        sick.mend(fault)
        eventually(lambda: up(running, sick) == 1, 20, "the server is back")


def test_probes_of_hung_servers_do_not_delay_a_healthy_one(tmp_path: Path) -> None:
    with Lab([pair(number) for number in range(1, 12)]) as lab, watched(lab, tmp_path) as running:
        *hung, well = lab.hosts.values()
        eventually(lambda: all(up(running, host) == 1 for host in lab.hosts.values()), 30, "all are up")
        for host in hung:
            host.break_("hung")

        def probe(host: Host, seconds: float) -> tuple[float, str]:
            started = time.monotonic()
            header = {"X-Prometheus-Scrape-Timeout-Seconds": str(seconds)}
            answer = HTTP.get(f"{running.url}probe", params={"target": host.name}, headers=header, timeout=30)
            assert answer.status_code == httpx.codes.OK
            return time.monotonic() - started, answer.text

        with ThreadPoolExecutor(101) as clients:
            sick = [clients.submit(probe, hung[number % len(hung)], 5) for number in range(100)]
            eventually(
                lambda: sum(future.running() for future in sick) > 50, 5, "the hung probes are under way"
            )
            took, text = clients.submit(probe, well, 5).result()
            assert took < 2
            assert f'dhcp_failover_up{{server="{well.name}"}} 1' in text
            for seconds, answer in (future.result() for future in sick):
                assert seconds < 6
                assert "dhcp_failover_up" in answer
        assert all(len(host.winrm.shells) <= 2 for host in hung)


def test_state_polls_stay_on_time_while_a_thousand_scopes_are_read(tmp_path: Path) -> None:
    """10 ms a scope for statistics, 0.3 s for the configuration: one call would hold a server for minutes."""
    busy = pair(1, 1000)
    busy.primary.costs["Get-DhcpServerv4ScopeStatistics"] = Cost(per_record_seconds=0.01)
    busy.secondary.costs["Get-DhcpServerv4Reservation"] = Cost(seconds=0.3)
    with (
        Lab([busy]) as lab,
        exporter(lab.configuration(intervals={**FAST, "pools": "10s"}, timeout="20s"), tmp_path) as running,
    ):
        collected = (
            f'dhcp_failover_section_timestamp_seconds{{server="{busy.primary.fqdn}",section="statistics"}}'
        )
        eventually(lambda: running.value(collected), 60, "the statistics, in slices")
        eventually(lambda: lateness(running)[0] >= 50, 60, "fifty polls")
        polls_begun, on_time = lateness(running)
        assert busy.secondary.calls["Get-DhcpServerv4Reservation"] > 10, "the audit is under way"
        assert on_time / polls_begun >= 0.99


def lateness(running: Exporter) -> tuple[float, float]:
    """State polls so far, and those that began within a second of being due."""
    name = "dhcp_failover_exporter_poll_lateness_seconds"
    return running.value(f"{name}_count") or 0, running.value(f'{name}_bucket{{le="1.0"}}') or 0
