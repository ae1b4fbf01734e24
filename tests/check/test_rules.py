"""The table of rules itself, and what only figures decide."""

import pytest

from check.measured import measured
from dhcp_failover_exporter import check
from dhcp_failover_exporter.check import RULES, Measurement
from dhcp_failover_exporter.check.finders import characters_per_day
from dhcp_failover_exporter.check.measurement import Asked, Step
from dhcp_failover_exporter.failover import ClockOffset
from dhcp_failover_exporter.snapshot import FirewallRule, Section, SectionError


def ids(*measurements: Measurement) -> list[tuple[str, str]]:
    return [(finding.server, finding.id) for finding in check.findings(measurements)]


def test_ids_are_unique() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(
    ("step", "failure", "finding"),
    [
        ("name", "unresolved", "name_unresolved"),
        ("tcp", "silent", "port_silent"),
        ("tcp", "no_route", "port_silent"),
        ("tls", "not_yet_valid", "certificate_not_yet_valid"),
        ("tls", "handshake", "tls_failed"),
        ("tls", "ca_file", "tls_failed"),
        ("logon", "suspended", "logon_not_tried"),
        ("logon", "permission", "endpoint_denied"),
        ("logon", "unreachable", "winrm_unreachable"),
        ("logon", "protocol", "protocol"),
        ("logon", "contract", "contract"),
    ],
)
def test_every_failed_step_has_its_finding(step: str, failure: str, finding: str) -> None:
    assert ids(measured(steps=(Step(step, 0.1, failure, "why"),))) == [("dhcp01", finding)]


def test_an_error_is_told_once_however_many_scopes_it_befell() -> None:
    error = SectionError("10.0.0.0", "WIN32 5,Get-DhcpServerv4Reservation", "PermissionDenied", "no")
    other = SectionError("10.0.1.0", "WIN32 5,Get-DhcpServerv4Policy", "PermissionDenied", "no")
    section = Section("configuration", errors=(error, error, other))
    found = check.findings([measured("dhcp01", section)])
    assert [finding.text.split()[0] for finding in found] == [
        "Get-DhcpServerv4Reservation",
        "Get-DhcpServerv4Policy",
    ]
    assert "sections: {configuration: false}" in found[0].remedy


@pytest.mark.parametrize(
    ("error", "finding"),
    [
        (SectionError(None, "WIN32 1753,Get-DhcpServerv4Scope", "NotSpecified", ""), "service_silent"),
        (SectionError(None, "CommandNotFoundException", "ObjectNotFound", ""), "module_missing"),
        (SectionError("x", "NoInstance", "ObjectNotFound", ""), "counters_empty"),
        (SectionError(None, "", "timeout", ""), "section_timeout"),
        (SectionError(None, "UnknownSection", "InvalidArgument", ""), "section_unknown"),
        (SectionError(None, "HRESULT 0x80041010,Get-CimInstance", "MetadataError", ""), "cmdlet_failed"),
        (SectionError("10.0.0.0", "DHCP 20005,Get-DhcpServerv4Scope", "ObjectNotFound", ""), None),
    ],
)
def test_errors_are_told_apart_by_id_and_category(error: SectionError, finding: str | None) -> None:
    section = Section("counters", failure=error)
    assert ids(measured("dhcp01", section)) == ([("dhcp01", finding)] if finding else [])


def test_a_service_status_for_administrators_only_is_expected() -> None:
    error = SectionError("ServiceStatus", "CouldNotOpenService", "PermissionDenied", "")
    assert ids(measured("dhcp01", Section("server", errors=(error,)))) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (0.0, 54.0, ["clock_off"]),
        (0.0, 58.0, ["clock_off", "clocks_apart"]),
        (-29.0, 29.0, ["clocks_apart"]),
        (20.0, 10.0, []),
    ],
)
def test_clocks_are_compared_between_partners(ours: float, theirs: float, expected: list[str]) -> None:
    first = measured("dhcp01", clock=ClockOffset(ours, 0.5))
    second = measured("dhcp02", partner="dhcp01", clock=ClockOffset(theirs, 0.5))
    assert sorted({finding for _, finding in ids(first, second)}) == expected


def test_a_block_rule_beats_what_allows() -> None:
    allow = FirewallRule("built-in", True, True, "Inbound", "Allow")
    block = FirewallRule("policy", True, True, "Inbound", "Block")
    off = FirewallRule("policy", True, False, "Inbound", "Block")
    assert ids(measured("dhcp01", Section("firewall", (allow, off)))) == []
    assert ids(measured("dhcp01", Section("firewall", (allow, block)))) == [("dhcp01", "firewall_blocked")]


@pytest.mark.parametrize(
    ("server_type", "finding", "severity"),
    [
        ("SecondaryServer", "firewall_closed", "warning"),
        ("PrimaryServer", "firewall_closed_on_primary", "notice"),
    ],
)
def test_a_rule_that_is_off_counts_on_the_secondary(server_type: str, finding: str, severity: str) -> None:
    off = FirewallRule("Microsoft-Windows-DHCP-Failover-TCP-In", True, False, "Inbound", "Allow")
    own = measured("dhcp01", Section("firewall", (off,)), server_type=server_type)
    assert [(it.id, it.severity) for it in check.findings([own])] == [(finding, severity)]


def test_volume_per_day_is_of_all_scopes() -> None:
    asked = {
        "server": Asked(Section("server"), 0.1, 300),
        "configuration": Asked(Section("configuration"), 0.1, 1000, scopes=1),
    }
    own = measured(asked=asked)
    assert characters_per_day(own) == 300 * 86400 / 15 + 1000 * 2 * 86400 / 3600
