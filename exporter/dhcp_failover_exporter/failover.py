"""Failover as a model: states, names, pairs, and what one server's answers say over time.

What lives here: how Windows spells things and how that is folded, which server a partner is, when a state
changed, how often an event came. What this file does not know: metrics, sessions, and the time of day; every
moment is handed in.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Final, Protocol

from dhcp_failover_exporter.snapshot import Event, Events, FirewallRule, Relationship

# As `State` of Get-DhcpServerv4Failover spells them, in FSM_STATE's order:
# https://learn.microsoft.com/en-us/windows/win32/api/dhcpsapi/ne-dhcpsapi-fsm_state
STATES: Final[tuple[str, ...]] = (
    "NoState",
    "Init",
    "Startup",
    "Normal",
    "CommunicationInterrupted",
    "PartnerDown",
    "PotentialConflict",
    "ConflictDone",
    "ResolutionInterrupted",
    "Recover",
    "RecoverWait",
    "RecoverDone",
)

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_SEPARATORS: Final = str.maketrans("", "", " -_")


def folded(word: str) -> str:
    """Console, event log and documentation spell one name in many ways; this is what they share."""
    return word.translate(_SEPARATORS).casefold()


_STATE_BY_FOLDED: Final = {folded(state): state for state in STATES}


def state_named(spelling: str) -> str:
    """The state as `State` spells it; an unknown one stays as it came."""
    return _STATE_BY_FOLDED.get(folded(spelling), spelling)


# --- names ------------------------------------------------------------------------------------------------


class ConfiguredServer(Protocol):
    """What naming needs of a server's settings."""

    @property
    def name(self) -> str:
        """As in the configuration."""

    @property
    def address(self) -> str:
        """Where to connect."""


class Naming:
    """Which server a spelling means, by the configuration."""

    def __init__(
        self, servers: Iterable[ConfiguredServer] = (), aliases: Mapping[str, str] = _NOTHING
    ) -> None:
        servers = tuple(servers)
        self._aliases = {_host(alias): _host(name) for alias, name in aliases.items()}
        self._configured = {_host(server.address): server.name for server in servers}
        self._configured |= {_host(server.name): server.name for server in servers}
        self._labels = Counter(_label(name) for name in {_host(server.name) for server in servers})

    def canonical(self, spelling: str) -> str:
        """Lower case, through the aliases: what exporters with different servers agree on."""
        host = _host(spelling)
        return self._aliases.get(host, host)

    def server(self, spelling: str) -> str | None:
        """The configured server's name, by name, address, alias, or first label where only one fits."""
        host = self.canonical(spelling)
        return self._configured.get(host) or self._configured.get(_host(spelling)) or self._by_label(host)

    def partner_of(self, relationship: Relationship) -> str:
        """The configured server that any spelling of the partner matches, else Windows' own in lower case."""
        for spelling in _partner_spellings(relationship):
            if configured := self.server(spelling):
                return configured
        return _host(relationship.partner_server)

    def pair_of(self, relationship: Relationship, server: str) -> str:
        """Both servers' names, sorted and joined by `|`.

        Both partners give the same: Windows stores both names with the relationship, and nothing here depends
        on which servers this exporter knows. Only where Windows gives neither names nor addresses does it.
        """
        names = (relationship.primary_server_name, relationship.secondary_server_name)
        addresses = (relationship.primary_server_ip, relationship.secondary_server_ip)
        chosen = next(
            (both for both in (names, addresses) if all(both)), (server, self.partner_of(relationship))
        )
        return "|".join(sorted(self.canonical(spelling or "") for spelling in chosen))

    def _by_label(self, host: str) -> str | None:
        """A NetBIOS name means the one server with that first label, and the other way round."""
        label = _label(host)
        if label is None or self._labels[label] != 1:
            return None
        name = next(name for name in self._configured.values() if _label(_host(name)) == label)
        return name if host == label or _host(name) == label else None


def _host(spelling: str) -> str:
    return spelling.strip().rstrip(".").casefold()


def _label(host: str) -> str | None:
    """The first label of a name; an address has none."""
    label = host.partition(".")[0]
    return None if ":" in host or label.isdigit() else label


def _partner_spellings(relationship: Relationship) -> Iterable[str]:
    yield relationship.partner_server
    other = {
        "primaryserver": (relationship.secondary_server_name, relationship.secondary_server_ip),
        "secondaryserver": (relationship.primary_server_name, relationship.primary_server_ip),
    }.get(folded(relationship.server_type or ""), ())
    yield from (spelling for spelling in other if spelling)


# --- one server's relationships ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Link:
    """A relationship of one server, and whom its names mean."""

    relationship: Relationship
    partner: str
    partner_configured: bool
    pair: str

    @property
    def name(self) -> str:
        """The relationship's name."""
        return self.relationship.name

    @property
    def state(self) -> str:
        """This server's state, one of `STATES` or a word that we do not know."""
        return state_named(self.relationship.state)

    @property
    def server_type(self) -> str:
        """Primary, secondary, or empty where Windows does not say; the primary dials."""
        return folded(self.relationship.server_type or "").removesuffix("server")


@dataclass(frozen=True)
class Topology:
    """What one server's answer says about who belongs to whom.

    Not `complete`: a relationship could not be read, so a scope that is in none may yet be in that one.
    """

    links: tuple[Link, ...] = ()
    complete: bool = True

    @cached_property
    def membership(self) -> Mapping[str, str]:
        """Scope -> name of its relationship; a scope is in one at most."""
        return {scope: link.name for link in self.links for scope in link.relationship.scope_id}

    @cached_property
    def partners(self) -> Mapping[str, tuple[str, str]]:
        """Partner's spelling, case folded -> (partner, server_type of the asker).

        The asker counts as primary where it is primary of any relationship with that partner: then it dials.
        """
        types = {link.partner: link.server_type for link in self.links}
        types |= {link.partner: link.server_type for link in self.links if link.server_type == "primary"}
        return {
            _host(link.relationship.partner_server): (link.partner, types[link.partner])
            for link in self.links
        }

    def partner_spelled(self, spelling: str) -> tuple[str, str]:
        """(partner, server_type) of a partner as Windows spells it, as in `partners`."""
        return self.partners.get(_host(spelling), (_host(spelling), ""))

    def same_members(self, other: "Topology") -> bool:
        """Whether blocks that carry `relationship` or `partner` may stay as they are."""
        return (self.membership, self.partners, self.complete) == (
            other.membership,
            other.partners,
            other.complete,
        )


def topology(
    relationships: Iterable[Relationship], naming: Naming, server: str, *, complete: bool = True
) -> Topology:
    """Bring one server's relationships and the configuration's names together."""
    return Topology(tuple(_link(it, naming, server) for it in relationships), complete)


def _link(relationship: Relationship, naming: Naming, server: str) -> Link:
    return Link(
        relationship=relationship,
        partner=naming.partner_of(relationship),
        partner_configured=any(map(naming.server, _partner_spellings(relationship))),
        pair=naming.pair_of(relationship, server),
    )


# --- the failover port ------------------------------------------------------------------------------------

# The rules that the DHCP Server role brings.
FIREWALL_RULE_IN: Final = "Microsoft-Windows-DHCP-Failover-TCP-In"
_FIREWALL_RULE_OUT: Final = "Microsoft-Windows-DHCP-Failover-TCP-Out"


@dataclass(frozen=True)
class Firewall:
    """Which rules keep TCP 647 shut inbound: `blocking` are on, `off` is every rule that could let it in.

    Both are empty where one rule lets it in and none blocks it, and where no rule is known.
    """

    blocking: tuple[FirewallRule, ...] = ()
    off: tuple[FirewallRule, ...] = ()

    @property
    def closed(self) -> bool:
        """Whether nobody can connect to TCP 647."""
        return bool(self.blocking or self.off)


def firewall(rules: Iterable[FirewallRule]) -> Firewall:
    """Judge one server's rules as the alert rules do: a Block rule wins, and one Allow rule is enough.

    A rule that does not exist has neither direction nor action and counts as an Allow rule that is off.
    """
    inbound = [rule for rule in rules if _inbound(rule)]
    allowing = tuple(rule for rule in inbound if folded(rule.action or "") != "block")
    blocking = tuple(rule for rule in inbound if rule not in allowing and _on(rule))
    return Firewall(blocking, off=() if any(map(_on, allowing)) else allowing)


def _inbound(rule: FirewallRule) -> bool:
    return folded(rule.direction or "") != "outbound" and rule.name != _FIREWALL_RULE_OUT


def _on(rule: FirewallRule) -> bool:
    return rule.present and bool(rule.enabled)


# --- when states changed ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """When a relationship came into its present state (epoch seconds), by whose word: event or observed."""

    at: float
    source: str


@dataclass(frozen=True)
class StateChange:
    """A relationship that a server sees in another state than the last time."""

    relationship: str
    partner: str
    before: str
    after: str


@dataclass(frozen=True)
class _Seen:
    state: str
    at: float
    not_before: float
    change: Change | None = None


# How far apart the clocks of exporter and server may be for an event to explain an observed change.
_CLOCK_TOLERANCE_SECONDS: Final = 300.0


@dataclass(frozen=True)
class History:
    """Since when each relationship is in its state. Windows keeps no such time (no property holds it)."""

    seen: Mapping[str, _Seen] = field(default_factory=dict)

    def observed(self, topology: Topology, at: float) -> "History":
        """After an answer of the server that was asked for at this moment (epoch seconds).

        What is not there is forgotten, but after an answer with gaps: then it may be what could not be read.
        """
        unread = {} if topology.complete else self.seen
        return History({**unread, **{link.name: self._next(link, at) for link in topology.links}})

    def _next(self, link: Link, at: float) -> _Seen:
        last = self.seen.get(link.name)
        if last is None:
            return _Seen(link.state, at, not_before=float("-inf"))
        if last.state == link.state:
            return replace(last, at=at)
        return _Seen(link.state, at, last.at - _CLOCK_TOLERANCE_SECONDS, Change(at, "observed"))

    def dated(self, events: Events, naming: Naming, server: str, computer: str | None = None) -> "History":
        """After events: the newest change of this server's own state dates it, if it led where we are."""
        seen = dict(self.seen)
        for name, last in self.seen.items():
            newest = _newest_change(name, events.events, naming, {server, *([computer] if computer else [])})
            if newest and newest[1] == last.state and newest[0] >= last.not_before:
                seen[name] = replace(last, change=Change(newest[0], "event"))
        return History(seen)

    def changes(self, topology: Topology) -> Sequence[StateChange]:
        """The relationships whose state is not the one last seen."""
        return [
            StateChange(link.name, link.partner, last.state, link.state)
            for link in topology.links
            if (last := self.seen.get(link.name)) and last.state != link.state
        ]

    def change_of(self, relationship: str) -> Change | None:
        """When this relationship came into its state; None while nobody knows."""
        last = self.seen.get(relationship)
        return last.change if last else None


# Inserts of the state changes: server, relationship, (old state,) new state. A server logs its own changes
# and its partner's. MicrosoftDocs/windowsserverdocs, dhcp-server-events.md.
_NEW_STATE_INSERT: Final = {20251: 3, 20252: 3, 20259: 2, 20260: 2}


def _newest_change(
    relationship: str, events: Iterable[Event], naming: Naming, own_names: set[str]
) -> tuple[float, str] | None:
    hosts = {_host(name) for name in own_names} | {_label(_host(name)) for name in own_names}
    newest = None
    for event in events:
        insert = _NEW_STATE_INSERT.get(event.id)
        if insert is None or event.time_created is None or len(event.properties) <= insert:
            continue
        who, which = event.properties[:2]
        own = _host(who) in hosts or naming.server(who) in own_names
        if own and which == relationship and (newest is None or event.time_created >= newest[0]):
            newest = (event.time_created, state_named(event.properties[insert]))
    return newest


# --- events, counted --------------------------------------------------------------------------------------


# Event id -> kind, and which insert names the relationship (None: none does). Sources as above.
_AUTHENTICATION_FAILED: Final = (*range(20256, 20259), *range(20261, 20285))
_EVENT_KINDS: Final[Mapping[int, tuple[str, int | None]]] = {
    20253: ("time_out_of_sync", 1),
    20254: ("link_up", 1),
    20255: ("link_down", 1),
    **dict.fromkeys(_AUTHENTICATION_FAILED, ("authentication_failed", 1)),
    20286: ("update_dropped", 2),
    20287: ("pool_exhausted", None),
    20291: ("ack_rejected", 4),
    20292: ("ack_reject_received", 4),
}
EVENT_KINDS: Final[tuple[str, ...]] = tuple(dict.fromkeys(kind for kind, _ in _EVENT_KINDS.values()))


@dataclass(frozen=True)
class EventLog:
    """How often each kind of event came since the exporter first read the log.

    `watermark` is the newest record that was counted, to be handed to the collector as `-AfterEvent`; None
    before the first read, which only sets it: what happened before the exporter started is not counted.
    `oldest` is number and time of the oldest record then.
    """

    watermark: int | None = None
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    oldest: tuple[int, float] | None = None

    def read(self, events: Events, topology: Topology) -> "EventLog":
        """After an answer; events up to the watermark count once, whatever the collector repeats."""
        return replace(self._read(events, topology), oldest=_oldest(events))

    def _read(self, events: Events, topology: Topology) -> "EventLog":
        newest = events.newest_record_id or 0
        if self.watermark is None:
            return EventLog(newest, {})
        if newest < self.watermark or self._restarted(events):
            # The log was cleared: everything in it is new, and none of it has been asked for yet.
            return replace(self, watermark=0)
        fresh = [event for event in events.events if event.record_id > self.watermark]
        counts = Counter(self.counts)
        counts.update(filter(None, (_counted(event, topology) for event in fresh)))
        last = max((event.record_id for event in fresh), default=self.watermark)
        return EventLog(last if events.more else newest, dict(counts))

    def _restarted(self, events: Events) -> bool:
        """Cleared, and grown past the watermark since: where it only overwrites, numbers rise."""
        before, now = self.oldest, _oldest(events)
        return bool(before and now and (now[0] < before[0] or (now[0] == before[0] and now[1] > before[1])))


def _oldest(events: Events) -> tuple[int, float] | None:
    if events.oldest_record_id is None or events.oldest_time_created is None:
        return None
    return events.oldest_record_id, events.oldest_time_created


def _counted(event: Event, topology: Topology) -> tuple[str, str] | None:
    """(relationship, kind) of an event that is counted; an exhausted pool is found by its scope."""
    kind, insert = _EVENT_KINDS.get(event.id, (None, None))
    if kind is None:
        return None
    if insert is None:
        scope = event.properties[1] if len(event.properties) > 1 else ""
        return topology.membership.get(scope, ""), kind
    return (event.properties[insert] if len(event.properties) > insert else ""), kind


# --- clocks -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClockOffset:
    """Server minus exporter, in seconds, and how far the truth may be from it."""

    seconds: float
    uncertainty_seconds: float


MAX_UNCERTAINTY_SECONDS: Final = 5.0
# Between partners Windows' limit is 60 s; the alert rules use the same two bounds.
CLOCK_WARNING_SECONDS: Final = 30.0
CLOCK_CRITICAL_SECONDS: Final = 55.0


def clock_offset(sent: float, entered: float, written: float, received: float) -> ClockOffset | None:
    """The offset by the four moments of one call, as NTP does it (RFC 5905, 8).

    Args:
        sent: exporter's clock before the call (epoch seconds, as all of them).
        entered: server's clock when the function began.
        written: server's clock when the last document was written.
        received: exporter's clock after the call.

    Returns:
        None where the bound says nothing: above `MAX_UNCERTAINTY_SECONDS`, or a clock was set in between.
    """
    uncertainty = ((received - sent) - (written - entered)) / 2
    if not 0 <= uncertainty <= MAX_UNCERTAINTY_SECONDS or written < entered:
        return None
    return ClockOffset(((entered - sent) + (written - received)) / 2, uncertainty)
