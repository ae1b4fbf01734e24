"""Each right that an account lacks costs its own section only, and the section says that it is a right."""

import re
from collections.abc import Mapping
from typing import Any, Final

import pytest

from dhcp_failover_exporter.simulator.windows import Rights
from dhcp_failover_exporter.snapshot import SECTIONS
from engine.pair import ACCOUNT, Watched
from simulator.test_collector_twin import script_cmdlets

# By cmdlet: the sections that cannot be told, or not whole, without it.
COSTS: Final[Mapping[str, set[str]]] = {
    "Get-CimInstance": {"counters"},
    "Get-DhcpServerSetting": {"settings"},
    "Get-DhcpServerv4ExclusionRange": {"configuration"},
    # Which partners to dial, and which scopes to audit.
    "Get-DhcpServerv4Failover": {"relationships", "ports", "configuration"},
    "Get-DhcpServerv4OptionValue": {"configuration"},
    "Get-DhcpServerv4Policy": {"configuration"},
    "Get-DhcpServerv4PolicyIPRange": {"configuration"},
    "Get-DhcpServerv4Reservation": {"configuration"},
    "Get-DhcpServerv4Scope": {"scopes", "configuration"},
    "Get-DhcpServerv4ScopeStatistics": {"statistics"},
    "Get-DhcpServerv4Statistics": {"counters"},
    # The registry tells the build and how PowerShell logs.
    "Get-ItemProperty": {"server", "settings"},
    # Asked only about Block rules, of which there is none here.
    "Get-NetFirewallAddressFilter": set(),
    "Get-NetFirewallApplicationFilter": set(),
    "Get-NetFirewallPortFilter": {"firewall"},
    "Get-NetFirewallRule": {"firewall"},
    # An answered section of the service says as much as the service manager would.
    "Get-Service": set(),
    "Get-WinEvent": {"events"},
}


def refused(watched: Watched) -> set[str]:
    """Sections of the primary server that fail for want of a right."""
    lines = watched.shown(watched.workers[0])
    failed = [
        line for line in lines if line.startswith("dhcp_failover_section_failed{") and line.endswith(" 1")
    ]
    assert all('reason="permission"' in line for line in failed)
    return {re.findall('section="([a-z]+)"', line)[0] for line in failed}


def succeeded(watched: Watched) -> set[str]:
    lines = [line for line in watched.shown(watched.workers[0]) if "section_success{" in line]
    return {re.findall('section="([a-z]+)"', line)[0] for line in lines if line.endswith(" 1")}


@pytest.mark.parametrize("cmdlet", sorted(script_cmdlets()))
def test_a_refused_cmdlet_costs_its_own_section(cmdlet: str, stage: Any) -> None:
    watched = Watched(stage)
    watched.pair.primary.grant(ACCOUNT, Rights(denied=frozenset({cmdlet})))
    watched.wait(300.0)
    assert refused(watched) == COSTS[cmdlet]
    assert succeeded(watched) == set(SECTIONS) - COSTS[cmdlet]


def test_a_performance_class_that_shows_nothing_is_a_right_that_is_missing(stage: Any) -> None:
    watched = Watched(stage)
    watched.pair.primary.grant(ACCOUNT, Rights(empty=frozenset({"Get-CimInstance"})))
    watched.wait(300.0)
    assert refused(watched) == {"counters"}
    assert any(line.startswith("dhcp_failover_messages_total{") for line in watched.shown(watched.workers[0]))
