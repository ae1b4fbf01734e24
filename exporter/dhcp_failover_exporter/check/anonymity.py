"""Which words of a server may stand in a report that leaves the house: those of closed lists. Pure.

Everything else may name somebody, error ids too: PowerShell's `throw "text"` makes the text the id.
"""

import re
from collections.abc import Collection
from typing import Final

from dhcp_failover_exporter.collector import FUNCTION_NAME, SOURCE
from dhcp_failover_exporter.errors import REASONS
from dhcp_failover_exporter.failover import STATES, folded

OTHER: Final = "other"
"""Stands for what may not be told."""

CMDLETS: Final = frozenset(re.findall(r"\b[A-Z][\w.]*\\([A-Z][a-z]+-\w+)", SOURCE))
"""What the collector's function calls, always with its module."""

_COMMANDS: Final = CMDLETS | {FUNCTION_NAME}
# Compiled cmdlets put the name of their class after the comma: GetWinEventCommand for Get-WinEvent.
_CLASSES: Final = frozenset(
    f"{namespace}.{cmdlet.replace('-', '')}Command"
    for namespace in ("Microsoft.PowerShell.Commands", "Microsoft.Management.Infrastructure.CimCmdlets")
    for cmdlet in CMDLETS
)
_CODE: Final = re.compile(r"(WIN32|DHCP|HRESULT|Windows System Error) (0x[0-9A-Fa-f]{1,8}|[0-9]{1,10})")
_VERSION: Final = re.compile(r"[0-9]{1,5}(\.[0-9]{1,5}){1,3}")

# What may go wrong in a call, by who says so.
_IDS: Final = frozenset(
    {
        # the collector's own
        "NoAnswer", "NoInstance", "UnknownSection",
        # PowerShell's engine
        "CommandNotFoundException", "CouldNotAutoLoadModule", "CouldNotAutoloadMatchingModule",
        "ScriptsNotAllowed", "PipelineStopped", "RuntimeException", "TypeNotFound", "MethodNotFound",
        "InvokeMethodOnNull", "MethodException", "PropertyNotFound", "NullArray",
        "MethodInvocationNotSupportedInConstrainedLanguage", "CannotCreateTypeConstrainedLanguage",
        # its binder of parameters
        "ParameterBindingFailed", "ParameterArgumentValidationError",
        "ParameterArgumentTransformationError", "NamedParameterNotFound", "PositionalParameterNotFound",
        "MissingMandatoryParameter", "AmbiguousParameterSet", "CannotConvertArgument",
        "CannotConvertArgumentNoMessage",
        # the cmdlets that are called
        "PathNotFound", "NoServiceFoundForGivenName", "CouldNotGetServiceInfo", "CouldNotOpenService",
        "NoMatchingLogsFound", "NoMatchingEventsFound", "LogInfoUnavailable",
        "CmdletizationQuery_NotFound", "CmdletizationQuery_NotFound_InstanceID",
        # .NET
        "SocketException", "FormatException", "ArgumentException", "InvalidOperationException",
        "UnauthorizedAccessException", "System.ArgumentException", "System.InvalidOperationException",
        "System.UnauthorizedAccessException", "System.OutOfMemoryException", "System.TimeoutException",
        "System.Security.SecurityException", "System.Runtime.InteropServices.COMException",
        "System.Diagnostics.Eventing.Reader.EventLogException",
        "System.Diagnostics.Eventing.Reader.EventLogNotFoundException",
    }
)  # fmt: skip

# https://learn.microsoft.com/en-us/dotnet/api/system.management.automation.errorcategory
_CATEGORIES: Final = frozenset(
    {
        "NotSpecified", "OpenError", "CloseError", "DeviceError", "DeadlockDetected", "InvalidArgument",
        "InvalidData", "InvalidOperation", "InvalidResult", "InvalidType", "MetadataError",
        "NotImplemented", "NotInstalled", "ObjectNotFound", "OperationStopped", "OperationTimeout",
        "SyntaxError", "ParserError", "PermissionDenied", "ResourceBusy", "ResourceExists",
        "ResourceUnavailable", "ReadError", "WriteError", "FromStdErr", "SecurityError",
        "ProtocolError", "ConnectionError", "AuthenticationError", "LimitsExceeded", "QuotaExceeded",
        "NotEnabled",
    }
)  # fmt: skip

LANGUAGE_MODES: Final = ("FullLanguage", "RestrictedLanguage", "NoLanguage", "ConstrainedLanguage")
FAILOVER_WORDS: Final = (
    *STATES,
    "LoadBalance",
    "HotStandby",
    "PrimaryServer",
    "SecondaryServer",
    "Active",
    "Standby",
)
"""Mode, type, role and state of a relationship."""
SCOPE_STATES: Final = (
    "Active", "Inactive", "Enabled", "Disabled", "EnabledSwitched", "DisabledSwitched", "InvalidState",
)  # fmt: skip
"""As cmdlets and DHCP_SUBNET_STATE have them."""


def error_id(text: str | None) -> str | None:
    """A FullyQualifiedErrorId; code or id, and the command after the comma, are told where they are known."""
    if not text:
        return None
    what, comma, where = text.partition(",")
    known = what in _IDS or _CODE.fullmatch(what)
    return (what if known else OTHER) + comma + (where if where in {"", *_COMMANDS, *_CLASSES} else OTHER)


def category(text: str | None) -> str | None:
    """PowerShell's category of an error, or the reason of a failed call."""
    return (text if text in _CATEGORIES or text in REASONS else OTHER) if text else None


def word(text: str | None, known: Collection[str]) -> str | None:
    """A word as the server spells it, if it is one of these but for case, spaces, hyphens and underscores."""
    return (text if folded(text) in set(map(folded, known)) else OTHER) if text else None


def version(text: str | None) -> str | None:
    """A version: figures and dots."""
    return (text if _VERSION.fullmatch(text) else OTHER) if text else None
