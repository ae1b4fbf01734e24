"""What is wrong with what was measured, how bad it is, and what to do: a table of rules, all of them pure.

A rule's finder yields words for each thing it finds; they fill the rule's text and remedy, together with what
is known of the server anyway (`_setting`). To add a check, add a row.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from dhcp_failover_exporter.check.finders import (
    Case,
    Finder,
    Words,
    blocked,
    certificate_ends,
    clock_off,
    clocks_apart,
    closed_from_here,
    closed_ports,
    constrained,
    failed,
    logged,
    no_relationship,
    not_allowed,
    not_configured,
    old_powershell,
    slow_audit,
    slow_state,
    unauthorized,
    unread,
)
from dhcp_failover_exporter.check.measurement import Measurement

Severity = Literal["critical", "warning", "notice"]
SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "warning", "notice")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one server, and what to do about it."""

    server: str
    id: str
    severity: Severity
    text: str
    remedy: str


@dataclass(frozen=True)
class Rule:
    """One row: `finds` yields the words for `text` and `remedy`, once per finding."""

    id: str
    severity: Severity
    finds: Finder
    text: str
    remedy: str


def findings(measurements: Iterable[Measurement]) -> list[Finding]:
    """What is wrong, server by server in the given order, the worst first."""
    fleet = {measurement.server.name: measurement for measurement in measurements}
    found = [
        _finding(rule, case, words)
        for case in (Case(measurement, fleet) for measurement in fleet.values())
        for rule in RULES
        for words in rule.finds(case)
    ]
    order = list(fleet)
    return sorted(found, key=lambda it: (order.index(it.server), SEVERITIES.index(it.severity)))


def _finding(rule: Rule, case: Case, words: Words) -> Finding:
    said = {**_setting(case.own), **words}
    return Finding(
        case.own.server.name, rule.id, rule.severity, rule.text.format(**said), rule.remedy.format(**said)
    )


def _setting(own: Measurement) -> Words:
    server = own.server
    account = "the account that the JEA endpoint runs as" if own.is_jea else f"the account ({own.auth})"
    return {
        "server": server.name,
        "address": server.address,
        "port": server.port,
        "credential": server.credential.name,
        "endpoint": server.configuration_name,
        "timeout": f"{server.timeout_seconds:g}",
        "account": account,
        "ca": server.tls.ca_file or "the system's authorities",
    }


_DHCP_USERS: Final = (
    "Add {account} to the group DHCP Users and restart the service DHCPServer if the group is new. Some "
    "builds refuse all the same: then use the JEA endpoint with a virtual account, on a domain controller "
    "with a gMSA."
)

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "name_unresolved",
        "critical",
        failed("name", "unresolved"),
        "The name {address} does not resolve here: {detail}.",
        "Correct the name, or give the server an address: in the configuration.",
    ),
    Rule(
        "port_refused",
        "critical",
        failed("tcp", "refused"),
        "Nothing listens on {address}:{port}.",
        "On the server: winrm enumerate winrm/config/listener; Enable-PSRemoting makes an HTTP listener "
        "(5985). Check scheme and port in the configuration.",
    ),
    Rule(
        "port_silent",
        "critical",
        failed("tcp", "silent", "no_route"),
        "No connection to {address}:{port}: {detail}.",
        "Check that the host runs and that every firewall between lets this exporter through to TCP {port}.",
    ),
    Rule(
        "certificate_expired",
        "critical",
        failed("tls", "expired"),
        "The WinRM certificate has expired.",
        "Renew it, and put the new thumbprint into the HTTPS listener: it does not follow a renewal by "
        "itself.",
    ),
    Rule(
        "certificate_not_yet_valid",
        "critical",
        failed("tls", "not_yet_valid"),
        "The WinRM certificate is not valid yet.",
        "Compare the clocks of this machine and of the authority that issued it.",
    ),
    Rule(
        "certificate_untrusted",
        "critical",
        failed("tls", "untrusted"),
        "The WinRM certificate is not from an authority in {ca}: {detail}.",
        "Give the issuing authority's certificate as tls: {{ca_file: ...}}; a self-signed one must be there "
        "itself.",
    ),
    Rule(
        "certificate_other_name",
        "critical",
        failed("tls", "other_name"),
        "The WinRM certificate is not for {server}: {detail}.",
        "Issue it for the name in the configuration, or write the server's name as the certificate has it "
        "(where to connect may differ: address).",
    ),
    Rule(
        "tls_failed",
        "critical",
        failed("tls", "handshake", "silent", "ca_file"),
        "TLS on {address}:{port} failed: {detail}.",
        "Check that the port is WinRM's HTTPS listener (5986), and ca_file.",
    ),
    Rule(
        "certificate_ends_soon",
        "warning",
        certificate_ends,
        "The WinRM certificate expires in {days} days.",
        "Renew it, and put the new thumbprint into the HTTPS listener.",
    ),
    Rule(
        "logon_refused",
        "critical",
        failed("logon", "auth"),
        "No logon with credential {credential}: {detail}.",
        "Check account name and password file, and whether the account is locked or expired. No further "
        "server was tried with it, lest it be locked out.",
    ),
    Rule(
        "logon_not_tried",
        "critical",
        failed("logon", "suspended"),
        "No logon was tried: {detail}.",
        "Correct what the other servers of credential {credential} show first, then check again.",
    ),
    Rule(
        "quota",
        "critical",
        failed("logon", "quota"),
        "WinRM opens no more shells: {detail}.",
        "See who holds shells on the server: winrm enumerate shell; raise the limit named under "
        "winrm/config/winrs.",
    ),
    Rule(
        "endpoint_denied",
        "critical",
        failed("logon", "permission"),
        "The logon succeeded, but the account may not use the endpoint {endpoint}.",
        "Add it to Remote Management Users (default endpoint), or to the role's group (JEA endpoint).",
    ),
    Rule(
        "hung",
        "critical",
        failed("logon", "timeout"),
        "WinRM accepts connections, but gave no whole answer within {timeout} s.",
        "Look at the server: memory, WmiPrvSE, svchost of WinRM. Restart the service WinRM if it hangs; "
        "raise timeout: if the server is merely slow.",
    ),
    Rule(
        "winrm_unreachable",
        "critical",
        failed("logon", "unreachable", "tls"),
        "The port is open, but WinRM was not reached: {detail}.",
        "Wait if WinRM is starting; for Kerberos, check that this machine reaches a KDC of the realm.",
    ),
    Rule(
        "protocol",
        "critical",
        failed("logon", "protocol"),
        "Not understood: {detail}.",
        "Check that {address}:{port} is WinRM, that it offers the configured auth, that the SPN is known "
        "(spn_service, spn_host), and that an endpoint {endpoint} is registered.",
    ),
    Rule(
        "function_missing",
        "critical",
        failed("logon", "function_missing"),
        "The endpoint {endpoint} does not know Get-DhcpFailoverSnapshot.",
        "Install module and role capability that `dhcp-failover-exporter jea` writes, and register the "
        "endpoint again.",
    ),
    Rule(
        "scripts_refused",
        "critical",
        failed("logon", "scripts_refused"),
        "The endpoint {endpoint} takes no scripts: it is a JEA endpoint.",
        "Name an endpoint that has the function, as configuration_name:; `dhcp-failover-exporter jea` makes "
        "one.",
    ),
    Rule(
        "contract",
        "critical",
        failed("logon", "contract"),
        "The function's answer is not this exporter's contract: {detail}.",
        "Update the module on the JEA endpoint to the one that this version's `jea` command writes.",
    ),
    Rule(
        "module_missing",
        "critical",
        unread("module"),
        "Section {section} needs a cmdlet that does not exist there ({error}).",
        "Install the DHCP role's tools: Install-WindowsFeature RSAT-DHCP. On a JEA endpoint, "
        "ModulesToImport must name the module, since nothing is loaded by itself there.",
    ),
    Rule(
        "service_silent",
        "critical",
        unread("dhcp"),
        "The DHCP service does not answer on its own server ({error}).",
        "Start or restart the service DHCPServer there.",
    ),
    Rule(
        "failover_refused",
        "critical",
        unread("permission", only="relationships"),
        "{cmdlet} is refused ({error}): nothing about failover can be read.",
        _DHCP_USERS,
    ),
    Rule(
        "right_missing",
        "warning",
        unread("permission", but="relationships"),
        "{cmdlet} is refused ({error}): section {section} is incomplete.",
        "Give {account} this right: {right}. Or switch the section off: sections: {{{section}: false}}.",
    ),
    Rule(
        "counters_empty",
        "warning",
        unread("counters"),
        "The performance class answers nothing: binding updates are not counted.",
        "Add {account} to Performance Monitor Users.",
    ),
    Rule(
        "section_timeout",
        "warning",
        unread("timeout"),
        "Section {section} was not answered within {timeout} s.",
        "The exporter asks in slices and may still manage; else raise timeout: or switch the section off.",
    ),
    Rule(
        "section_unknown",
        "warning",
        unread("contract"),
        "Section {section} is not answered as this exporter reads it: {message}",
        "Update the module on the JEA endpoint to the one that this version's `jea` command writes.",
    ),
    Rule(
        "cmdlet_failed",
        "warning",
        unread("other"),
        "{cmdlet} failed ({error}): section {section} is incomplete.",
        "Run the cmdlet on the server and read its message; report it if Windows is right and we are not.",
    ),
    Rule(
        "powershell_old",
        "critical",
        old_powershell,
        "Windows PowerShell {version} is too old.",
        "Install WMF 5.1 (Windows Server 2012 R2).",
    ),
    Rule(
        "constrained_language",
        "warning",
        constrained,
        "PowerShell runs in ConstrainedLanguage (WDAC or AppLocker): TCP 647 cannot be tested from there.",
        "Allow the module by its signature or path, or use a JEA endpoint, whose functions run in full "
        "language.",
    ),
    Rule(
        "slow",
        "warning",
        slow_state,
        "A state poll takes {seconds} s, more than half of its timeout of {timeout} s.",
        "Raise timeout: and the interval of state, or look for what makes the server slow.",
    ),
    Rule(
        "audit_slow",
        "warning",
        slow_audit,
        "Reading the configuration of all scopes takes about {seconds} s; it is due every {interval} s.",
        "Lengthen intervals: {{audit: ...}}.",
    ),
    Rule(
        "transcription",
        "warning",
        logged("transcription"),
        "A policy transcribes PowerShell: our calls write about {megabytes} MB a day to the server's disk.",
        "Exempt the server from the policy, clean the folder up daily, or lengthen the intervals.",
    ),
    Rule(
        "module_logging",
        "warning",
        logged("module_logging"),
        "A policy logs modules: our calls write about {megabytes} MB a day to the event log, which then "
        "forgets sooner.",
        "Take the module DhcpServer and ours out of the policy's list, or lengthen the intervals.",
    ),
    Rule(
        "failover_port_closed",
        "critical",
        closed_ports("primary", ""),
        "This primary does not reach TCP 647 of {partner} ({target}): {error}.",
        "On {partner}: Enable-NetFirewallRule -Name Microsoft-Windows-DHCP-Failover-TCP-In, and see that "
        "the service DHCPServer runs; then the firewalls between.",
    ),
    Rule(
        "failover_port_closed_backwards",
        "notice",
        closed_ports("secondary"),
        "This secondary does not reach TCP 647 of {partner} ({target}): {error}. Failover does not need it.",
        "Nothing, unless a relationship is to be made the other way round.",
    ),
    Rule(
        "failover_port_closed_from_here",
        "notice",
        closed_from_here,
        "TCP 647 is closed from this machine: {detail}. Failover does not need it.",
        "Nothing: only the partner has to reach it.",
    ),
    Rule(
        "clocks_apart",
        "critical",
        clocks_apart,
        "The clock is {seconds} s from its partner's ({partner}): above 60 s each refuses the other's "
        "updates, while both say Normal.",
        "On both: w32tm /query /status; correct the time source of the one that is wrong.",
    ),
    Rule(
        "clock_off",
        "warning",
        clock_off,
        "The clock is {seconds} s from this machine's.",
        "Find out which is wrong: w32tm /query /status there, timedatectl here.",
    ),
    Rule(
        "firewall_blocked",
        "critical",
        blocked,
        "The firewall rule {rule} blocks TCP 647.",
        "Remove or disable it; a Block rule beats every Allow rule.",
    ),
    Rule(
        "firewall_closed",
        "warning",
        not_allowed("secondary"),
        "No active rule allows TCP 647 into this secondary ({rule} is {state}).",
        "Enable-NetFirewallRule -Name {rule}; where it is missing, the role's rules were removed by hand or "
        "by policy.",
    ),
    Rule(
        "firewall_closed_on_primary",
        "notice",
        not_allowed("primary"),
        "No active rule allows TCP 647 into this primary ({rule} is {state}). Failover does not need it.",
        "Nothing, unless a relationship is to be made the other way round.",
    ),
    Rule(
        "not_authorized",
        "critical",
        unauthorized,
        "The server is not authorised in Active Directory: it leases nothing.",
        "Add-DhcpServerInDC -DnsName {server}, as an Enterprise Admin.",
    ),
    Rule(
        "partner_not_configured",
        "warning",
        not_configured,
        "Its partner {partner} is not in the configuration: a pair cannot be judged from one side.",
        "Add it to servers:, or, if it is there under another name, to aliases:.",
    ),
    Rule(
        "no_relationship",
        "notice",
        no_relationship,
        "The server has no failover relationship.",
        "Nothing, if it is meant to stand alone.",
    ),
)
