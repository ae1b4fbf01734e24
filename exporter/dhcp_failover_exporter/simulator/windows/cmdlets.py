"""What the cmdlets of Windows answer on a server, for an account.

Each is a method under the cmdlet's name. It returns an `Output`: records with Windows' property names and
typed values (timedelta for a TimeSpan, datetime for a DateTime, None for what is not set), the errors that it
wrote beside them, and how long it took; sleeping that long is the caller's business.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING

from dhcp_failover_exporter.simulator.windows.configuration import Option, Policy, Reservation, Scope
from dhcp_failover_exporter.simulator.windows.errors import (
    Category,
    CmdletError,
    access_denied,
    dhcp_error,
    module_missing,
    outside_failover,
    scope_absent,
    service_unavailable,
)
from dhcp_failover_exporter.simulator.windows.server import WRITING, Cost, DhcpServer
from dhcp_failover_exporter.simulator.windows.states import MAY_BE_FORCED_DOWN, State

if TYPE_CHECKING:
    from dhcp_failover_exporter.simulator.windows.failover import End, Relationship
    from dhcp_failover_exporter.simulator.windows.network import Connection

Record = dict[str, object]

CURRENT_VERSION_KEY = "HKLM:\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion"
POLICIES_KEY = "HKLM:\\SOFTWARE\\Policies\\Microsoft\\Windows\\PowerShell"

_UNLIMITED = timedelta(seconds=4_294_967_295)
_PERFORMANCE_COUNTERS = {
    "FailoverBndUpdsentPersec": "BndUpdSent",
    "FailoverBndUpdreceivedPersec": "BndUpdReceived",
    "FailoverBndAcksentPersec": "BndAckSent",
    "FailoverBndAckreceivedPersec": "BndAckReceived",
    "FailoverBndUpdDropped": "BndUpdDropped",
    "FailoverTransitionstoCOMMUNICATIONINTERRUPTEDstate": "TransitionsCommunicationInterrupted",
    "FailoverTransitionstoPARTNERDOWNstate": "TransitionsPartnerDown",
    "FailoverTransitionstoRECOVERstate": "TransitionsRecover",
}
_CRITERIA = (
    "VendorClass", "UserClass", "MacAddress", "ClientId", "Fqdn",
    "RelayAgent", "CircuitId", "RemoteId", "SubscriberId",
)  # fmt: skip
_SERVER_COUNTERS = ("Discovers", "Offers", "Requests", "Acks", "Naks", "Declines", "Releases")


@dataclass(frozen=True)
class Output:
    """What a cmdlet wrote: to its output, and to the error stream."""

    records: list[Record] = field(default_factory=list)
    errors: list[CmdletError] = field(default_factory=list)
    seconds: float = 0.0


Answer = Iterator[Record | CmdletError]


def cmdlet(name: str, *, of_dhcp: bool = True) -> Callable[[Callable[..., Answer]], Callable[..., Output]]:
    """Turn a generator of records and errors into a cmdlet: with rights, failures on demand and a cost."""

    def decorate(answer: Callable[..., Answer]) -> Callable[..., Output]:
        @wraps(answer)
        def run(self: "Cmdlets", *args: object, **kwargs: object) -> Output:
            with self.server.network.moment() as now:
                self.now = now
                refused = self._refusal(name, of_dhcp=of_dhcp)
                if refused is not None:
                    return self._output(name, [refused])
                silent = name in self.rights.empty
                return self._output(name, [] if silent else list(answer(self, *args, **kwargs)))

        return run

    return decorate


class Cmdlets:
    """The cmdlets of one server as one account's shell may use them."""

    def __init__(self, server: DhcpServer, account: str = "administrator", shell_id: str = "") -> None:
        self.server = server
        self.account = account
        self.shell_id = shell_id
        self.rights = server.rights_of(account)
        self.now = 0.0

    # What every cmdlet shares

    def _refusal(self, name: str, *, of_dhcp: bool) -> CmdletError | None:
        self.server.calls[name] += 1
        if of_dhcp and not self.server.oddities.has_dhcp_module:
            return module_missing(name)
        if name in self.rights.denied:
            return _denial(name, self.server.fqdn, of_dhcp=of_dhcp)
        if of_dhcp and not self.server.serving:
            return service_unavailable(name, self.server.fqdn)
        for failure in self.server.failures:
            if failure.cmdlet == name and failure.scope_id is None and failure.times != 0:
                failure.times = None if failure.times is None else failure.times - 1
                return failure.error
        return None

    def _output(self, name: str, wrote: list[Record | CmdletError]) -> Output:
        failing = {f.scope_id: f.error for f in self.server.failures if f.cmdlet == name and f.scope_id}
        answered = [failing.get(_scope_id(item), item) for item in wrote]
        records = [self._visible(name, item) for item in answered if isinstance(item, dict)]
        errors = [item for item in answered if isinstance(item, CmdletError)]
        return Output(records, errors, self._seconds(name, len(records)))

    def _visible(self, name: str, record: Record) -> Record:
        hidden = {field for cmdlet_name, field in self.rights.hidden if cmdlet_name == name}
        return {key: None if key in hidden else value for key, value in record.items()}

    def _seconds(self, name: str, records: int) -> float:
        cost = self.server.costs.get(name, Cost())
        seconds = cost.seconds + cost.per_record_seconds * records
        if self.shell_id and self.shell_id not in self.server.shells:
            self.server.shells.add(self.shell_id)
            seconds += self.server.oddities.first_call_seconds
        return seconds

    def _time(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(seconds, UTC)

    # The machine itself

    @property
    def computer_name(self) -> str:
        """[System.Environment]::MachineName."""
        return self.server.identity.name.upper()

    @property
    def ps_version(self) -> str:
        """$PSVersionTable.PSVersion."""
        return self.server.identity.ps_version

    def utc_now(self) -> datetime:
        """[datetime]::UtcNow: the server's clock."""
        return self._time(self.server.local_time(self.server.network.clock.now()))

    @cmdlet("Get-Service", of_dhcp=False)
    def get_service(self) -> Answer:
        """Get-Service -Name DHCPServer."""
        yield {"Name": "DHCPServer", "Status": "Running" if self.server.service_running else "Stopped"}

    @cmdlet("Get-ItemProperty", of_dhcp=False)
    def get_item_property(self, path: str) -> Answer:
        """Get-ItemProperty of the registry keys that the collector reads; a policy not set has no key."""
        policies = self.server.powershell_policies
        major, minor, build, revision = map(int, self.server.identity.os_version.split("."))
        keys: dict[str, Record] = {
            CURRENT_VERSION_KEY: {
                "CurrentMajorVersionNumber": major,
                "CurrentMinorVersionNumber": minor,
                "CurrentBuildNumber": str(build),
                "UBR": revision,
            }
        }
        if policies.transcription:
            keys[f"{POLICIES_KEY}\\Transcription"] = {"EnableTranscripting": 1}
        if policies.module_logging:
            keys[f"{POLICIES_KEY}\\ModuleLogging"] = {"EnableModuleLogging": 1}
        yield keys.get(path) or CmdletError(
            "PathNotFound,Microsoft.PowerShell.Commands.GetItemPropertyCommand",
            Category.ObjectNotFound,
            f"Cannot find path '{path}' because it does not exist.",
        )

    def connect(self, address: str) -> "Connection":
        """A bare TCP connect from this server to port 647 of `address`."""
        return self.server.network.connect(self.server, address)

    # Failover

    @cmdlet("Get-DhcpServerv4Failover")
    def get_dhcp_server_v4_failover(self) -> Answer:
        """Get-DhcpServerv4Failover, without parameters."""
        name = "Get-DhcpServerv4Failover"
        relationships = list(self.server.relationships())
        none = self.server.oddities.no_relationship
        if not relationships and none == "259":
            yield CmdletError(f"WIN32 259,{name}", Category.NotSpecified, "No more data is available.")
        elif not relationships and none != "empty":
            yield dhcp_error(int(none), name, Category.ObjectNotFound, "Failed to get relationships.")
        for relationship, end in relationships:
            yield self._relationship(relationship, end)

    def _relationship(self, relationship: "Relationship", end: "End") -> Record:
        primary, secondary = (each.server.identity for each in relationship.ends)
        parameters, hot_standby = end.parameters, end.parameters.load_balance_percent is None
        return {
            "Name": relationship.name,
            "PartnerServer": end.partner_spelling,
            "Mode": "HotStandby" if hot_standby else "LoadBalance",
            "ServerRole": ("Active" if end.is_active else "Standby") if hot_standby else None,
            "ServerType": "PrimaryServer" if end.is_primary else "SecondaryServer",
            "State": self._state(relationship, end).value,
            "LoadBalancePercent": self._share(end),
            "ReservePercent": parameters.reserve_percent,
            "MaxClientLeadTime": timedelta(seconds=parameters.mclt_seconds),
            "StateSwitchInterval": _timespan(parameters.state_switch_seconds),
            "AutoStateTransition": end.takes_over,
            "EnableAuth": parameters.shared_secret is not None,
            "ScopeId": self.server.members(relationship),
            "PrimaryServerName": primary.fqdn,
            "SecondaryServerName": secondary.fqdn,
            "PrimaryServerIP": primary.address,
            "SecondaryServerIP": secondary.address,
        }

    def _state(self, relationship: "Relationship", end: "End") -> State:
        return State.NO_STATE if relationship.name in self.server.oddities.state_not_known else end.state

    def _share(self, end: "End") -> int | None:
        share = end.parameters.load_balance_percent
        if share is None or end.is_primary or self.server.oddities.load_balance_of_partner == "same":
            return share
        return 100 - share

    @cmdlet("Set-DhcpServerv4Failover")
    def set_dhcp_server_v4_failover(
        self, name: str, *, partner_down: bool = False, **parameters: object
    ) -> Answer:
        """Set-DhcpServerv4Failover; `parameters` as in failover.Parameters, told to the partner too."""
        known = self.server.relationship(name)
        if known is None:
            message = f"Failed to get relationship {name}."
            yield dhcp_error(20115, "Set-DhcpServerv4Failover", Category.ObjectNotFound, message)
            return
        relationship, end = known
        for each in relationship.ends if relationship.linked else (end,):
            relationship.set_parameters(each, **parameters)
        if partner_down and end.state not in MAY_BE_FORCED_DOWN:
            yield dhcp_error(
                20120, "Set-DhcpServerv4Failover", Category.InvalidData, f"Failed to set state of {name}."
            )
        elif partner_down:
            relationship.force_partner_down(end)

    @cmdlet("Invoke-DhcpServerv4FailoverReplication")
    def invoke_dhcp_server_v4_failover_replication(
        self, name: str | None = None, scope_id: Sequence[str] | None = None
    ) -> Answer:
        """Invoke-DhcpServerv4FailoverReplication: this server's configuration overwrites its partner's."""
        for relationship, end in list(self.server.relationships()):
            if name is not None and relationship.name != name:
                continue
            if not relationship.partner(end).server.serving:
                yield CmdletError(
                    "WIN32 1722,Invoke-DhcpServerv4FailoverReplication",
                    Category.ConnectionError,
                    f"Failed to replicate to {end.partner_spelling}.",
                )
                continue
            for each in self.server.replicate(relationship.name, scope_id):
                yield {"ScopeId": each}

    # Scopes

    @cmdlet("Get-DhcpServerv4Scope")
    def get_dhcp_server_v4_scope(self, scope_id: Sequence[str] = ()) -> Answer:
        """Get-DhcpServerv4Scope, of all scopes or of some."""
        for scope in self._scopes("Get-DhcpServerv4Scope", scope_id):
            yield scope if isinstance(scope, CmdletError) else _scope(scope)
        for vanishing in list(self.server.oddities.vanish_after_listing):
            self.server.oddities.vanish_after_listing.discard(vanishing)
            self.server.remove_scope(vanishing)

    def _scopes(self, name: str, scope_ids: Sequence[str]) -> "Iterator[Scope | CmdletError]":
        for scope_id in scope_ids or list(self.server.scopes):
            scope = self.server.scopes.get(scope_id)
            yield scope or scope_absent(name, scope_id, self.server.fqdn)

    @cmdlet("Get-DhcpServerv4ScopeStatistics")
    def get_dhcp_server_v4_scope_statistics(
        self, scope_id: Sequence[str] = (), *, failover: bool = False
    ) -> Answer:
        """Get-DhcpServerv4ScopeStatistics, with the partners' figures where `failover` asks for them."""
        name = "Get-DhcpServerv4ScopeStatistics"
        for scope in self._scopes(name, scope_id):
            if isinstance(scope, CmdletError):
                yield scope
                continue
            member = self.server.relationship_of(scope.scope_id) is not None
            if failover and not member and self.server.oddities.outside_failover == "error":
                yield outside_failover(name, scope.scope_id, self.server.fqdn)
                continue
            yield self._statistics(scope, failover=failover, member=member)

    def _statistics(self, scope: Scope, *, failover: bool, member: bool) -> Record:
        counts = self.server.pools[scope.scope_id].statistics(self.server, self.now)
        total = counts.free + counts.in_use + counts.offered
        outside = 0 if failover and self.server.oddities.outside_failover == "zero" else None
        split = failover and member
        return {
            "ScopeId": scope.scope_id,
            "SuperscopeName": scope.superscope_name,
            "AddressesFree": counts.free,
            "AddressesInUse": counts.in_use,
            "PendingOffers": counts.offered,
            "ReservedAddress": len(scope.reservations),
            "PercentageInUse": float(f"{100 * counts.in_use / total:.7g}") if total else 0.0,
            "AddressesFreeOnThisServer": counts.free_on_this if split else outside,
            "AddressesFreeOnPartnerServer": counts.free_on_partner if split else outside,
            "AddressesInUseOnThisServer": counts.in_use_on_this if split else outside,
            "AddressesInUseOnPartnerServer": counts.in_use_on_partner if split else outside,
        }

    # The server

    @cmdlet("Get-DhcpServerSetting")
    def get_dhcp_server_setting(self) -> Answer:
        """Get-DhcpServerSetting."""
        yield {
            "IsDomainJoined": self.server.domain_joined,
            "IsAuthorized": self.server.authorized,
            "DynamicBootp": True,
            "RestoreStatus": False,
            "ConflictDetectionAttempts": 0,
            "NpsUnreachableAction": "Full",
            "NapEnabled": False,
            "ActivatePolicies": True,
        }

    @cmdlet("Get-DhcpServerv4Statistics")
    def get_dhcp_server_v4_statistics(self) -> Answer:
        """Get-DhcpServerv4Statistics: counters since the service started."""
        self.server.catch_up(self.now)
        yield {
            "ServerStartTime": self._time(self.server.local_time(self.server.started_at)),
            **{name: self.server.counters[name] for name in _SERVER_COUNTERS},
            "TotalScopes": len(self.server.scopes),
        }

    @cmdlet("Get-CimInstance", of_dhcp=False)
    def get_cim_instance(self) -> Answer:
        """Get-CimInstance Win32_PerfRawData_dhcpserver_DHCPServer; nothing where the service does not run."""
        if self.server.serving:
            self.server.catch_up(self.now)
            yield {
                **{name: self.server.counters[counter] for name, counter in _PERFORMANCE_COUNTERS.items()},
                "FailoverBndUpdpendinginoutboundqueue": self.server.outbound_updates,
            }

    # Configuration

    @cmdlet("Get-DhcpServerv4OptionValue")
    def get_dhcp_server_v4_option_value(self, scope_id: str | None = None) -> Answer:
        """Get-DhcpServerv4OptionValue -All -Brief, of a scope or of the server."""
        name = "Get-DhcpServerv4OptionValue"
        if scope_id is None:
            yield from self._options(name, tuple(self.server.server_options.values()))
            return
        for scope in self._scopes(name, [scope_id]):
            yield from [scope] if isinstance(scope, CmdletError) else self._options(name, scope.options)

    def _options(self, name: str, options: Sequence[Option]) -> Answer:
        if not options and self.server.oddities.no_option == "20010":
            yield dhcp_error(20010, name, Category.ObjectNotFound, "Failed to get option values.")
        yield from map(_option, options)

    @cmdlet("Get-DhcpServerv4Reservation")
    def get_dhcp_server_v4_reservation(self, scope_id: str) -> Answer:
        """Get-DhcpServerv4Reservation -ScopeId."""
        for scope in self._scopes("Get-DhcpServerv4Reservation", [scope_id]):
            if isinstance(scope, CmdletError):
                yield scope
            else:
                yield from (_reservation(scope, reservation) for reservation in scope.reservations)

    @cmdlet("Get-DhcpServerv4ExclusionRange")
    def get_dhcp_server_v4_exclusion_range(self, scope_id: Sequence[str] = ()) -> Answer:
        """Get-DhcpServerv4ExclusionRange, of all scopes or of some."""
        for scope in self._scopes("Get-DhcpServerv4ExclusionRange", scope_id):
            if isinstance(scope, CmdletError):
                yield scope
                continue
            for each in scope.exclusions:
                yield {"ScopeId": scope.scope_id, "StartRange": each.start_range, "EndRange": each.end_range}

    @cmdlet("Get-DhcpServerv4Policy")
    def get_dhcp_server_v4_policy(self, scope_id: str) -> Answer:
        """Get-DhcpServerv4Policy -ScopeId."""
        for scope in self._scopes("Get-DhcpServerv4Policy", [scope_id]):
            if isinstance(scope, CmdletError):
                yield scope
            else:
                yield from (_policy(scope, policy) for policy in scope.policies)

    @cmdlet("Get-DhcpServerv4PolicyIPRange")
    def get_dhcp_server_v4_policy_ip_range(self, scope_id: str) -> Answer:
        """Get-DhcpServerv4PolicyIPRange -ScopeId."""
        for scope in self._scopes("Get-DhcpServerv4PolicyIPRange", [scope_id]):
            if isinstance(scope, CmdletError):
                yield scope
                continue
            for policy in scope.policies:
                for start, end in policy.ranges:
                    yield {"ScopeId": scope_id, "Name": policy.name, "StartRange": start, "EndRange": end}

    # Firewall and event log

    @cmdlet("Get-NetFirewallRule", of_dhcp=False)
    def get_net_firewall_rule(self, store: str = "ActiveStore", name: str | None = None) -> Answer:
        """Get-NetFirewallRule -PolicyStore ActiveStore, or -Name of the PersistentStore."""
        everything = store == "PersistentStore" or self.server.oddities.active_store_lists_disabled
        rules = [rule for rule in self.server.firewall if name in {None, rule.name}]
        if name is not None and not rules:
            message = f"No MSFT_NetFirewallRule objects found with property 'InstanceID' equal to '{name}'."
            yield CmdletError("CmdletizationQuery_NotFound_InstanceID,Get-NetFirewallRule",
                              Category.ObjectNotFound, message)  # fmt: skip
        for number, rule in enumerate(rules):
            if not (rule.enabled or everything):
                continue
            yield {
                "Name": rule.name,
                "InstanceID": f"{rule.name}|{number}",
                "Enabled": str(rule.enabled),
                "Direction": rule.direction,
                "Action": rule.action,
                "Profile": rule.profile,
                "PolicyStoreSourceType": rule.source,
            }

    @cmdlet("Get-NetFirewallPortFilter", of_dhcp=False)
    def get_net_firewall_port_filter(self) -> Answer:
        """Get-NetFirewallPortFilter -PolicyStore ActiveStore: joined to the rules by InstanceID."""
        for number, rule in enumerate(self.server.firewall):
            ports = rule.local_ports[0] if len(rule.local_ports) == 1 else list(rule.local_ports)
            yield {"InstanceID": f"{rule.name}|{number}", "Protocol": rule.protocol, "LocalPort": ports}

    @cmdlet("Get-NetFirewallApplicationFilter", of_dhcp=False)
    def get_net_firewall_application_filter(self) -> Answer:
        """Get-NetFirewallApplicationFilter -PolicyStore ActiveStore: joined to the rules by InstanceID."""
        for number, rule in enumerate(self.server.firewall):
            yield {"InstanceID": f"{rule.name}|{number}", "Program": rule.program, "Package": None}

    @cmdlet("Get-NetFirewallAddressFilter", of_dhcp=False)
    def get_net_firewall_address_filter(self) -> Answer:
        """Get-NetFirewallAddressFilter -PolicyStore ActiveStore: joined to the rules by InstanceID."""
        for number, rule in enumerate(self.server.firewall):
            yield {
                "InstanceID": f"{rule.name}|{number}",
                "LocalAddress": "Any",
                "RemoteAddress": rule.remote_address,
            }

    @cmdlet("Get-WinEvent", of_dhcp=False)
    def get_win_event(
        self,
        log_name: str,
        *,
        ids: Sequence[int] = (),
        after: int = -1,
        oldest: bool = False,
        max_events: int | None = None,
    ) -> Answer:
        """Get-WinEvent of a channel: these ids beyond this record id, newest first unless `oldest`."""
        self.server.catch_up(self.now)
        if log_name in self.rights.closed:
            yield _denial("Get-WinEvent", self.server.fqdn, of_dhcp=False)
            return
        if log_name not in self.server.logs:
            yield CmdletError(
                "NoMatchingLogsFound,Microsoft.PowerShell.Commands.GetWinEventCommand",
                Category.ObjectNotFound,
                f'There is not an event log on the localhost computer that matches "{log_name}".',
            )
            return
        log = self.server.logs[log_name].read()
        found = [event for event in log if event.record_id > after and (not ids or event.id in ids)]
        if not found:
            yield CmdletError(
                "NoMatchingEventsFound,Microsoft.PowerShell.Commands.GetWinEventCommand",
                Category.ObjectNotFound,
                "No events were found that match the specified selection criteria.",
            )
        for event in (found if oldest else found[::-1])[:max_events]:
            yield {
                "RecordId": event.record_id,
                "Id": event.id,
                "TimeCreated": self._time(event.time_created),
                "Level": event.level,
                "Properties": list(event.properties),
            }


def _denial(name: str, server: str, *, of_dhcp: bool) -> CmdletError:
    if of_dhcp and name not in WRITING:
        return access_denied(name, server)
    command = {
        "Get-Service": ("System.InvalidOperationException", "GetServiceCommand"),
        "Get-WinEvent": ("System.UnauthorizedAccessException", "GetWinEventCommand"),
    }.get(name)
    if command is None:
        return CmdletError(f"Windows System Error 5,{name}", Category.PermissionDenied, "Access is denied.")
    exception, implementation = command
    return CmdletError(
        f"{exception},Microsoft.PowerShell.Commands.{implementation}",
        Category.NotSpecified,
        "Attempted to perform an unauthorized operation.",
    )


def _scope_id(answered: Record | CmdletError) -> str:
    return str(answered.get("ScopeId")) if isinstance(answered, dict) else ""


def _timespan(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _scope(scope: Scope) -> Record:
    return {
        "ScopeId": scope.scope_id,
        "Name": scope.name,
        "Description": scope.description,
        "SubnetMask": scope.subnet_mask,
        "StartRange": scope.start_range,
        "EndRange": scope.end_range,
        "SuperscopeName": scope.superscope_name,
        "State": scope.state,
        "Type": scope.type,
        "LeaseDuration": _timespan(scope.lease_seconds) or _UNLIMITED,
        "Delay": scope.delay_milliseconds,
        "MaxBootpClients": 4_294_967_295,
        "ActivatePolicies": True,
        "NapEnable": False,
        "NapProfile": None,
    }


def _option(option: Option) -> Record:
    return {
        "OptionId": option.option_id,
        "Type": option.type,
        "Value": list(option.values),
        "VendorClass": option.vendor_class or "",
        "UserClass": option.user_class or "",
        "PolicyName": option.policy_name or "",
    }


def _reservation(scope: Scope, reservation: Reservation) -> Record:
    return {
        "IPAddress": reservation.ip_address,
        "ScopeId": scope.scope_id,
        "ClientId": _client_id(reservation.client_id),
        "Name": reservation.name,
        "Description": reservation.description,
        "Type": reservation.type,
        "AddressState": "InactiveReservation",
    }


def _client_id(typed: str) -> str:
    """Windows writes a hardware address with hyphens, however it was typed."""
    digits = typed.replace("-", "").replace(":", "")
    return "-".join(digits[n : n + 2] for n in range(0, len(digits), 2)) if "-" not in typed else typed


def _policy(scope: Scope, policy: Policy) -> Record:
    criteria = {name: list(values) for name, values in policy.criteria}
    return {
        "Name": policy.name,
        "ScopeId": scope.scope_id,
        "Enabled": policy.enabled,
        "ProcessingOrder": policy.processing_order,
        "Condition": policy.condition,
        "Description": policy.description,
        **{kind: criteria.get(kind, []) for kind in _CRITERIA},
    }
