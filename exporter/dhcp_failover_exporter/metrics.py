"""The catalogue of all families, and records to samples.

What lives here: every name, label, type and HELP that this exporter shows, once; and one function per
section that turns its records into samples. README table, rules and dashboards are compared with `CATALOGUE`.
What this file does not know: text, freshness, and when anything is asked. `server` is the first label of
every family about a server; samples leave it out, the exposition puts it in.

Not set means no sample, never 0. Every member of an enumeration is shown, 0 or 1, so that their sum is 1.
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, cast

from dhcp_failover_exporter import drift, errors
from dhcp_failover_exporter.failover import (
    EVENT_KINDS,
    STATES,
    ClockOffset,
    EventLog,
    History,
    Link,
    Topology,
    folded,
)
from dhcp_failover_exporter.snapshot import (
    REASONS,
    Counters,
    FirewallRule,
    PortProbe,
    Record,
    Scope,
    ScopeConfiguration,
    ScopeStatistics,
    Section,
    Server,
    ServerOptions,
    ServerSetting,
)

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
    ("exporter_build_info", "gauge", "version pythonversion",
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


class Sample(NamedTuple):
    """One sample of a family of `CATALOGUE`: the values of its labels after `server`, and its value."""

    family: str
    labels: tuple[str, ...]
    value: float


def _sample(name: str, value: float | None, *labels: str | None) -> Iterator[Sample]:
    """One sample, or none where the value is not set; a label that is not set is empty."""
    if value is not None:
        yield Sample(PREFIX + name, tuple(label or "" for label in labels), value)


def _one_hot(name: str, chosen: str | None, members: Iterable[str], *labels: str) -> Iterator[Sample]:
    for member in members:
        yield Sample(PREFIX + name, (*labels, member), int(member == chosen))


# --- polls ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SectionHealth:
    """One enabled section's collections so far.

    Args:
        interval_seconds: how often it is due.
        collected: whether it was collected at all; before that there is neither success nor failure.
        reason: why the last one left records out (`Section.reason`), None where it did not.
        duration_seconds: of the last one, as the server says; None before one was answered.
        succeeded: start of the last one that read everything (epoch seconds).
    """

    interval_seconds: float
    collected: bool = False
    reason: str | None = None
    duration_seconds: float | None = None
    succeeded: float | None = None


@dataclass(frozen=True)
class PollHealth:
    """What is known about a server's state polls, for the families that are never left out.

    Args:
        address: where the server is asked.
        auth: as negotiated, before the first logon as configured.
        credential: its name in the configuration.
        polls: state polls finished.
        failure: why the last one failed (`PollError.reason`), None where it was answered.
        failures: how many failed, by reason.
        answered: start of the last answered one, by the clock of `exposition.join`; None before it.
        fresh_seconds: from `answered` on the next one is overdue.
        sections: enabled sections by name.
    """

    address: str
    auth: str
    credential: str
    polls: int = 0
    failure: str | None = None
    failures: Mapping[str, int] = field(default_factory=dict)
    answered: float | None = None
    fresh_seconds: float = 0.0
    sections: Mapping[str, SectionHealth] = field(default_factory=dict)

    def overdue(self, now: float) -> bool:
        """Whether the last answer is too old to speak of the present."""
        return self.answered is not None and now - self.answered > self.fresh_seconds

    def up(self, now: float) -> bool:
        """Whether the last state poll was answered and the next is not overdue."""
        return self.failure is None and self.answered is not None and not self.overdue(now)


def health_samples(health: PollHealth, *, up: bool) -> Iterator[Sample]:
    """The families that are never left out; overdue without a failure counts as the reason timeout."""
    failure = None if up else health.failure or ("timeout" if health.answered is not None else None)
    yield from _sample("up", int(up))
    yield from _sample("target_info", 1, health.address, health.auth, health.credential)
    yield from _sample("polls_total", health.polls)
    yield from _one_hot("poll_failed", failure, errors.REASONS)
    for reason in errors.REASONS:
        yield from _sample("poll_failures_total", health.failures.get(reason, 0), reason)
    for name, section in health.sections.items():
        yield from _section_samples(name, section)


def _section_samples(name: str, section: SectionHealth) -> Iterator[Sample]:
    yield from _sample("section_interval_seconds", section.interval_seconds, name)
    yield from _sample("section_timestamp_seconds", section.succeeded, name)
    if section.collected:
        yield from _sample("section_success", int(section.reason is None), name)
        yield from _sample("section_duration_seconds", section.duration_seconds, name)
        yield from _one_hot("section_failed", section.reason, REASONS, name)


# --- sections ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """What a section's records need beside themselves to become samples.

    Args:
        topology: from the last fresh relationships answer of the same server.
        history: when states changed.
        event_log: counted events.
        clock: the server's clock against ours, None where unknown.
        dhcp_answers: whether the DHCP service answered the relationships section, None where unknown.
        scope_metrics: which scopes get series.
    """

    topology: Topology = field(default_factory=Topology)
    history: History = field(default_factory=History)
    event_log: EventLog = field(default_factory=EventLog)
    clock: ClockOffset | None = None
    dhcp_answers: bool | None = None
    scope_metrics: Literal["all", "failover", "none"] = "all"

    def shows(self, scope: str) -> bool:
        """Whether this scope gets series: wanted by the configuration, and its relationship known."""
        if scope in self.topology.membership:
            return self.scope_metrics != "none"
        return self.scope_metrics == "all" and self.topology.complete


def dhcp_answers(relationships: Section) -> bool | None:
    """Whether the DHCP service answered: WIN32 1722 and 1753 say no, a refusal says nothing."""
    if relationships.failure is None:
        return True
    return False if relationships.failure.reason == "dhcp" else None


# Sections whose labels come from the relationships: their blocks are shown with a fresh relationships answer
# only, and rendered again when `Topology.same_members` says no.
NEED_RELATIONSHIPS: Final = frozenset({"ports", "scopes", "statistics", "events", "configuration"})


def samples(section: Section, view: View) -> Iterator[Sample]:
    """The samples of one section's records; none where the section failed."""
    if section.failure is None:
        yield from _BY_SECTION[section.name](section.records, view)


def _server(records: Sequence[Server], view: View) -> Iterator[Sample]:
    (server,) = records
    yield from _sample("server_info", 1, server.computer_name, server.os_version, server.ps_version)
    yield from _sample("service_running", _running(server.service_status, view.dhcp_answers))
    if view.clock:
        yield from _sample("clock_offset_seconds", view.clock.seconds)
        yield from _sample("clock_offset_uncertainty_seconds", view.clock.uncertainty_seconds)


def _running(status: str | None, answers: bool | None) -> bool | None:
    return answers if status is None else folded(status) == "running"


def _relationships(_: Sequence[Record], view: View) -> Iterator[Sample]:
    yield from _sample("relationships", len(view.topology.links))
    for link in view.topology.links:
        yield from _state(link, view.history)
        yield from _parameters(link)


def _state(link: Link, history: History) -> Iterator[Sample]:
    names = (link.partner, link.name)
    yield from _one_hot("state", link.state, dict.fromkeys((*STATES, link.state)), *names)
    if change := history.change_of(link.name):
        yield from _sample("state_last_change_timestamp_seconds", change.at, *names, change.source)


def _parameters(link: Link) -> Iterator[Sample]:
    it, names = link.relationship, (link.partner, link.name)
    yield from _sample("relationship_info", 1, *names, link.pair, it.mode, it.server_role, link.server_type)
    yield from _sample("max_client_lead_time_seconds", it.max_client_lead_time, *names)
    yield from _sample("state_switch_interval_seconds", it.state_switch_interval, *names)
    yield from _sample("auto_state_transition_enabled", it.auto_state_transition, *names)
    yield from _sample("load_balance_ratio", _ratio(it.load_balance_percent), *names)
    yield from _sample("reserve_ratio", _ratio(it.reserve_percent), *names)
    yield from _sample("message_authentication_enabled", it.enable_auth, *names)
    yield from _sample("relationship_scopes", len(it.scope_id), *names)
    yield from _sample("partner_configured", link.partner_configured, *names)


def _ratio(percent: float | None) -> float | None:
    return None if percent is None or percent < 0 else percent / 100


def _ports(records: Sequence[PortProbe], view: View) -> Iterator[Sample]:
    for probe in records:
        partner, server_type = view.topology.partner_spelled(probe.partner_server)
        yield from _sample("partner_reachable", probe.reachable, partner, server_type)
        if probe.reachable:
            yield from _sample("partner_connect_seconds", probe.seconds, partner, server_type)


# Spellings of Windows PowerShell and of the native API (windows_exporter, internal/collector/dhcp/types.go).
_SCOPE_STATES: Final = {
    "active": 1, "enabled": 1, "enabledswitched": 1, "inactive": 0, "disabled": 0, "disabledswitched": 0,
}  # fmt: skip


def _scopes(records: Sequence[Scope], view: View) -> Iterator[Sample]:
    for scope in records:
        if not view.shows(scope.scope_id):
            continue
        relationship = view.topology.membership.get(scope.scope_id)
        names = (scope.scope_id, relationship)
        yield from _sample("scope_info", 1, *names, scope.name, _cidr(scope), scope.superscope_name)
        yield from _sample("scope_active", _SCOPE_STATES.get(folded(scope.state or "")), *names)
        yield from _sample("scope_protected", relationship is not None, *names)
        yield from _sample("scope_lease_duration_seconds", scope.lease_duration, *names)


def _cidr(scope: Scope) -> str:
    try:
        return str(ipaddress.IPv4Network(f"{scope.scope_id}/{scope.subnet_mask}"))
    except ValueError:
        return ""


_STATISTICS: Final = (
    ("scope_addresses_free", "addresses_free"),
    ("scope_addresses_in_use", "addresses_in_use"),
    ("scope_addresses_pending_offers", "pending_offers"),
    ("scope_addresses_reserved", "reserved_address"),
    ("scope_addresses_free_on_this_server", "addresses_free_on_this_server"),
    ("scope_addresses_free_on_partner_server", "addresses_free_on_partner_server"),
    ("scope_addresses_in_use_on_this_server", "addresses_in_use_on_this_server"),
    ("scope_addresses_in_use_on_partner_server", "addresses_in_use_on_partner_server"),
)


def _statistics(records: Sequence[ScopeStatistics], view: View) -> Iterator[Sample]:
    membership = view.topology.membership
    shown = [
        (it, (it.scope_id, membership.get(it.scope_id, ""))) for it in records if view.shows(it.scope_id)
    ]
    for name, attribute in _STATISTICS:
        family = PREFIX + name
        for it, names in shown:
            value = getattr(it, attribute)
            if value is not None:
                yield Sample(family, names, value)
    for it, names in shown:
        yield from _sample("scope_usage_ratio", _ratio(it.percentage_in_use), *names)


_MESSAGES: Final = {
    "discover": "discovers", "offer": "offers", "request": "requests", "ack": "acks", "nak": "naks",
    "decline": "declines", "release": "releases",
}  # fmt: skip


def _counters(records: Sequence[Counters], _: View) -> Iterator[Sample]:
    (it,) = records
    yield from _sample("service_start_time_seconds", it.server_start_time)
    for message, attribute in _MESSAGES.items():
        yield from _sample("messages_total", getattr(it, attribute), message)
    yield from _sample("binding_updates_total", it.bnd_upd_sent, "sent")
    yield from _sample("binding_updates_total", it.bnd_upd_received, "received")
    yield from _sample("binding_acks_total", it.bnd_ack_sent, "sent")
    yield from _sample("binding_acks_total", it.bnd_ack_received, "received")
    yield from _sample("binding_updates_dropped_total", it.bnd_upd_dropped)
    yield from _sample("binding_updates_pending", it.bnd_upd_pending)
    yield from _sample(
        "transitions_total", it.transitions_communication_interrupted, "CommunicationInterrupted"
    )
    yield from _sample("transitions_total", it.transitions_partner_down, "PartnerDown")
    yield from _sample("transitions_total", it.transitions_recover, "Recover")


def _events(_: Sequence[Record], view: View) -> Iterator[Sample]:
    """0 for every kind and relationship from the first read on, so that the first event is an increase."""
    expected = {(link.name, kind): 0 for link in view.topology.links for kind in EVENT_KINDS}
    for (relationship, kind), count in {**expected, **view.event_log.counts}.items():
        yield from _sample("events_total", count, relationship, kind)


def _settings(records: Sequence[ServerSetting], _: View) -> Iterator[Sample]:
    (it,) = records
    # Failover works in a workgroup as well; only in a domain does Windows ask for authorisation.
    if it.is_domain_joined:
        yield from _sample("server_authorized", it.is_authorized)


def _firewall(records: Sequence[FirewallRule], _: View) -> Iterator[Sample]:
    for rule in records:
        enabled = rule.enabled if rule.present else False
        yield from _sample("firewall_rule_enabled", enabled, rule.name, rule.direction, rule.action)


def _configuration(records: Sequence[ScopeConfiguration | ServerOptions], view: View) -> Iterator[Sample]:
    for record in records:
        if isinstance(record, ServerOptions):
            options = drift.normal_form("options", record.server_options)
            yield from _sample("server_options_fingerprint", drift.fingerprint(options), drift.SCHEME)
        elif record.scope_id in view.topology.membership and view.shows(record.scope_id):
            yield from _fingerprints(record, view.topology.membership[record.scope_id])


def _fingerprints(record: ScopeConfiguration, relationship: str) -> Iterator[Sample]:
    for part, normal in drift.parts(record).items():
        value = drift.fingerprint(normal)
        yield from _sample(
            "scope_config_fingerprint", value, record.scope_id, relationship, part, drift.SCHEME
        )


_BY_SECTION: Final[Mapping[str, Callable[..., Iterator[Sample]]]] = {
    "server": _server,
    "relationships": _relationships,
    "ports": _ports,
    "scopes": _scopes,
    "statistics": _statistics,
    "counters": _counters,
    "events": _events,
    "settings": _settings,
    "firewall": _firewall,
    "configuration": _configuration,
}
