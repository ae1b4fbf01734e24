"""Fleets of simulated servers, watched by the real exporter at a quick pace."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from dhcp_failover_exporter.simulator.lab import Host, Lab
from dhcp_failover_exporter.simulator.windows import Pair, hot_standby, scopes
from e2e.servers import Exporter, exporter

FAST = {"state": "1s", "pools": "2s", "checks": "10m", "audit": "1h"}
FAST_STATE_SECONDS = 1.0
TIMEOUT_SECONDS = 2.0


def pair(number: int, scope_count: int = 2) -> Pair:
    made = Pair.of(names=(f"a{number:03d}", f"b{number:03d}"), subnet=f"10.250.{number}")
    members = scopes(scope_count, f"10.{number}.0.0/24")
    made.relationships = [hot_standby(f"pair {number}", *made.servers, members)]
    return made


@contextlib.contextmanager
def watched(lab: Lab, folder: Path, *, polling: bool = True) -> Iterator[Exporter]:
    configuration = lab.configuration(
        intervals=FAST,
        timeout=f"{TIMEOUT_SECONDS:.0f}s",
        sections={"ports": False},
        polling={"enabled": polling},
    )
    with exporter(configuration, folder) as running:
        yield running


def up(running: Exporter, host: Host) -> float | None:
    return running.value(f'dhcp_failover_up{{server="{host.name}"}}')


def polls(running: Exporter, host: Host) -> float:
    return running.value(f'dhcp_failover_polls_total{{server="{host.name}"}}') or 0
