"""One function per section: its records to samples.

What this file does not know: text, freshness, and when anything is asked. Samples leave the label `server`
out, the exposition puts it in. Every member of an enumeration is shown, 0 or 1, so that their sum is 1.
"""

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from dhcp_failover_exporter import drift
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
from dhcp_failover_exporter.metrics.catalogue import PREFIX
from dhcp_failover_exporter.metrics.sample import Sample, one_hot, when_set
from dhcp_failover_exporter.snapshot import (
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
    yield from when_set("server_info", 1, server.computer_name, server.os_version, server.ps_version)
    yield from when_set("service_running", _running(server.service_status, view.dhcp_answers))
    if view.clock:
        yield from when_set("clock_offset_seconds", view.clock.seconds)
        yield from when_set("clock_offset_uncertainty_seconds", view.clock.uncertainty_seconds)


def _running(status: str | None, answers: bool | None) -> bool | None:
    return answers if status is None else folded(status) == "running"


def _relationships(_: Sequence[Record], view: View) -> Iterator[Sample]:
    yield from when_set("relationships", len(view.topology.links))
    for link in view.topology.links:
        yield from _state(link, view.history)
        yield from _parameters(link)


def _state(link: Link, history: History) -> Iterator[Sample]:
    names = (link.partner, link.name)
    yield from one_hot("state", link.state, dict.fromkeys((*STATES, link.state)), *names)
    if change := history.change_of(link.name):
        yield from when_set("state_last_change_timestamp_seconds", change.at, *names, change.source)


def _parameters(link: Link) -> Iterator[Sample]:
    it, names = link.relationship, (link.partner, link.name)
    yield from when_set("relationship_info", 1, *names, link.pair, it.mode, it.server_role, link.server_type)
    yield from when_set("max_client_lead_time_seconds", it.max_client_lead_time, *names)
    yield from when_set("state_switch_interval_seconds", it.state_switch_interval, *names)
    yield from when_set("auto_state_transition_enabled", it.auto_state_transition, *names)
    yield from when_set("load_balance_ratio", _ratio(it.load_balance_percent), *names)
    yield from when_set("reserve_ratio", _ratio(it.reserve_percent), *names)
    yield from when_set("message_authentication_enabled", it.enable_auth, *names)
    yield from when_set("relationship_scopes", len(it.scope_id), *names)
    yield from when_set("partner_configured", link.partner_configured, *names)


def _ratio(percent: float | None) -> float | None:
    return None if percent is None or percent < 0 else percent / 100


def _ports(records: Sequence[PortProbe], view: View) -> Iterator[Sample]:
    for probe in records:
        partner, server_type = view.topology.partner_spelled(probe.partner_server)
        yield from when_set("partner_reachable", probe.reachable, partner, server_type)
        if probe.reachable:
            yield from when_set("partner_connect_seconds", probe.seconds, partner, server_type)


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
        yield from when_set("scope_info", 1, *names, scope.name, _cidr(scope), scope.superscope_name)
        yield from when_set("scope_active", _SCOPE_STATES.get(folded(scope.state or "")), *names)
        yield from when_set("scope_protected", relationship is not None, *names)
        yield from when_set("scope_lease_duration_seconds", scope.lease_duration, *names)


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
        yield from when_set("scope_usage_ratio", _ratio(it.percentage_in_use), *names)


_MESSAGES: Final = {
    "discover": "discovers", "offer": "offers", "request": "requests", "ack": "acks", "nak": "naks",
    "decline": "declines", "release": "releases",
}  # fmt: skip


def _counters(records: Sequence[Counters], _: View) -> Iterator[Sample]:
    (it,) = records
    yield from when_set("service_start_time_seconds", it.server_start_time)
    for message, attribute in _MESSAGES.items():
        yield from when_set("messages_total", getattr(it, attribute), message)
    yield from when_set("binding_updates_total", it.bnd_upd_sent, "sent")
    yield from when_set("binding_updates_total", it.bnd_upd_received, "received")
    yield from when_set("binding_acks_total", it.bnd_ack_sent, "sent")
    yield from when_set("binding_acks_total", it.bnd_ack_received, "received")
    yield from when_set("binding_updates_dropped_total", it.bnd_upd_dropped)
    yield from when_set("binding_updates_pending", it.bnd_upd_pending)
    yield from when_set(
        "transitions_total", it.transitions_communication_interrupted, "CommunicationInterrupted"
    )
    yield from when_set("transitions_total", it.transitions_partner_down, "PartnerDown")
    yield from when_set("transitions_total", it.transitions_recover, "Recover")


def _events(_: Sequence[Record], view: View) -> Iterator[Sample]:
    """0 for every kind and relationship from the first read on, so that the first event is an increase."""
    expected = {(link.name, kind): 0 for link in view.topology.links for kind in EVENT_KINDS}
    for (relationship, kind), count in {**expected, **view.event_log.counts}.items():
        yield from when_set("events_total", count, relationship, kind)


def _settings(records: Sequence[ServerSetting], _: View) -> Iterator[Sample]:
    (it,) = records
    # Failover works in a workgroup as well; only in a domain does Windows ask for authorisation.
    if it.is_domain_joined:
        yield from when_set("server_authorized", it.is_authorized)


def _firewall(records: Sequence[FirewallRule], _: View) -> Iterator[Sample]:
    for rule in records:
        enabled = rule.enabled if rule.present else False
        yield from when_set("firewall_rule_enabled", enabled, rule.name, rule.direction, rule.action)


def _configuration(records: Sequence[ScopeConfiguration | ServerOptions], view: View) -> Iterator[Sample]:
    for record in records:
        if isinstance(record, ServerOptions):
            options = drift.normal_form("options", record.server_options)
            yield from when_set("server_options_fingerprint", drift.fingerprint(options), drift.SCHEME)
        elif record.scope_id in view.topology.membership and view.shows(record.scope_id):
            yield from _fingerprints(record, view.topology.membership[record.scope_id])


def _fingerprints(record: ScopeConfiguration, relationship: str) -> Iterator[Sample]:
    for part, normal in drift.parts(record).items():
        value = drift.fingerprint(normal)
        yield from when_set(
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
