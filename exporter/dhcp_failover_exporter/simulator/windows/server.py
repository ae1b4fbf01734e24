"""A Windows DHCP server: what it is, what it knows, and everything that can happen to it.

What its cmdlets answer is said in `cmdlets`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dhcp_failover_exporter.simulator.windows import events
from dhcp_failover_exporter.simulator.windows.configuration import (
    Exclusion,
    FirewallRule,
    Identity,
    Option,
    Policy,
    PowerShellPolicies,
    Reservation,
    Scope,
    installed_rules,
)
from dhcp_failover_exporter.simulator.windows.events import ADMIN, OPERATIONAL, EventLog
from dhcp_failover_exporter.simulator.windows.states import State

if TYPE_CHECKING:
    from dhcp_failover_exporter.simulator.windows.addresses import Pool
    from dhcp_failover_exporter.simulator.windows.errors import CmdletError
    from dhcp_failover_exporter.simulator.windows.failover import End, Relationship
    from dhcp_failover_exporter.simulator.windows.network import Network

TRANSITION_COUNTERS = {
    State.COMMUNICATION_INTERRUPTED: "TransitionsCommunicationInterrupted",
    State.PARTNER_DOWN: "TransitionsPartnerDown",
    State.RECOVER: "TransitionsRecover",
}

_SCOPE_ADDED, _SCOPE_CHANGED, _SCOPE_DELETED, _LEASE_DURATION, _SCOPE_OPTION = 70, 71, 72, 75, 76
_SERVER_OPTION, _RESERVATION_ADDED, _RESERVATION_DELETED = 105, 106, 107
_EXCLUSION_ADDED, _EXCLUSION_DELETED, _POLICY_CHANGED = 119, 120, 20220


@dataclass(frozen=True)
class Rights:
    """What an account may not.

    denied   cmdlets that refuse it
    empty    cmdlets that answer it with nothing, as performance classes do
    hidden   single fields, (cmdlet, field), that stay empty for it
    closed   channels of the event log that it may not read
    """

    denied: frozenset[str] = frozenset()
    empty: frozenset[str] = frozenset()
    hidden: frozenset[tuple[str, str]] = frozenset()
    closed: frozenset[str] = frozenset()

    @classmethod
    def dhcp_users(cls) -> "Rights":
        """DHCP Users + Remote Management Users where DHCP Users is enough for reads."""
        return cls(
            denied=frozenset({"Get-Service", "Get-WinEvent", *WRITING}), empty=frozenset({"Get-CimInstance"})
        )


WRITING = frozenset({"Set-DhcpServerv4Failover", "Invoke-DhcpServerv4FailoverReplication"})


@dataclass(frozen=True)
class Cost:
    """How long a cmdlet takes: in any case, and for each record that it returns."""

    seconds: float = 0.0
    per_record_seconds: float = 0.0


@dataclass
class Failure:
    """An error that a cmdlet raises instead of answering: always, for one scope, or so many times."""

    cmdlet: str
    error: "CmdletError"
    scope_id: str | None = None
    times: int | None = None


@dataclass
class Oddities:
    """How this server's build and its moods differ from the plain case."""

    outside_failover: str = "null"
    """What -Failover figures are outside failover: "null", "zero", "error" (20116 instead of the scope)."""
    no_relationship: str = "empty"
    """What Get-DhcpServerv4Failover says where there is none: "empty", "259", "20115", "20116"."""
    no_option: str = "empty"
    """What Get-DhcpServerv4OptionValue says where none is set: "empty", "20010"."""
    load_balance_of_partner: str = "complement"
    """What the secondary reads for the primary's share x: "complement" (100-x) or "same"."""
    has_dhcp_module: bool = True
    """Whether the PowerShell module DhcpServer is installed."""
    first_call_seconds: float = 0.0
    """How much longer the first cmdlet in a new shell takes."""
    active_store_lists_disabled: bool = True
    """Whether the firewall's active store shows disabled rules (else only the persistent store does)."""
    state_not_known: set[str] = field(default_factory=set)
    """Relationships, by name, that it lists in NoState, until taken out again; what it does stays the same.
    On request only: when Windows says so is not published, so that nothing in the model leads there."""
    vanish_after_listing: set[str] = field(default_factory=set)
    """Scopes that somebody deletes right after the next listing."""


class DhcpServer:
    """One server. Everything that changes it is a method, and happens at the network's clock."""

    def __init__(self, network: "Network", identity: Identity) -> None:
        self.network = network
        self.identity = identity
        self.host_up = True
        self.service_running = True
        self.domain_joined = True
        self.authorized = True
        self.clock_offset = 0.0
        self.started_at = network.clock.now()
        self.ends: list[tuple[Relationship, End]] = []
        self.scopes: dict[str, Scope] = {}
        self.pools: dict[str, Pool] = {}
        self.server_options: dict[tuple[object, ...], Option] = {}
        self.firewall: list[FirewallRule] = installed_rules()
        self.powershell_policies = PowerShellPolicies()
        self.logs = {ADMIN: EventLog(), OPERATIONAL: EventLog()}
        self.counters: Counter[str] = Counter()
        self.outbound_updates = 0
        self.outbound_limit = 1_000_000
        self.rights: dict[str, Rights] = {}
        self.costs: dict[str, Cost] = {}
        self.failures: list[Failure] = []
        self.oddities = Oddities()
        self.calls: Counter[str] = Counter()
        self.shells: set[str] = set()
        network.servers.append(self)

    def __repr__(self) -> str:
        return f"DhcpServer({self.identity.name!r})"

    # What it is at the moment

    @property
    def fqdn(self) -> str:
        """Full name."""
        return self.identity.fqdn

    @property
    def serving(self) -> bool:
        """Whether the DHCP service runs."""
        return self.host_up and self.service_running

    @property
    def may_lease(self) -> bool:
        """An unauthorised server of a domain leases nothing."""
        return self.authorized or not self.domain_joined

    def local_time(self, now: float) -> float:
        """What its clock shows at `now`, in seconds since 1970 UTC."""
        return now + self.clock_offset

    def admits(self, port: int) -> bool:
        """Whether its own firewall lets an inbound TCP connection in."""
        matching = [rule for rule in self.firewall if rule.covers(port)]
        return bool(matching) and all(rule.action == "Allow" for rule in matching)

    def relationship(self, name: str) -> "tuple[Relationship, End] | None":
        """One of its relationships, with its own end, by name."""
        return next((known for known in self.relationships() if known[0].name == name), None)

    def relationships(self) -> "Iterator[tuple[Relationship, End]]":
        """Those that it knows, each with its own end."""
        return (known for known in self.ends if not known[1].forgotten)

    def relationship_of(self, scope_id: str) -> "Relationship | None":
        """The relationship that protects the scope, as this server knows it."""
        pool = self.pools.get(scope_id)
        known = [relationship for relationship, _ in self.relationships()]
        return pool.relationship if pool and pool.relationship in known else None

    def catch_up(self, now: float) -> None:
        """Play the clients of all its scopes up to now."""
        for pool in self.pools.values():
            pool.advance(now)

    # Called by the model

    def log(self, time: float, event_id: int, level: int, *properties: str) -> None:
        """Write to the Admin channel, dated by its own clock."""
        self.logs[ADMIN].write(self.local_time(time), event_id, level, *properties)

    def count(self, counter: str) -> None:
        """One more since the service started."""
        self.counters[counter] += 1

    def transitioned(self, state: State) -> None:
        """A relationship of it entered a state."""
        if state in TRANSITION_COUNTERS:
            self.count(TRANSITION_COUNTERS[state])

    # Power and service

    def stop_service(self) -> None:
        """`Stop-Service DHCPServer`: partners see the connection closed; WinRM answers on."""
        with self.network.moment() as now:
            if self.serving:
                self.catch_up(now)
                self.service_running = False
                self._ends_stop(silently=False)

    def start_service(self) -> None:
        """`Start-Service DHCPServer`: Startup first; counters begin again."""
        with self.network.moment() as now:
            if self.host_up and not self.service_running:
                self.service_running = True
                self._ends_start(now)

    def restart_service(self) -> None:
        """Stop and start at once."""
        self.stop_service()
        self.start_service()

    def power_off(self) -> None:
        """The host is gone without a word: partners notice by silence."""
        with self.network.moment() as now:
            if self.host_up:
                self.catch_up(now)
                was_serving = self.serving
                self.host_up = False
                if was_serving:
                    self._ends_stop(silently=True)

    def power_on(self) -> None:
        """The host is back, its shells are gone, its service starts by itself."""
        with self.network.moment() as now:
            if not self.host_up:
                self.host_up = self.service_running = True
                self.shells.clear()
                self._ends_start(now)

    def _ends_stop(self, *, silently: bool) -> None:
        for relationship, end in self.relationships():
            relationship.stop(end, silently=silently)

    def _ends_start(self, now: float) -> None:
        self.catch_up(now)
        self.started_at = now
        self.counters.clear()
        for relationship, end in self.relationships():
            relationship.start(end)

    # Clock, firewall, domain

    def set_clock(self, offset_seconds: float) -> None:
        """Set its clock so far off the true time."""
        with self.network.moment() as now:
            self.catch_up(now)
            self.clock_offset = offset_seconds
            for relationship, _ in self.relationships():
                relationship.note_clocks()

    def set_firewall_rule(self, name: str, *, enabled: bool) -> None:
        """Enable or disable a rule: for the built-in inbound one this is "647 into this server"."""
        with self._firewall_changing():
            for rule in self.firewall:
                if rule.name == name:
                    rule.enabled = enabled

    def add_firewall_rule(self, rule: FirewallRule) -> None:
        """Add a rule, such as a Block rule of a group policy."""
        with self._firewall_changing():
            self.firewall.append(rule)

    def remove_firewall_rule(self, name: str) -> None:
        """Delete a rule."""
        with self._firewall_changing():
            self.firewall = [rule for rule in self.firewall if rule.name != name]

    @contextmanager
    def _firewall_changing(self) -> "Iterator[None]":
        with self.network.moment():
            yield
            self.network.path_changed(self, silently=True)

    def set_authorized(self, *, authorized: bool) -> None:
        """Authorise it in Active Directory, or withdraw that."""
        with self.network.moment() as now:
            self.catch_up(now)
            self.authorized = authorized

    # Failover, on this side only

    def force_partner_down(self, name: str) -> bool:
        """`Set-DhcpServerv4Failover -PartnerDown`; False where the state does not allow it."""
        with self.network.moment():
            known = self.relationship(name)
            return known is not None and known[0].force_partner_down(known[1])

    def set_failover_parameters(self, name: str, **changes: object) -> None:
        """Change this side's `failover.Parameters` only, so that the partners differ."""
        with self.network.moment():
            known = self.relationship(name)
            if known is not None:
                known[0].set_parameters(known[1], **changes)

    def set_shared_secret(self, name: str, secret: str | None) -> None:
        """Set this side's shared secret; a connection with another one breaks."""
        self.set_failover_parameters(name, shared_secret=secret)
        with self.network.moment():
            known = self.relationship(name)
            if known is not None and len({end.parameters.shared_secret for end in known[0].ends}) > 1:
                known[0].drop_link()

    def forget_relationship(self, name: str) -> None:
        """Remove the relationship from this server only, as after a removal while the partner was away."""
        with self.network.moment():
            known = self.relationship(name)
            if known is not None:
                known[1].forgotten = True
                known[0].path_changed(silently=False)

    # Scopes

    def set_scope(self, scope_id: str, **changes: object) -> None:
        """Change properties of a scope on this server only (fields of `configuration.Scope`)."""
        self._change(scope_id, lambda scope: replace(scope, **changes), _SCOPE_CHANGED)  # type: ignore[arg-type]  # by name

    def set_lease_duration(self, scope_id: str, seconds: float | None) -> None:
        """Change the lease duration on this server only."""
        self._change(scope_id, lambda scope: replace(scope, lease_seconds=seconds), _LEASE_DURATION)

    def remove_scope(self, scope_id: str) -> None:
        """Delete a scope on this server only."""
        with self.network.moment() as now:
            scope = self.scopes.pop(scope_id)
            self.outbound_updates -= self.pools.pop(scope_id).unsent_updates(self)
            self._audit(now, _SCOPE_DELETED, scope)

    def add_reservation(self, scope_id: str, reservation: Reservation) -> None:
        """Reserve an address on this server only."""
        self._change(
            scope_id, lambda s: replace(s, reservations=(*s.reservations, reservation)), _RESERVATION_ADDED
        )

    def remove_reservation(self, scope_id: str, ip_address: str) -> None:
        """Delete a reservation on this server only."""
        self._change(
            scope_id,
            lambda s: replace(s, reservations=tuple(r for r in s.reservations if r.ip_address != ip_address)),
            _RESERVATION_DELETED,
        )

    def set_option(self, option: Option, scope_id: str | None = None) -> None:
        """Set an option value of a scope, or of the server, on this server only."""
        if scope_id is not None:
            self._change(
                scope_id, lambda s: replace(s, options=_with_option(s.options, option)), _SCOPE_OPTION
            )
            return
        with self.network.moment() as now:
            self.server_options[_option_key(option)] = option
            name = option.name or str(option.option_id)
            self.logs[OPERATIONAL].write(self.local_time(now), _SERVER_OPTION, events.INFORMATION, name)

    def remove_option(self, option_id: int, scope_id: str | None = None) -> None:
        """Remove an option value on this server only."""
        if scope_id is not None:
            self._change(
                scope_id,
                lambda s: replace(s, options=tuple(o for o in s.options if o.option_id != option_id)),
                _SCOPE_OPTION,
            )
            return
        self.server_options = {key: o for key, o in self.server_options.items() if o.option_id != option_id}

    def add_exclusion(self, scope_id: str, exclusion: Exclusion) -> None:
        """Exclude a range on this server only."""
        self._change(scope_id, lambda s: replace(s, exclusions=(*s.exclusions, exclusion)), _EXCLUSION_ADDED)

    def remove_exclusion(self, scope_id: str, start_range: str) -> None:
        """Delete an exclusion on this server only."""
        self._change(
            scope_id,
            lambda s: replace(s, exclusions=tuple(e for e in s.exclusions if e.start_range != start_range)),
            _EXCLUSION_DELETED,
        )

    def set_policy(self, scope_id: str, policy: Policy) -> None:
        """Add a scope policy, or replace the one of that name, on this server only."""
        self._change(
            scope_id, lambda s: replace(s, policies=_with_policy(s.policies, policy)), _POLICY_CHANGED
        )

    def remove_policy(self, scope_id: str, name: str) -> None:
        """Delete a scope policy on this server only."""
        self._change(
            scope_id,
            lambda s: replace(s, policies=tuple(p for p in s.policies if p.name != name)),
            _POLICY_CHANGED,
        )

    def _change(self, scope_id: str, changed: Callable[[Scope], Scope], event_id: int) -> None:
        with self.network.moment() as now:
            self.scopes[scope_id] = changed(self.scopes[scope_id])
            self._audit(now, event_id, self.scopes[scope_id])

    def _audit(self, now: float, event_id: int, scope: Scope) -> None:
        named = f"[[{scope.scope_id}]{scope.name}]"
        self.logs[OPERATIONAL].write(self.local_time(now), event_id, events.INFORMATION, named, "LAB\\admin")

    def replicate(self, name: str, scope_ids: Iterable[str] | None = None) -> list[str]:
        """Overwrite the partner's configuration of the relationship's scopes; what it returns are their ids.

        Properties, options, reservations, exclusions and policies of scopes; nothing of the server level.
        """
        with self.network.moment() as now:
            known = self.relationship(name)
            if known is None:
                return []
            partner = known[0].partner(known[1]).server
            members = self.members(known[0])
            wanted = [scope_id for scope_id in members if scope_ids is None or scope_id in set(scope_ids)]
            for scope_id in wanted:
                if partner.scopes.get(scope_id) != self.scopes[scope_id]:
                    partner.receive_scope(now, self.scopes[scope_id], self.pools[scope_id])
            return wanted

    def receive_scope(self, now: float, scope: Scope, pool: "Pool") -> None:
        """A partner's replication writes a scope here."""
        self._audit(now, _SCOPE_CHANGED if scope.scope_id in self.scopes else _SCOPE_ADDED, scope)
        self.scopes[scope.scope_id] = scope
        self.pools.setdefault(scope.scope_id, pool)

    def members(self, relationship: "Relationship") -> list[str]:
        """The scopes of a relationship that exist on this server."""
        return [scope_id for scope_id, pool in self.pools.items() if pool.relationship is relationship]

    # What the cmdlets are made to do

    def fail(
        self, cmdlet: str, error: "CmdletError", *, scope_id: str | None = None, times: int | None = None
    ) -> None:
        """Make a cmdlet raise an error: always or `times` times, in whole or for one scope."""
        self.failures.append(Failure(cmdlet, error, scope_id, times))

    def heal(self, cmdlet: str | None = None) -> None:
        """Undo `fail`, for one cmdlet or all."""
        self.failures = [failure for failure in self.failures if cmdlet not in {None, failure.cmdlet}]

    def rights_of(self, account: str) -> Rights:
        """An account that was given no `rights` is an administrator."""
        return self.rights.get(account.lower(), Rights())

    def grant(self, account: str, rights: Rights) -> None:
        """Restrict an account, named as it logs on."""
        self.rights[account.lower()] = rights


def _option_key(option: Option) -> tuple[object, ...]:
    return (option.option_id, option.vendor_class, option.user_class, option.policy_name)


def _with_option(options: tuple[Option, ...], option: Option) -> tuple[Option, ...]:
    return (*(each for each in options if _option_key(each) != _option_key(option)), option)


def _with_policy(policies: tuple[Policy, ...], policy: Policy) -> tuple[Policy, ...]:
    return (*(each for each in policies if each.name != policy.name), policy)
