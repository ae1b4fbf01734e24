"""Every family that the exporter shows: name, type, labels, HELP, once.

README table, rules and dashboards are compared with `CATALOGUE`. What this file does not know: any value.
`server` is the first label of every family about a server.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, cast

PREFIX: Final = "dhcp_failover_"

Group = Literal["state", "pools", "checks", "audit"]
Kind = Literal["gauge", "counter", "histogram"]

# Sections asked for together, at one pace; also what `?collect[]=` selects.
GROUPS: Final[Mapping[Group, tuple[str, ...]]] = {
    "state": ("server", "relationships"),
    "pools": ("ports", "scopes", "statistics", "counters", "events"),
    "checks": ("settings", "firewall"),
    "audit": ("configuration",),
}


@dataclass(frozen=True)
class Family:
    """One metric family; `labels` in the order in which samples give them, after `server`.

    `section` is the section that feeds it, empty for what is known about the polls themselves. `group` says
    with which `collect[]` it goes; None for what the exporter says about itself.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    section: str
    group: Group | None


_SCOPE: Final = "scope relationship"
_LINK: Final = "partner relationship"
_USAGE: Final = "Get-DhcpServerv4ScopeStatistics"

# Section -> (name without prefix, labels after `server`, HELP). A name that ends in `_total` is a counter's.
# HELP leads to the original: cmdlet and property, performance counter, or event channel.
# fmt: off
_ABOUT_SERVERS: Final[Mapping[str, tuple[tuple[str, str, str], ...]]] = {
    "": (  # what the exporter knows about its polls: never left out while the server is configured
        ("up", "",
         "1 while the server answered the last state poll over WinRM and none is overdue."),
        ("target_info", "address auth credential",
         "Address and credential from the configuration, authentication as negotiated."),
        ("polls_total", "",
         "State polls of this server."),
        ("poll_failed", "reason",
         "1 for the reason why the last state poll failed, all 0 while up."),
        ("poll_failures_total", "reason",
         "Failed state polls of this server by reason."),
        ("section_success", "section",
         "1 if the last collection of this section read all its records."),
        ("section_failed", "section reason",
         "1 for the reason why the last collection of this section left records out."),
        ("section_duration_seconds", "section",
         "Time that the last collection of this section took on the server, as it says itself (elapsed)."),
        ("section_timestamp_seconds", "section",
         "Start of the last successful collection of this section, by the exporter's clock."),
        ("section_interval_seconds", "section",
         "Time between two collections of this section, from the configuration."),
    ),
    "server": (
        ("server_info", "computer os_version ps_version",
         "Computer name and versions of Windows and PowerShell (COMPUTERNAME, registry, PSVersionTable)."),
        ("service_running", "",
         "1 if the DHCP service runs (Get-Service DHCPServer: Status; where refused, whether it answers)."),
        ("clock_offset_seconds", "",
         "Server's clock minus exporter's (DateTime.UtcNow on the server, within the times of the call)."),
        ("clock_offset_uncertainty_seconds", "",
         "Largest error of the clock offset: half of the time that the call was on its way."),
    ),
    "relationships": (
        ("relationships", "",
         "Number of failover relationships of this server (Get-DhcpServerv4Failover)."),
        ("relationship_info", f"{_LINK} pair mode role server_type",
         "Both servers, mode and role (Get-DhcpServerv4Failover: Mode, ServerRole, ServerType)."),
        ("state", f"{_LINK} state",
         "1 for the state of the relationship as this server sees it (Get-DhcpServerv4Failover: State)."),
        ("state_last_change_timestamp_seconds", f"{_LINK} source",
         "Time of the last change of state, from events 20251, 20252, 20259, 20260 or as observed by polls."),
        ("max_client_lead_time_seconds", _LINK,
         "Maximum client lead time, MCLT (Get-DhcpServerv4Failover: MaxClientLeadTime)."),
        ("state_switch_interval_seconds", _LINK,
         "Time until the automatic step to PartnerDown (Get-DhcpServerv4Failover: StateSwitchInterval)."),
        ("auto_state_transition_enabled", _LINK,
         "1 if CommunicationInterrupted ends by itself (Get-DhcpServerv4Failover: AutoStateTransition)."),
        ("load_balance_ratio", _LINK,
         "Share of the clients in load balance mode (Get-DhcpServerv4Failover: LoadBalancePercent)."),
        ("reserve_ratio", _LINK,
         "Share of the free addresses kept for the standby (Get-DhcpServerv4Failover: ReservePercent)."),
        ("message_authentication_enabled", _LINK,
         "1 if a shared secret is configured (Get-DhcpServerv4Failover: EnableAuth)."),
        ("relationship_scopes", _LINK,
         "Number of scopes in the relationship (Get-DhcpServerv4Failover: ScopeId)."),
        ("partner_configured", _LINK,
         "1 if the partner is among the configured servers (Get-DhcpServerv4Failover: PartnerServer)."),
    ),
    "ports": (
        ("partner_reachable", "partner server_type",
         "1 if the server can connect to TCP 647 of its partner; only the primary's connection matters."),
        ("partner_connect_seconds", "partner server_type",
         "Time that the connect to TCP 647 of the partner took."),
    ),
    "scopes": (
        ("scope_info", f"{_SCOPE} name cidr superscope",
         "Name, network and superscope (Get-DhcpServerv4Scope: Name, SubnetMask, SuperscopeName)."),
        ("scope_active", _SCOPE,
         "1 if the scope is active (Get-DhcpServerv4Scope: State)."),
        ("scope_protected", _SCOPE,
         "1 if the scope is in a failover relationship (Get-DhcpServerv4Failover: ScopeId)."),
        ("scope_lease_duration_seconds", _SCOPE,
         "Lease duration, absent where unlimited (Get-DhcpServerv4Scope: LeaseDuration)."),
    ),
    "statistics": (
        ("scope_addresses_free", _SCOPE,
         f"Free addresses of the whole scope, over partners take the max ({_USAGE}: AddressesFree)."),
        ("scope_addresses_in_use", _SCOPE,
         f"Leased addresses of the whole scope, over partners take the max ({_USAGE}: AddressesInUse)."),
        ("scope_addresses_pending_offers", _SCOPE,
         f"Addresses offered and not yet requested ({_USAGE}: PendingOffers)."),
        ("scope_addresses_reserved", _SCOPE,
         f"Addresses held by reservations ({_USAGE}: ReservedAddress)."),
        ("scope_usage_ratio", _SCOPE,
         f"Share of the scope in use as Windows computes it ({_USAGE}: PercentageInUse)."),
        ("scope_addresses_free_on_this_server", _SCOPE,
         f"Free addresses of this server's pool ({_USAGE}: AddressesFreeOnThisServer)."),
        ("scope_addresses_free_on_partner_server", _SCOPE,
         f"Free addresses of the partner's pool ({_USAGE}: AddressesFreeOnPartnerServer)."),
        ("scope_addresses_in_use_on_this_server", _SCOPE,
         f"Addresses leased or renewed by this server ({_USAGE}: AddressesInUseOnThisServer)."),
        ("scope_addresses_in_use_on_partner_server", _SCOPE,
         f"Addresses leased or renewed by the partner ({_USAGE}: AddressesInUseOnPartnerServer)."),
    ),
    "counters": (
        ("service_start_time_seconds", "",
         "Start of the DHCP service (Get-DhcpServerv4Statistics: ServerStartTime)."),
        ("messages_total", "message",
         "DHCP messages since the service started (Get-DhcpServerv4Statistics: Discovers to Releases)."),
        ("binding_updates_total", "direction",
         "Binding updates (DHCP Server: Failover: BndUpd sent/sec., received/sec.)."),
        ("binding_acks_total", "direction",
         "Binding acknowledgements (DHCP Server: Failover: BndAck sent/sec., received/sec.)."),
        ("binding_updates_dropped_total", "",
         "Binding updates lost because the queue was full (DHCP Server: Failover: BndUpd Dropped.)."),
        ("binding_updates_pending", "",
         "Binding updates that wait (DHCP Server: Failover: BndUpd pending in outbound queue.)."),
        ("transitions_total", "state",
         "Transitions to a state since the service started (DHCP Server: Failover: Transitions to ...)."),
    ),
    "events": (
        ("events_total", "relationship event",
         "Events since the exporter first read the channel Microsoft-Windows-DHCP Server Events/Admin."),
    ),
    "settings": (
        ("server_authorized", "",
         "1 if authorised, absent where not domain-joined (Get-DhcpServerSetting: IsAuthorized)."),
    ),
    "firewall": (
        ("firewall_rule_enabled", "rule direction action",
         "1 if the rule on local TCP 647 is enabled in the active store (Get-NetFirewallRule: Enabled)."),
    ),
    "configuration": (
        ("scope_config_fingerprint", f"{_SCOPE} part scheme",
         "Fingerprint of one part of the scope's configuration; equal on both partners means replicated."),
        ("server_options_fingerprint", "scheme",
         "Fingerprint of the server-level options, which nothing replicates (Get-DhcpServerv4OptionValue)."),
    ),
}

# Kept by prometheus_client and listed here for those who compare: (name without prefix, type, labels, HELP).
_ABOUT_THE_EXPORTER: Final[tuple[tuple[str, Kind, str, str], ...]] = (
    ("exporter_build_info", "gauge", "version python_version",
     "Version of the exporter and of Python."),
    ("exporter_config_last_reload_successful", "gauge", "",
     "1 if the configuration file could be used when it was last read."),
    ("exporter_config_last_reload_success_timestamp_seconds", "gauge", "",
     "Time when the configuration in force was read."),
    ("exporter_sessions_open", "gauge", "",
     "Open sessions to DHCP servers."),
    ("exporter_sessions_opened_total", "counter", "reason",
     "Sessions opened to DHCP servers by reason."),
    ("exporter_poll_lateness_seconds", "histogram", "",
     "Time from when a state poll was due to when it began."),
    ("exporter_time_seconds", "gauge", "",
     "The exporter's clock."),
)
# fmt: on


def _about_servers() -> Iterator[Family]:
    for section, rows in _ABOUT_SERVERS.items():
        group = next((group for group, sections in GROUPS.items() if section in sections), "state")
        for name, labels, text in rows:
            kind: Kind = "counter" if name.endswith("_total") else "gauge"
            yield Family(
                PREFIX + name, kind, text, ("server", *labels.split()), section, cast("Group", group)
            )


def _about_the_exporter() -> Iterator[Family]:
    for name, kind, labels, text in _ABOUT_THE_EXPORTER:
        yield Family(PREFIX + name, kind, text, tuple(labels.split()), "", None)


CATALOGUE: Final[Mapping[str, Family]] = MappingProxyType(
    {family.name: family for family in (*_about_servers(), *_about_the_exporter())}
)
