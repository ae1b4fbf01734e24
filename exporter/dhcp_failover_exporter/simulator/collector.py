"""The twin of collector/Get-DhcpFailoverSnapshot.ps1: the same documents, from the simulated server.

It follows the script part by part, under the script's own names, so that the two can be read side by side and
a test can compare them. Where the script calls a cmdlet, this asks the model and takes as long as that says.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, Protocol

from dhcp_failover_exporter.simulator.documents import (
    json_text,
    lease_seconds,
    seconds_or_none,
    text_list,
    text_or_none,
    texts,
    utc_text,
)
from dhcp_failover_exporter.simulator.windows.cmdlets import (
    CURRENT_VERSION_KEY,
    POLICIES_KEY,
    Cmdlets,
    Output,
    Record,
)
from dhcp_failover_exporter.simulator.windows.configuration import FAILOVER_RULES
from dhcp_failover_exporter.simulator.windows.errors import Category, CmdletError
from dhcp_failover_exporter.simulator.windows.events import ADMIN, OPERATIONAL
from dhcp_failover_exporter.simulator.windows.network import FAILOVER_PORT
from dhcp_failover_exporter.simulator.windows.server import DhcpServer

COMMAND: Final = "Get-DhcpFailoverSnapshot"
RECORDS_PER_DOCUMENT: Final = 1000
EVENTS_PER_CALL: Final = 500
PORT_SECONDS: Final = 4.0
CONFIGURATION_CHANGES: Final = (*range(70, 85), *range(105, 108), 116, 119, 120, *range(20220, 20240))

Content = dict[str, object]


class Account(Protocol):
    """Whose rights count."""

    @property
    def username(self) -> str:
        """As it logs on."""
        ...


class Endpoint(Protocol):
    """The session configuration that the command runs in."""

    @property
    def language(self) -> str:
        """Language mode."""
        ...


class Stopped(Protocol):
    """Whether the client still wants the answer."""

    def wait(self, timeout: float) -> bool:
        """True as soon as it does not."""
        ...


class Caller(Protocol):
    """On whose behalf a command runs."""

    @property
    def account(self) -> Account:
        """Whose rights count."""
        ...

    @property
    def endpoint(self) -> Endpoint:
        """Where it runs."""
        ...

    @property
    def shell_id(self) -> str:
        """The first call in a new shell may be slow."""
        ...

    @property
    def stopped(self) -> Stopped:
        """Set when the client no longer wants the answer."""
        ...


class _StoppedError(Exception):
    """The client no longer wants the answer."""


class Collector:
    """A simulated server as a machine that runs the function; `sleep` replaces waiting on the real clock."""

    def __init__(self, server: DhcpServer, sleep: Callable[[float], object] | None = None) -> None:
        self.server = server
        self.sleep = sleep

    def invoke(self, command: str, parameters: Mapping[str, object], caller: Caller) -> Iterator[str]:
        """Run `Get-DhcpFailoverSnapshot -Section .. -ScopeId .. -AfterEvent ..`; yields its documents."""
        if command.lower() != COMMAND.lower():
            message = f"The term '{command}' is not recognized as the name of a cmdlet or function."
            raise CmdletError("CommandNotFoundException", Category.ObjectNotFound, message)
        cmdlets = Cmdlets(self.server, caller.account.username, caller.shell_id)
        run = _Run(cmdlets, self._pause(caller), _language(caller.endpoint.language))
        after = int(str(parameters.get("AfterEvent", -1)))
        try:
            yield from run.snapshot(texts(parameters.get("Section")), texts(parameters.get("ScopeId")), after)
        except _StoppedError:
            return

    def _pause(self, caller: Caller) -> Callable[[float], None]:
        def pause(seconds: float) -> None:
            if self.sleep is not None:
                self.sleep(seconds)
            elif caller.stopped.wait(seconds):
                raise _StoppedError

        return pause


def _language(mode: str) -> str:
    """A function of a JEA endpoint runs in full language, whatever its caller may use."""
    return "FullLanguage" if mode == "NoLanguage" else mode


# Errors


def _failure(error: CmdletError) -> Record:
    return {
        "id": text_or_none(error.fully_qualified_error_id),
        "category": error.category,
        "message": text_or_none(error.message),
    }


def _item_failure(error: CmdletError, item: str | None) -> Record:
    return {"item": item, **_failure(error)}


def _silence(item: str, error_id: str) -> Record:
    return {
        "item": item,
        "id": error_id,
        "category": "ObjectNotFound",
        "message": f"{item} answered nothing: there is nothing, or nothing that this account may read.",
    }


def _scope_failure(error: CmdletError) -> Record:
    named = re.search(r"\b\d{1,3}(\.\d{1,3}){3}\b", error.message)
    return _item_failure(error, named.group() if named else None)


def _has_code(error: CmdletError, *codes: str) -> bool:
    return error.fully_qualified_error_id.split(",")[0] in codes


def _scope_failures(records: Sequence[Record], failures: Sequence[CmdletError]) -> list[Record]:
    nothing_read = not records
    errors = []
    for error in failures:
        vanished = _has_code(error, "DHCP 20005")
        if nothing_read and not vanished:
            raise error
        errors.append(_scope_failure(error))
    return errors


# Records of single objects


def _performance_counter(instance: Record, pattern: str) -> object:
    names = (name for name in instance if fnmatchcase(name.lower(), pattern.lower()))
    return instance.get(next(names, ""))


def _covers_failover_port(local_port: object) -> bool:
    for port in texts(local_port):
        span = re.fullmatch(r"(\d+)-(\d+)", port)
        if port == str(FAILOVER_PORT) or (span and int(span[1]) <= FAILOVER_PORT <= int(span[2])):
            return True
    return False


def _any_port_block(rule: Record, local_port: object) -> bool:
    return (
        local_port == "Any"
        and rule["Enabled"] == "True"
        and rule["Direction"] == "Inbound"
        and rule["Action"] == "Block"
    )


def _firewall_record(name: str, rule: Record | None, local_port: object) -> Record:
    known = rule or {}
    return {
        "Name": name,
        "Present": rule is not None,
        "Enabled": rule["Enabled"] == "True" if rule is not None else None,
        "Direction": text_or_none(known.get("Direction")),
        "Action": text_or_none(known.get("Action")),
        "Profile": text_or_none(known.get("Profile")),
        "LocalPort": text_list(local_port),
        "PolicyStoreSourceType": text_or_none(known.get("PolicyStoreSourceType")),
    }


def _event_record(record: Record) -> Record:
    return {
        "RecordId": record["RecordId"],
        "Id": record["Id"],
        "TimeCreated": utc_text(record["TimeCreated"]),
        "Level": record["Level"],
        "Properties": texts(record["Properties"]),
    }


def _option_record(option: Record) -> Record:
    return {
        "OptionId": option["OptionId"],
        "Type": text_or_none(option["Type"]),
        "Value": text_list(option["Value"]),
        "VendorClass": text_or_none(option["VendorClass"]),
        "UserClass": text_or_none(option["UserClass"]),
        "PolicyName": text_or_none(option["PolicyName"]),
    }


def _range_record(span: Record) -> Record:
    return {"StartRange": text_or_none(span["StartRange"]), "EndRange": text_or_none(span["EndRange"])}


def _scope_property(scope: Record) -> Record:
    return {
        "Name": text_or_none(scope["Name"]),
        "Description": text_or_none(scope["Description"]),
        "SubnetMask": text_or_none(scope["SubnetMask"]),
        "StartRange": text_or_none(scope["StartRange"]),
        "EndRange": text_or_none(scope["EndRange"]),
        "SuperscopeName": text_or_none(scope["SuperscopeName"]),
        "State": text_or_none(scope["State"]),
        "Type": text_or_none(scope["Type"]),
        "LeaseDuration": lease_seconds(scope["LeaseDuration"]),
        "Delay": scope["Delay"],
        "MaxBootpClients": scope["MaxBootpClients"],
        "ActivatePolicies": scope["ActivatePolicies"],
        "NapEnable": scope["NapEnable"],
        "NapProfile": text_or_none(scope["NapProfile"]),
    }


@dataclass
class _Run:
    """One invocation: the cmdlets of the server as the caller may use them."""

    cmdlets: Cmdlets
    pause: Callable[[float], None]
    language: str

    def snapshot(self, sections: Sequence[str], scope_ids: Sequence[str], after_event: int) -> Iterator[str]:
        self.entered = self.cmdlets.utc_now()
        self.scope_ids = scope_ids
        self.after_event = after_event
        for name in sections:
            started = self.cmdlets.utc_now()
            try:
                content = self.section_content(name)
            except CmdletError as error:
                content = {"error": _failure(error)}
            seconds = (self.cmdlets.utc_now() - started).total_seconds()
            yield from self.documents(name, content, seconds)

    # -ErrorAction Stop, and -ErrorAction SilentlyContinue -ErrorVariable failures

    def stop(self, output: Output) -> list[Record]:
        self.pause(output.seconds)
        if output.errors:
            raise output.errors[0]
        return output.records

    def quiet(self, output: Output) -> tuple[list[Record], list[CmdletError]]:
        self.pause(output.seconds)
        return list(output.records), list(output.errors)

    # Sections

    def windows_version(self) -> str:
        version = self.stop(self.cmdlets.get_item_property(CURRENT_VERSION_KEY))[0]
        names = ("CurrentMajorVersionNumber", "CurrentMinorVersionNumber", "CurrentBuildNumber", "UBR")
        return ".".join(str(version[name]) for name in names)

    def server_section(self) -> Content:
        errors = []
        os_version: str | None = None
        try:
            os_version = self.windows_version()
        except CmdletError as error:
            errors.append(_item_failure(error, "OSVersion"))
        status: object = None
        try:
            status = self.stop(self.cmdlets.get_service())[0]["Status"]
        except CmdletError as error:
            errors.append(_item_failure(error, "ServiceStatus"))
        data = {
            "ComputerName": self.cmdlets.computer_name,
            "OSVersion": os_version,
            "PSVersion": self.cmdlets.ps_version,
            "LanguageMode": self.language,
            "ServiceStatus": text_or_none(status),
            "UtcNow": utc_text(self.entered),
        }
        return {"data": data, "errors": errors}

    def relationship(self) -> list[Record]:
        try:
            return self.stop(self.cmdlets.get_dhcp_server_v4_failover())
        except CmdletError as error:
            if not _has_code(error, "WIN32 259", "DHCP 20115", "DHCP 20116"):
                raise
            return []

    def relationship_section(self) -> Content:
        data = [
            {
                "Name": text_or_none(relationship["Name"]),
                "PartnerServer": text_or_none(relationship["PartnerServer"]),
                "Mode": text_or_none(relationship["Mode"]),
                "State": text_or_none(relationship["State"]),
                "ServerRole": text_or_none(relationship["ServerRole"]),
                "ServerType": text_or_none(relationship["ServerType"]),
                "PrimaryServerName": text_or_none(relationship["PrimaryServerName"]),
                "SecondaryServerName": text_or_none(relationship["SecondaryServerName"]),
                "PrimaryServerIP": text_or_none(relationship["PrimaryServerIP"]),
                "SecondaryServerIP": text_or_none(relationship["SecondaryServerIP"]),
                "LoadBalancePercent": relationship["LoadBalancePercent"],
                "ReservePercent": relationship["ReservePercent"],
                "MaxClientLeadTime": seconds_or_none(relationship["MaxClientLeadTime"]),
                "StateSwitchInterval": seconds_or_none(relationship["StateSwitchInterval"]),
                "AutoStateTransition": relationship["AutoStateTransition"],
                "EnableAuth": relationship["EnableAuth"],
                "ScopeId": text_list(relationship["ScopeId"]),
            }
            for relationship in self.relationship()
        ]
        return {"data": data, "errors": []}

    def partner_address(self, relationship: Record) -> str:
        is_primary = relationship["ServerType"] == "PrimaryServer"
        address = relationship["SecondaryServerIP" if is_primary else "PrimaryServerIP"]
        return str(address or relationship["PartnerServer"])

    def port_section(self) -> Content:
        partners: dict[str, tuple[str, str]] = {}
        for relationship in self.relationship():
            partner = str(relationship["PartnerServer"])
            spelled = partners.get(partner.lower(), (partner, ""))[0]
            partners[partner.lower()] = (spelled, self.partner_address(relationship))
        if partners and self.language == "ConstrainedLanguage":
            refusal = "MethodInvocationNotSupportedInConstrainedLanguage"
            raise CmdletError(refusal, Category.InvalidOperation, "Cannot invoke method.")
        connections = [(name, address, self.cmdlets.connect(address)) for name, address in partners.values()]
        data: list[Record] = []
        waited = 0.0
        for name, address, connection in sorted(connections, key=lambda each: each[2].seconds):
            seconds = min(connection.seconds, PORT_SECONDS)
            self.pause(seconds - waited)
            waited = seconds
            failure = "TimedOut" if connection.seconds > PORT_SECONDS else connection.error
            data.append(
                {
                    "PartnerServer": name,
                    "Address": address,
                    "Port": FAILOVER_PORT,
                    "Reachable": failure is None,
                    "Seconds": seconds,
                    "Error": failure,
                }
            )
        return {"data": data, "errors": []}

    def scope_section(self) -> Content:
        scopes, failures = self.quiet(self.cmdlets.get_dhcp_server_v4_scope(self.scope_ids))
        errors = _scope_failures(scopes, failures)
        data = [
            {
                "ScopeId": text_or_none(scope["ScopeId"]),
                "SubnetMask": text_or_none(scope["SubnetMask"]),
                "Name": text_or_none(scope["Name"]),
                "State": text_or_none(scope["State"]),
                "SuperscopeName": text_or_none(scope["SuperscopeName"]),
                "LeaseDuration": lease_seconds(scope["LeaseDuration"]),
                "StartRange": text_or_none(scope["StartRange"]),
                "EndRange": text_or_none(scope["EndRange"]),
            }
            for scope in scopes
        ]
        return {"data": data, "errors": errors}

    def statistic_section(self) -> Content:
        statistics, failures = self.quiet(
            self.cmdlets.get_dhcp_server_v4_scope_statistics(self.scope_ids, failover=True)
        )
        outside = [failure for failure in failures if _has_code(failure, "DHCP 20116")]
        failures = [failure for failure in failures if failure not in outside]
        if not statistics or outside:
            known = {statistic["ScopeId"] for statistic in statistics}
            plain, plain_failures = self.quiet(
                self.cmdlets.get_dhcp_server_v4_scope_statistics(self.scope_ids)
            )
            statistics += [statistic for statistic in plain if statistic["ScopeId"] not in known]
            failures = failures or plain_failures
        errors = _scope_failures(statistics, failures)
        data = [
            {
                "ScopeId": text_or_none(statistic["ScopeId"]),
                "AddressesFree": statistic["AddressesFree"],
                "AddressesInUse": statistic["AddressesInUse"],
                "PendingOffers": statistic["PendingOffers"],
                "ReservedAddress": statistic["ReservedAddress"],
                "PercentageInUse": statistic["PercentageInUse"],
                "AddressesFreeOnThisServer": statistic["AddressesFreeOnThisServer"],
                "AddressesFreeOnPartnerServer": statistic["AddressesFreeOnPartnerServer"],
                "AddressesInUseOnThisServer": statistic["AddressesInUseOnThisServer"],
                "AddressesInUseOnPartnerServer": statistic["AddressesInUseOnPartnerServer"],
            }
            for statistic in statistics
        ]
        return {"data": data, "errors": errors}

    def counter_section(self) -> Content:
        errors: list[Record] = []
        statistics: Record | None = None
        performance: Record | None = None
        class_name = "Win32_PerfRawData_dhcpserver_DHCPServer"
        try:
            statistics = next(iter(self.stop(self.cmdlets.get_dhcp_server_v4_statistics())), None)
            if statistics is None:
                errors.append(_silence("Get-DhcpServerv4Statistics", "NoAnswer"))
        except CmdletError as error:
            errors.append(_item_failure(error, "Get-DhcpServerv4Statistics"))
        try:
            performance = next(iter(self.stop(self.cmdlets.get_cim_instance())), None)
            if performance is None:
                errors.append(_silence(class_name, "NoInstance"))
        except CmdletError as error:
            errors.append(_item_failure(error, class_name))
        if statistics is None and performance is None:
            return {"error": {key: errors[0][key] for key in ("id", "category", "message")}}
        served, exchanged = statistics or {}, performance or {}
        data = {
            "ServerStartTime": utc_text(served.get("ServerStartTime")),
            "Discovers": served.get("Discovers"),
            "Offers": served.get("Offers"),
            "Requests": served.get("Requests"),
            "Acks": served.get("Acks"),
            "Naks": served.get("Naks"),
            "Declines": served.get("Declines"),
            "Releases": served.get("Releases"),
            "BndUpdSent": exchanged.get("FailoverBndUpdsentPersec"),
            "BndUpdReceived": exchanged.get("FailoverBndUpdreceivedPersec"),
            "BndUpdPending": exchanged.get("FailoverBndUpdpendinginoutboundqueue"),
            "BndUpdDropped": exchanged.get("FailoverBndUpdDropped"),
            "BndAckSent": exchanged.get("FailoverBndAcksentPersec"),
            "BndAckReceived": exchanged.get("FailoverBndAckreceivedPersec"),
            "TransitionsCommunicationInterrupted": _performance_counter(
                exchanged, "Failover*COMMUNICATION*INTERRUPTED*"
            ),
            "TransitionsPartnerDown": _performance_counter(exchanged, "Failover*PARTNER*DOWN*"),
            "TransitionsRecover": _performance_counter(exchanged, "Failover*RECOVER*"),
        }
        return {"data": data, "errors": errors}

    def channel_record(self, channel: str = ADMIN, **query: Any) -> list[Record]:
        try:
            return self.stop(self.cmdlets.get_win_event(channel, **query))
        except CmdletError as error:
            if not error.fully_qualified_error_id.startswith("NoMatchingEventsFound,"):
                raise
            return []

    def failover_event(self, max_events: int) -> list[Record]:
        if self.after_event >= 0:
            return self.channel_record(
                ids=range(20251, 20293), after=self.after_event, max_events=max_events + 1, oldest=True
            )
        return self.channel_record(ids=(20251, 20252, 20259, 20260), max_events=50)[::-1]

    def configuration_change(self) -> list[Record]:
        return self.channel_record(OPERATIONAL, ids=CONFIGURATION_CHANGES, max_events=50)[::-1]

    def event_section(self) -> Content:
        newest = self.channel_record(max_events=1)
        oldest = self.channel_record(max_events=1, oldest=True)
        records = self.failover_event(EVENTS_PER_CALL)
        events = [_event_record(record) for record in records[:EVENTS_PER_CALL]]
        errors: list[Record] = []
        changes: list[Record] | None = None
        try:
            changes = [_event_record(record) for record in self.configuration_change()]
        except CmdletError as error:
            errors.append(_item_failure(error, "Changes"))
        data = {
            "NewestRecordId": newest[0]["RecordId"] if newest else None,
            "OldestRecordId": oldest[0]["RecordId"] if oldest else None,
            "OldestTimeCreated": utc_text(oldest[0]["TimeCreated"]) if oldest else None,
            "More": len(records) > EVENTS_PER_CALL,
            "Events": events,
            "Changes": changes,
        }
        return {"data": data, "errors": errors}

    def powershell_policy(self, policy: str, name: str) -> bool:
        try:
            values = self.stop(self.cmdlets.get_item_property(f"{POLICIES_KEY}\\{policy}"))[0]
        except CmdletError as error:
            if error.category == "ObjectNotFound":
                return False
            raise
        return values[name] == 1

    def setting_section(self) -> Content:
        errors = []
        setting: Record = {"IsDomainJoined": None, "IsAuthorized": None}
        transcription: bool | None = None
        module_logging: bool | None = None
        try:
            setting = self.stop(self.cmdlets.get_dhcp_server_setting())[0]
        except CmdletError as error:
            errors.append(_item_failure(error, "IsAuthorized"))
        try:
            transcription = self.powershell_policy("Transcription", "EnableTranscripting")
        except CmdletError as error:
            errors.append(_item_failure(error, "Transcription"))
        try:
            module_logging = self.powershell_policy("ModuleLogging", "EnableModuleLogging")
        except CmdletError as error:
            errors.append(_item_failure(error, "ModuleLogging"))
        data = {
            "IsDomainJoined": setting["IsDomainJoined"],
            "IsAuthorized": setting["IsAuthorized"],
            "Transcription": transcription,
            "ModuleLogging": module_logging,
        }
        return {"data": data, "errors": errors}

    def disabled_rule(self, name: str) -> Record | None:
        rules, _ = self.quiet(self.cmdlets.get_net_firewall_rule("PersistentStore", name))
        return next((rule for rule in rules if rule["Enabled"] == "False"), None)

    def unlimited_rule(self) -> set[object]:
        unlimited = {
            each["InstanceID"]
            for each in self.stop(self.cmdlets.get_net_firewall_application_filter())
            if each["Program"] == "Any" and not each["Package"]
        }
        limited = {
            each["InstanceID"]
            for each in self.stop(self.cmdlets.get_net_firewall_address_filter())
            if each["LocalAddress"] != "Any" or each["RemoteAddress"] != "Any"
        }
        return unlimited - limited

    def blocking_rule(self, rules: Sequence[Record], filters: Mapping[object, object]) -> set[object]:
        suspects = {
            rule["InstanceID"] for rule in rules if _any_port_block(rule, filters.get(rule["InstanceID"]))
        }
        return suspects & self.unlimited_rule() if suspects else set()

    def firewall_section(self) -> Content:
        filters = {
            each["InstanceID"]: each["LocalPort"]
            for each in self.stop(self.cmdlets.get_net_firewall_port_filter())
            if each["Protocol"] in {"TCP", "6", "Any"}
        }
        rules = self.stop(self.cmdlets.get_net_firewall_rule())
        blocking = self.blocking_rule(rules, filters)
        data = []
        found = set()
        for rule in rules:
            ports = filters.get(rule["InstanceID"])
            counts = rule["Name"] in FAILOVER_RULES or rule["InstanceID"] in blocking
            if counts or _covers_failover_port(ports):
                found.add(rule["Name"])
                data.append(_firewall_record(str(rule["Name"]), rule, ports))
        data += [
            _firewall_record(name, self.disabled_rule(name), None)
            for name in FAILOVER_RULES
            if name not in found
        ]
        return {"data": data, "errors": []}

    def option_value(self, scope_id: str | None = None) -> list[Record]:
        try:
            options = self.stop(self.cmdlets.get_dhcp_server_v4_option_value(scope_id))
        except CmdletError as error:
            if not _has_code(error, "DHCP 20010"):
                raise
            return []
        return [_option_record(option) for option in options]

    def scope_reservation(self, scope_id: str) -> list[Record]:
        return [
            {
                "IPAddress": text_or_none(reservation["IPAddress"]),
                "ClientId": text_or_none(reservation["ClientId"]),
                "Name": text_or_none(reservation["Name"]),
                "Description": text_or_none(reservation["Description"]),
                "Type": text_or_none(reservation["Type"]),
            }
            for reservation in self.stop(self.cmdlets.get_dhcp_server_v4_reservation(scope_id))
        ]

    def scope_policy(self, scope_id: str) -> list[Record]:
        policies = self.stop(self.cmdlets.get_dhcp_server_v4_policy(scope_id))
        if not policies:
            return []
        ranges = self.stop(self.cmdlets.get_dhcp_server_v4_policy_ip_range(scope_id))
        return [
            {
                "Name": text_or_none(policy["Name"]),
                "Enabled": policy["Enabled"],
                "ProcessingOrder": policy["ProcessingOrder"],
                "Condition": text_or_none(policy["Condition"]),
                "Description": text_or_none(policy["Description"]),
                "VendorClass": text_list(policy["VendorClass"]),
                "UserClass": text_list(policy["UserClass"]),
                "MacAddress": text_list(policy["MacAddress"]),
                "ClientId": text_list(policy["ClientId"]),
                "Fqdn": text_list(policy["Fqdn"]),
                "RelayAgent": text_list(policy["RelayAgent"]),
                "CircuitId": text_list(policy["CircuitId"]),
                "RemoteId": text_list(policy["RemoteId"]),
                "SubscriberId": text_list(policy["SubscriberId"]),
                "Ranges": [_range_record(each) for each in ranges if each["Name"] == policy["Name"]],
            }
            for policy in policies
        ]

    def scope_configuration(
        self, scope: Record, exclusions: list[Record] | None
    ) -> tuple[Record, list[Record]]:
        scope_id = str(scope["ScopeId"])
        failures: list[CmdletError] = []
        parts: list[list[Record] | None] = []
        for read in (self.option_value, self.scope_reservation, self.scope_policy):
            try:
                parts.append(read(scope_id))
            except CmdletError as error:
                parts.append(None)
                failures.append(error)
        data: Record = {
            "ScopeId": scope_id,
            "Scope": _scope_property(scope),
            "Options": parts[0],
            "Reservations": parts[1],
            "Exclusions": exclusions,
            "Policies": parts[2],
        }
        return data, [_item_failure(failure, scope_id) for failure in failures]

    def exclusion_table(self, scope_ids: Sequence[str]) -> dict[str, list[Record]]:
        table: dict[str, list[Record]] = {scope_id: [] for scope_id in scope_ids}
        for exclusion in self.stop(self.cmdlets.get_dhcp_server_v4_exclusion_range(scope_ids)):
            table[str(exclusion["ScopeId"])].append(_range_record(exclusion))
        return table

    def configuration_section(self) -> Content:
        scope_ids = list(self.scope_ids)
        if not scope_ids:
            scope_ids = [scope for each in self.relationship() for scope in text_list(each["ScopeId"])]
        data: list[Record] = []
        errors: list[Record] = []
        try:
            data.append({"ServerOptions": self.option_value()})
        except CmdletError as error:
            errors.append(_item_failure(error, "ServerOptions"))
        if not scope_ids:
            return {"data": data, "errors": errors}
        scopes, failures = self.quiet(self.cmdlets.get_dhcp_server_v4_scope(scope_ids))
        errors += _scope_failures(scopes, failures)
        exclusions: dict[str, list[Record]] = {}
        existing = [str(scope["ScopeId"]) for scope in scopes]
        try:
            exclusions = self.exclusion_table(existing) if existing else {}
        except CmdletError as error:
            errors.append(_item_failure(error, "Exclusions"))
        for scope in scopes:
            configuration, missing = self.scope_configuration(scope, exclusions.get(str(scope["ScopeId"])))
            data.append(configuration)
            errors += missing
        return {"data": data, "errors": errors}

    def unknown_section(self, name: str) -> Content:
        error = {
            "id": "UnknownSection",
            "category": "InvalidArgument",
            "message": f"This version knows no section '{name}'.",
        }
        return {"error": error}

    # Documents

    def section_content(self, name: str) -> Content:
        sections = {
            "server": self.server_section,
            "relationships": self.relationship_section,
            "ports": self.port_section,
            "scopes": self.scope_section,
            "statistics": self.statistic_section,
            "counters": self.counter_section,
            "events": self.event_section,
            "settings": self.setting_section,
            "firewall": self.firewall_section,
            "configuration": self.configuration_section,
        }
        return sections[name]() if name in sections else self.unknown_section(name)

    def documents(self, name: str, content: Content, seconds: float) -> Iterator[str]:
        data = content.get("data")
        parts = max(1, -(-len(data) // RECORDS_PER_DOCUMENT)) if isinstance(data, list) else 1
        for part in range(1, parts + 1):
            document: Content = {
                "contract": 1,
                "section": name,
                "part": part,
                "parts": parts,
                "elapsed": seconds,
            }
            document["utc"] = utc_text(self.cmdlets.utc_now())
            if "error" in content:
                document["error"] = content["error"]
            else:
                document["data"] = data
                if isinstance(data, list) and parts > 1:
                    first = (part - 1) * RECORDS_PER_DOCUMENT
                    document["data"] = data[first : first + RECORDS_PER_DOCUMENT]
                document["errors"] = content["errors"] if part == 1 else []
            yield json_text(document)
