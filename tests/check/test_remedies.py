"""Every rule by an example: what is found, how bad it is, and the command or setting that its remedy names."""

from dataclasses import dataclass, replace

import pytest

from check.measured import measured, server
from dhcp_failover_exporter import check
from dhcp_failover_exporter.check import RULES, Measurement
from dhcp_failover_exporter.check.measurement import Asked, Step
from dhcp_failover_exporter.failover import FIREWALL_RULE_IN, ClockOffset, Naming, topology
from dhcp_failover_exporter.snapshot import (
    FirewallRule,
    PortProbe,
    Relationship,
    Section,
    SectionError,
    Server,
    ServerSetting,
)


@dataclass(frozen=True)
class Example:
    """Measurements of which the first server's are wrong in one way; parts of what is said about it."""

    measurements: tuple[Measurement, ...]
    severity: str
    text: str
    remedy: str


def broken(step: str, failure: str, severity: str, text: str, remedy: str) -> Example:
    """A step on the way failed."""
    own = measured(steps=(Step(step, 0.1, failure, "the reason"),))
    return Example((own,), severity, text, remedy)


def unread(section: str, id_: str, category: str, severity: str, text: str, remedy: str) -> Example:
    """A section failed."""
    own = measured("dhcp01", Section(section, failure=SectionError(None, id_, category, "the message")))
    return Example((own,), severity, text, remedy)


def answered(
    section: Section, severity: str, text: str, remedy: str, server_type: str = "SecondaryServer"
) -> Example:
    """A section says what is wrong."""
    return Example((measured("dhcp01", section, server_type=server_type),), severity, text, remedy)


def of(record: object, section: str) -> Section:
    return Section(section, (record,))  # type: ignore[arg-type]  # one of the section's records


def slow(section: str, seconds: float, scopes: int = 0) -> dict[str, Asked]:
    return {section: Asked(Section(section, elapsed_seconds=seconds), seconds, 2_000_000, scopes)}


ALONE = Section("relationships")
PORT = PortProbe("dhcp02", False, "192.0.2.2", 647, 0.1, "ConnectionRefused")
OFF = FirewallRule(FIREWALL_RULE_IN, True, False, "Inbound", "Allow")
BLOCK = FirewallRule("Policy block", True, True, "Inbound", "Block")
STRANGER = topology(
    [Relationship("fo", "dhcp09", "Normal", ("10.0.0.0",), server_type="PrimaryServer")],
    Naming([server()]),
    "dhcp01",
)

EXAMPLES = {
    "name_unresolved": broken(
        "name", "unresolved", "critical",
        "The name dhcp01 does not resolve here: the reason.", "give the server an address: in the configuration",
    ),
    "port_refused": broken(
        "tcp", "refused", "critical",
        "Nothing listens on dhcp01:5986.", "winrm enumerate winrm/config/listener; Enable-PSRemoting makes",
    ),
    "port_silent": broken(
        "tcp", "silent", "critical",
        "No connection to dhcp01:5986: the reason.", "every firewall between lets this exporter through to TCP 5986.",
    ),
    "certificate_expired": broken(
        "tls", "expired", "critical",
        "The WinRM certificate has expired.", "put the new thumbprint into the HTTPS listener",
    ),
    "certificate_not_yet_valid": broken(
        "tls", "not_yet_valid", "critical",
        "The WinRM certificate is not valid yet.", "Compare the clocks of this machine and of the authority",
    ),
    "certificate_untrusted": broken(
        "tls", "untrusted", "critical",
        "not from an authority in the system's authorities: the reason.", "as tls: {ca_file: ...}",
    ),
    "certificate_other_name": broken(
        "tls", "other_name", "critical",
        "The WinRM certificate is not for dhcp01: the reason.", "Issue it for the name in the configuration, or",
    ),
    "tls_failed": broken(
        "tls", "handshake", "critical",
        "TLS on dhcp01:5986 failed: the reason.", "WinRM's HTTPS listener (5986), and ca_file.",
    ),
    "certificate_ends_soon": Example(
        (measured(certificate_seconds=20 * 86400.0),), "warning",
        "The WinRM certificate expires in 20 days.", "Renew it, and put the new thumbprint into the HTTPS listener.",
    ),
    "logon_refused": broken(
        "logon", "auth", "critical",
        "No logon with credential lab: the reason.", "Check account name and password file, and whether the account",
    ),
    "logon_not_tried": broken(
        "logon", "suspended", "critical",
        "No logon was tried: the reason.", "Correct what the other servers of credential lab show first",
    ),
    "quota": broken(
        "logon", "quota", "critical",
        "WinRM opens no more shells: the reason.", "winrm enumerate shell; raise the limit named under "
        "winrm/config/winrs.",
    ),
    "endpoint_denied": broken(
        "logon", "permission", "critical",
        "may not use the endpoint Microsoft.PowerShell.", "Add it to Remote Management Users",
    ),
    "hung": broken(
        "logon", "timeout", "critical",
        "gave no whole answer within 10 s.", "Restart the service WinRM if it hangs; raise timeout:",
    ),
    "winrm_unreachable": broken(
        "logon", "unreachable", "critical",
        "The port is open, but WinRM was not reached: the reason.", "check that this machine reaches a KDC",
    ),
    "protocol": broken(
        "logon", "protocol", "critical",
        "Not understood: the reason.", "Check that dhcp01:5986 is WinRM, that it offers the configured auth, that "
        "the SPN is known (spn_service, spn_host), and that an endpoint Microsoft.PowerShell is registered.",
    ),
    "function_missing": broken(
        "logon", "function_missing", "critical",
        "Microsoft.PowerShell does not know Get-DhcpFailoverSnapshot.", "that `dhcp-failover-exporter jea` writes",
    ),
    "scripts_refused": broken(
        "logon", "scripts_refused", "critical",
        "Microsoft.PowerShell takes no scripts: it is a JEA endpoint.", "as configuration_name:; "
        "`dhcp-failover-exporter jea` makes one.",
    ),
    "contract": broken(
        "logon", "contract", "critical",
        "not this exporter's contract: the reason.", "Update the module on the JEA endpoint to the one",
    ),
    "module_missing": unread(
        "scopes", "CouldNotAutoLoadModule", "ObjectNotFound", "critical",
        "Section scopes needs a cmdlet that does not exist there (CouldNotAutoLoadModule).", "Install-WindowsFeature RSAT-DHCP. On a JEA "
        "endpoint, ModulesToImport must name the module",
    ),
    "service_silent": unread(
        "scopes", "WIN32 1722,Get-DhcpServerv4Scope", "NotSpecified", "critical",
        "does not answer on its own server (WIN32 1722,Get-DhcpServerv4Scope).", "Start or restart the service "
        "DHCPServer",
    ),
    "failover_refused": unread(
        "relationships", "WIN32 5,Get-DhcpServerv4Failover", "PermissionDenied", "critical",
        "Get-DhcpServerv4Failover is refused (WIN32 5,Get-DhcpServerv4Failover): nothing about failover",
        "Add the account (ntlm) to the group DHCP Users and restart the service DHCPServer",
    ),
    "right_missing": unread(
        "events", "System.UnauthorizedAccessException,Microsoft.PowerShell.Commands.GetWinEventCommand",
        "NotSpecified", "warning",
        "Get-WinEvent is refused (System.UnauthorizedAccessException",
        "Give the account (ntlm) this right: Event Log Readers. Or switch the section off: sections: {events: false}.",
    ),
    "counters_empty": unread(
        "counters", "NoInstance", "ObjectNotFound", "warning",
        "The performance class answers nothing", "Add the account (ntlm) to Performance Monitor Users.",
    ),
    "section_timeout": unread(
        "statistics", "", "timeout", "warning",
        "Section statistics was not answered within 10 s.", "raise timeout: or switch the section off",
    ),
    "section_unknown": unread(
        "settings", "UnknownSection", "InvalidArgument", "warning",
        "Section settings is not answered as this exporter reads it: the message", "Update the module on the JEA",
    ),
    "cmdlet_failed": unread(
        "settings", "WIN32 87,Get-DhcpServerSetting", "NotSpecified", "warning",
        "Get-DhcpServerSetting failed (WIN32 87,Get-DhcpServerSetting): section settings is incomplete.",
        "Run the cmdlet on the server and read its message",
    ),
    "powershell_old": answered(
        of(Server(ps_version="4.0"), "server"), "critical",
        "Windows PowerShell 4.0 is too old.", "Install WMF 5.1",
    ),
    "constrained_language": answered(
        of(Server(language_mode="ConstrainedLanguage"), "server"), "warning",
        "ConstrainedLanguage (WDAC or AppLocker): TCP 647 cannot be tested", "Allow the module by its signature",
    ),
    "slow": Example(
        (measured(asked=slow("relationships", 6.0)),), "warning",
        "A state poll takes 6.0 s, more than half of its timeout of 10 s.", "Raise timeout: and the interval of state",
    ),
    "audit_slow": Example(
        (measured(asked=slow("configuration", 1000.0, scopes=1)),), "warning",
        "takes about 2000 s; it is due every 3600 s.", "Lengthen intervals: {audit: ...}.",
    ),
    "transcription": answered(
        of(ServerSetting(transcription=True), "settings"), "warning",
        "A policy transcribes PowerShell: our calls write about 0 MB a day", "Exempt the server from the policy",
    ),
    "module_logging": answered(
        of(ServerSetting(module_logging=True), "settings"), "warning",
        "A policy logs modules: our calls write about 0 MB a day to the event log",
        "Take the module DhcpServer and ours out of the policy's list",
    ),
    "failover_port_closed": answered(
        of(PORT, "ports"), "critical",
        "This primary does not reach TCP 647 of dhcp02 (192.0.2.2): ConnectionRefused.",
        "On dhcp02: Enable-NetFirewallRule -Name Microsoft-Windows-DHCP-Failover-TCP-In, and see that the service "
        "DHCPServer runs",
        server_type="PrimaryServer",
    ),
    "failover_port_closed_backwards": answered(
        of(PORT, "ports"), "notice",
        "This secondary does not reach TCP 647 of dhcp02 (192.0.2.2): ConnectionRefused.",
        "Nothing, unless a relationship is to be made the other way round.",
    ),
    "failover_port_closed_from_here": broken(
        "647", "refused", "notice",
        "TCP 647 is closed from this machine: the reason.", "Nothing: only the partner has to reach it.",
    ),
    "clocks_apart": Example(
        (measured(clock=ClockOffset(29.5, 0.1)), measured("dhcp02", partner="dhcp01", clock=ClockOffset(-29.0, 0.1))),
        "critical",
        "The clock is +58.5 s from its partner's (dhcp02)", "On both: w32tm /query /status; correct the time source",
    ),
    "clock_off": Example(
        (measured(clock=ClockOffset(-40.0, 0.1)),), "warning",
        "The clock is -40.0 s from this machine's.", "w32tm /query /status there, timedatectl here.",
    ),
    "firewall_blocked": answered(
        Section("firewall", (replace(OFF, enabled=True), BLOCK)), "critical",
        "The firewall rule Policy block blocks TCP 647.", "Remove or disable it",
    ),
    "firewall_closed": answered(
        of(OFF, "firewall"), "warning",
        f"No active rule allows TCP 647 into this secondary ({FIREWALL_RULE_IN} is disabled).",
        f"Enable-NetFirewallRule -Name {FIREWALL_RULE_IN}; where it is missing",
    ),
    "firewall_closed_on_primary": answered(
        of(OFF, "firewall"), "notice",
        f"No active rule allows TCP 647 into this primary ({FIREWALL_RULE_IN} is disabled).",
        "Nothing, unless a relationship is to be made the other way round.",
        server_type="PrimaryServer",
    ),
    "not_authorized": answered(
        of(ServerSetting(is_domain_joined=True, is_authorized=False), "settings"), "critical",
        "not authorised in Active Directory: it leases nothing.", "Add-DhcpServerInDC -DnsName dhcp01, as an "
        "Enterprise Admin.",
    ),
    "partner_not_configured": Example(
        (measured(topology=STRANGER),), "warning",
        "Its partner dhcp09 is not in the configuration", "Add it to servers:, or, if it is there under another name, "
        "to aliases:.",
    ),
    "no_relationship": Example(
        (measured("dhcp01", ALONE, topology=topology([], Naming([server()]), "dhcp01")),), "notice",
        "The server has no failover relationship.", "Nothing, if it is meant to stand alone.",
    ),
}  # fmt: skip
"""Rule id -> an example. A new rule needs a row here."""


def test_every_rule_has_an_example() -> None:
    assert sorted(EXAMPLES) == sorted(rule.id for rule in RULES)


@pytest.mark.parametrize("rule_id", EXAMPLES)
def test_a_rule_finds_its_example_and_says_what_to_do(rule_id: str) -> None:
    example = EXAMPLES[rule_id]
    (finding,) = check.findings(example.measurements)
    assert (finding.server, finding.id, finding.severity) == ("dhcp01", rule_id, example.severity)
    assert example.text in finding.text
    assert example.remedy in finding.remedy


@pytest.mark.parametrize(
    ("ps_version", "finding"),
    [
        ("4.0", ["powershell_old"]),
        ("5.0.10586.117", ["powershell_old"]),
        ("5.1.14393.0", []),
        ("7.4", []),
        (None, []),
    ],
)
def test_powershell_is_old_before_5_1(ps_version: str | None, finding: list[str]) -> None:
    found = check.findings([measured("dhcp01", of(Server(ps_version=ps_version), "server"))])
    assert [it.id for it in found] == finding


@pytest.mark.parametrize(("seconds", "finding"), [(4.9, []), (5.1, ["slow"])])
def test_a_state_poll_is_slow_from_half_of_its_timeout_on(seconds: float, finding: list[str]) -> None:
    found = check.findings([measured(asked=slow("server", 0.1) | slow("relationships", seconds - 0.1))])
    assert [it.id for it in found] == finding


@pytest.mark.parametrize(("seconds", "finding"), [(890.0, []), (910.0, ["audit_slow"])])
def test_an_audit_is_slow_from_half_of_its_interval_on(seconds: float, finding: list[str]) -> None:
    """Two scopes, of which one was read."""
    found = check.findings([measured(asked=slow("configuration", seconds, scopes=1))])
    assert [it.id for it in found] == finding


@pytest.mark.parametrize("policy", ["transcription", "module_logging"])
def test_a_policy_is_told_with_the_megabytes_that_it_costs_in_a_day(policy: str) -> None:
    """2 MB of relationships every 15 s, and once every quarter of an hour the settings."""
    settings = Asked(of(ServerSetting(**{policy: True}), "settings"), 0.1, 1_000_000)
    found = check.findings([measured(asked={**slow("relationships", 0.1), "settings": settings})])
    assert [it.id for it in found] == [policy]
    assert f"about {2 * 86400 // 15 + 86400 // 900} MB a day" in found[0].text
