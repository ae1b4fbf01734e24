"""The twin of collector/Get-DhcpFailoverSnapshot.ps1: the same documents, from the simulated server.

It follows the script part by part, under the script's own names, so that the two can be read side by side and
a test can compare them. Where the script calls a cmdlet, this asks the model and takes as long as that says.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, Protocol

from dhcp_failover_exporter.simulator.windows.cmdlets import (
    CURRENT_VERSION_KEY,
    POLICIES_KEY,
    Cmdlets,
    Output,
    Record,
)
from dhcp_failover_exporter.simulator.windows.errors import Category, CmdletError
from dhcp_failover_exporter.simulator.windows.network import FAILOVER_PORT
from dhcp_failover_exporter.simulator.windows.server import DhcpServer

COMMAND: Final = "Get-DhcpFailoverSnapshot"
RECORDS_PER_DOCUMENT: Final = 1000
PORT_SECONDS: Final = 4.0

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
        after = parameters.get("AfterEvent")
        try:
            yield from run.snapshot(
                _texts(parameters.get("Section")),
                _texts(parameters.get("ScopeId")),
                None if after is None else int(str(after)),
            )
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


def _texts(value: object) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]


# JSON


def json_string(text: str) -> str:
    """ConvertTo-JsonString: what is not plain ASCII becomes an escape per UTF-16 unit."""
    escaped = re.sub(r"[^ !#-\[\]-~]", lambda match: _units(match.group()), text)
    return f'"{escaped}"'


def _units(character: str) -> str:
    raw = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[n] << 8 | raw[n + 1]:04x}" for n in range(0, len(raw), 2))


def json_number(number: float) -> str:
    """ConvertTo-JsonNumber: at most six decimals, no exponent, null for NaN."""
    decimal = Decimal(repr(number))
    if not decimal.is_finite():
        return "null"
    text = f"{decimal.quantize(Decimal('0.000001'), ROUND_HALF_UP):f}".rstrip("0").rstrip(".")
    return "0" if text in {"", "-0"} else text


def json_text(value: object) -> str:
    """ConvertTo-JsonText."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return json_string(value)
    if isinstance(value, dict):
        return "{" + ",".join(f'"{name}":{json_text(item)}' for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(json_text, value)) + "]"
    if isinstance(value, int):
        return str(value)
    return json_number(float(str(value)))


# Typed values


def _text(value: object) -> str | None:
    return None if value in {None, ""} else str(value)


def _text_list(value: object) -> list[str]:
    return [text for text in _texts(value) if text]


def _second(duration: object) -> float | None:
    return duration.total_seconds() if isinstance(duration, timedelta) else None


def _lease_second(duration: object) -> float | None:
    seconds = _second(duration)
    return None if seconds is None or seconds < 0 or seconds >= 4_294_967_295 else seconds  # noqa: PLR2004 - unlimited


def _utc_text(time: object) -> str | None:
    return f"{time:%Y-%m-%dT%H:%M:%S.%f}0Z" if isinstance(time, datetime) else None


# Errors


def _failure(error: CmdletError) -> Record:
    return {
        "id": _text(error.fully_qualified_error_id),
        "category": error.category,
        "message": _text(error.message),
    }


def _item_failure(error: CmdletError, item: str | None) -> Record:
    return {"item": item, **_failure(error)}


def _scope_failure(error: CmdletError) -> Record:
    named = re.search(r"\b\d{1,3}(\.\d{1,3}){3}\b", error.message)
    return _item_failure(error, named.group() if named else None)


def _has_code(error: CmdletError, *codes: str) -> bool:
    return error.fully_qualified_error_id.split(",")[0] in codes


def _assert_something_read(records: Sequence[Record], failures: Sequence[CmdletError]) -> None:
    for error in failures:
        if not records and not _has_code(error, "DHCP 20005"):
            raise error


@dataclass
class _Run:
    """One invocation: the cmdlets of the server as the caller may use them."""

    cmdlets: Cmdlets
    pause: Callable[[float], None]
    language: str

    def snapshot(
        self, sections: Sequence[str], scope_ids: Sequence[str], after_event: int | None
    ) -> Iterator[str]:
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
            "ServiceStatus": _text(status),
            "UtcNow": _utc_text(self.entered),
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
                "Name": _text(relationship["Name"]),
                "PartnerServer": _text(relationship["PartnerServer"]),
                "Mode": _text(relationship["Mode"]),
                "State": _text(relationship["State"]),
                "ServerRole": _text(relationship["ServerRole"]),
                "ServerType": _text(relationship["ServerType"]),
                "PrimaryServerName": _text(relationship["PrimaryServerName"]),
                "SecondaryServerName": _text(relationship["SecondaryServerName"]),
                "PrimaryServerIP": _text(relationship["PrimaryServerIP"]),
                "SecondaryServerIP": _text(relationship["SecondaryServerIP"]),
                "LoadBalancePercent": relationship["LoadBalancePercent"],
                "ReservePercent": relationship["ReservePercent"],
                "MaxClientLeadTime": _second(relationship["MaxClientLeadTime"]),
                "StateSwitchInterval": _second(relationship["StateSwitchInterval"]),
                "AutoStateTransition": relationship["AutoStateTransition"],
                "EnableAuth": relationship["EnableAuth"],
                "ScopeId": _text_list(relationship["ScopeId"]),
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
        _assert_something_read(scopes, failures)
        data = [
            {
                "ScopeId": _text(scope["ScopeId"]),
                "SubnetMask": _text(scope["SubnetMask"]),
                "Name": _text(scope["Name"]),
                "State": _text(scope["State"]),
                "SuperscopeName": _text(scope["SuperscopeName"]),
                "LeaseDuration": _lease_second(scope["LeaseDuration"]),
                "StartRange": _text(scope["StartRange"]),
                "EndRange": _text(scope["EndRange"]),
            }
            for scope in scopes
        ]
        return {"data": data, "errors": [_scope_failure(failure) for failure in failures]}

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
        _assert_something_read(statistics, failures)
        data = [
            {
                "ScopeId": _text(statistic["ScopeId"]),
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
        return {"data": data, "errors": [_scope_failure(failure) for failure in failures]}

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
            "settings": self.setting_section,
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
            document["utc"] = _utc_text(self.cmdlets.utc_now())
            if "error" in content:
                document["error"] = content["error"]
            else:
                document["data"] = data
                if isinstance(data, list) and parts > 1:
                    first = (part - 1) * RECORDS_PER_DOCUMENT
                    document["data"] = data[first : first + RECORDS_PER_DOCUMENT]
                document["errors"] = content["errors"] if part == 1 else []
            yield json_text(document)
