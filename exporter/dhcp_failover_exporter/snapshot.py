"""The collector's JSON documents, read into frozen records.

What lives here: the shape of contract version 1. A record class is its own table: the attribute's words are
those of the Windows property, the annotation says how to read it, `| None` that it may be missing or not set.
What this file does not know: what a state means, who the partner is, how any of it is shown.

Rule 1: an unknown field or an unknown word is no mistake. Collector and server may be newer than we are.
Rule 2: a record with a wrong shape costs itself only; it becomes a `SectionError` with its path.
Rule 3: documents that do not add up (lost part, unanswered section, other contract) are a `ContractError`:
        a missing answer must never read as "no relationships".
"""

import ipaddress
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Final, NoReturn, TypeVar, get_args, get_type_hints

from .errors import ContractError, PollError

CONTRACT: Final = 1

# Windows' own "unlimited" in seconds: -1, its unsigned form, or TimeSpan.MaxValue; nobody means 136 years.
UNLIMITED_SECONDS: Final = 0xFFFFFFFF

_LARGEST_NUMBER: Final = 2**64


class _ShapeError(ValueError):
    """A value has the wrong shape; the path grows while the exception climbs out of the document."""

    def __init__(self, expected: str, value: object, path: str = "") -> None:
        super().__init__(f"expected {expected}, got {_shortened(value)}")
        self.expected, self.value, self.path = expected, value, path

    def under(self, step: str) -> "_ShapeError":
        joint = "." if self.path and not self.path.startswith("[") else ""
        return _ShapeError(self.expected, self.value, f"{step}{joint}{self.path}")

    def __str__(self) -> str:
        return f"{self.path}: {self.args[0]}"


def _shortened(value: object, length: int = 60) -> str:
    text = ascii(value)
    return text if len(text) <= length else f"{text[:length]}..."


# --- readers: one JSON value to one Python value, or _ShapeError -----------------------------------------


_SURROGATES = re.compile("[\ud800-\udfff]")


def _clean(text: str) -> str:
    """No lone surrogates: Windows names may hold them, UTF-8 cannot."""
    return text if text.isascii() else _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _ShapeError("text", value)
    return _clean(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _ShapeError("true or false", value)
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST_NUMBER:
        raise _ShapeError("a number", value)
    return value


def _count(value: object) -> int | None:
    """A whole number; a negative one is Windows' way to say "not known"."""
    number = _number(value)
    if number != int(number):
        raise _ShapeError("a whole number", value)
    return int(number) if number >= 0 else None


def _ordinal(value: object) -> int:
    ordinal = _count(value)
    if not ordinal:
        raise _ShapeError("a whole number from 1", value)
    return ordinal


def _duration(value: object) -> float | None:
    """Seconds; None where unlimited."""
    seconds = _number(value)
    return seconds if 0 <= seconds < UNLIMITED_SECONDS else None


def _time(value: object) -> float:
    """Epoch seconds of an ISO 8601 time, which the contract gives in UTC."""
    try:
        moment = datetime.fromisoformat(_text(value))
    except ValueError:
        raise _ShapeError("a time in ISO 8601", value) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _address(value: object) -> str:
    try:
        return str(ipaddress.IPv4Address(_text(value)))
    except ValueError:
        raise _ShapeError("an IPv4 address", value) from None


def _word(value: object) -> str:
    """One insert of an event, one port of a rule: whatever it is, as text."""
    if value is None:
        return ""
    if isinstance(value, list | dict):
        raise _ShapeError("text", value)
    return _clean(str(value))


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _ShapeError("an object", value)
    return {_clean(key): _cleaned(item) for key, item in value.items()}


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return _mapping(value) if isinstance(value, dict) else value


T = TypeVar("T")
Reader = Callable[[object], T]


def _listed(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    """A list; PowerShell unrolls a list of one, so a single value is one too. Null is no list."""

    def read(value: object) -> tuple[T, ...]:
        if value is None:
            raise _ShapeError("a list", value)
        return tuple(
            _stepped(reader, item, f"[{number}]")
            for number, item in enumerate(value if isinstance(value, list) else [value])
        )

    return read


def _nullable(reader: Reader[T]) -> Reader[T | None]:
    def read(value: object) -> T | None:
        return None if value is None or value == "" else reader(value)

    return read


def _stepped(reader: Reader[T], value: object, step: str) -> T:
    try:
        return reader(value)
    except _ShapeError as refused:
        raise refused.under(step) from None


Text = Annotated[str, _text]
Flag = Annotated[bool, _flag]
Number = Annotated[float, _number]
Count = Annotated[int | None, _count]
Ordinal = Annotated[int, _ordinal]
Duration = Annotated[float | None, _duration]
Time = Annotated[float, _time]
Address = Annotated[str, _address]
Addresses = Annotated[tuple[str, ...], _listed(_address)]
Words = Annotated[tuple[str, ...], _listed(_word)]
Object = Annotated[Mapping[str, object], _mapping]
Objects = Annotated[tuple[Mapping[str, object], ...], _listed(_mapping)]


# --- records: named as Windows names the properties ------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """The server itself; `service_status` is None where the account may not ask the service manager."""

    computer_name: Text | None = None
    os_version: Text | None = None
    ps_version: Text | None = None
    language_mode: Text | None = None
    service_status: Text | None = None
    utc_now: Time | None = None


@dataclass(frozen=True)
class Relationship:
    """One failover relationship as this server sees it: Get-DhcpServerv4Failover."""

    name: Text
    partner_server: Text
    state: Text
    scope_id: Addresses
    mode: Text | None = None
    server_role: Text | None = None
    server_type: Text | None = None
    primary_server_name: Text | None = None
    secondary_server_name: Text | None = None
    primary_server_ip: Text | None = None
    secondary_server_ip: Text | None = None
    load_balance_percent: Number | None = None
    reserve_percent: Number | None = None
    max_client_lead_time: Duration | None = None
    state_switch_interval: Duration | None = None
    auto_state_transition: Flag | None = None
    enable_auth: Flag | None = None


@dataclass(frozen=True)
class PortProbe:
    """A connect from the DHCP server to its partner's failover port."""

    partner_server: Text
    reachable: Flag
    address: Text | None = None
    port: Count | None = None
    seconds: Number | None = None
    error: Text | None = None


@dataclass(frozen=True)
class Scope:
    """One scope: Get-DhcpServerv4Scope; `lease_duration` in seconds, None where unlimited."""

    scope_id: Address
    subnet_mask: Text | None = None
    name: Text | None = None
    state: Text | None = None
    superscope_name: Text | None = None
    lease_duration: Duration | None = None
    start_range: Text | None = None
    end_range: Text | None = None


@dataclass(frozen=True)
class ScopeStatistics:
    """One scope's addresses: Get-DhcpServerv4ScopeStatistics; the last four are None outside failover."""

    scope_id: Address
    addresses_free: Count | None = None
    addresses_in_use: Count | None = None
    pending_offers: Count | None = None
    reserved_address: Count | None = None
    percentage_in_use: Number | None = None
    addresses_free_on_this_server: Count | None = None
    addresses_free_on_partner_server: Count | None = None
    addresses_in_use_on_this_server: Count | None = None
    addresses_in_use_on_partner_server: Count | None = None


@dataclass(frozen=True)
class Counters:
    """The server's running totals: Get-DhcpServerv4Statistics, and from `bnd_upd_sent` on the counters."""

    server_start_time: Time | None = None
    discovers: Count | None = None
    offers: Count | None = None
    requests: Count | None = None
    acks: Count | None = None
    naks: Count | None = None
    declines: Count | None = None
    releases: Count | None = None
    bnd_upd_sent: Count | None = None
    bnd_upd_received: Count | None = None
    bnd_upd_pending: Count | None = None
    bnd_upd_dropped: Count | None = None
    bnd_ack_sent: Count | None = None
    bnd_ack_received: Count | None = None
    transitions_communication_interrupted: Count | None = None
    transitions_partner_down: Count | None = None
    transitions_recover: Count | None = None


@dataclass(frozen=True)
class Event:
    """One record of the channel Microsoft-Windows-DHCP Server Events/Admin; `properties` are its inserts."""

    record_id: Ordinal
    id: Ordinal
    properties: Words
    time_created: Time | None = None
    level: Number | None = None


@dataclass(frozen=True)
class Events:
    """The records after the watermark, and the two ends of the log; both None where it is empty."""

    newest_record_id: Count | None = None
    oldest_record_id: Count | None = None
    more: Flag | None = None
    events: Annotated[tuple[Event, ...], Event] = ()


@dataclass(frozen=True)
class ServerSetting:
    """Authorisation in the domain, and policies that would write our calls to the server's disk."""

    is_domain_joined: Flag | None = None
    is_authorized: Flag | None = None
    transcription: Flag | None = None
    module_logging: Flag | None = None


@dataclass(frozen=True)
class FirewallRule:
    """One rule on local TCP 647 of the active store, or a built-in one that is not there."""

    name: Text
    present: Flag
    enabled: Flag | None = None
    direction: Text | None = None
    action: Text | None = None
    profile: Text | None = None
    local_port: Words | None = None
    policy_store_source_type: Text | None = None


@dataclass(frozen=True)
class ScopeConfiguration:
    """What replication carries for one scope, as Windows says it; None where a part was not collected."""

    scope_id: Address
    scope: Object | None = None
    options: Objects | None = None
    reservations: Objects | None = None
    exclusions: Objects | None = None
    policies: Objects | None = None


@dataclass(frozen=True)
class ServerOptions:
    """The server-level options, which nothing replicates."""

    server_options: Objects


Record = (
    Server
    | Relationship
    | PortProbe
    | Scope
    | ScopeStatistics
    | Counters
    | Events
    | ServerSetting
    | FirewallRule
    | ScopeConfiguration
    | ServerOptions
)

_LISTS: Final[Mapping[str, type]] = {
    "relationships": Relationship,
    "ports": PortProbe,
    "scopes": Scope,
    "statistics": ScopeStatistics,
    "firewall": FirewallRule,
    "configuration": ScopeConfiguration,
}
_OBJECTS: Final[Mapping[str, type]] = {
    "server": Server,
    "counters": Counters,
    "events": Events,
    "settings": ServerSetting,
}

SECTIONS: Final[tuple[str, ...]] = (
    "server",
    "relationships",
    "ports",
    "scopes",
    "statistics",
    "counters",
    "events",
    "settings",
    "firewall",
    "configuration",
)


# --- sections --------------------------------------------------------------------------------------------


REASONS: Final[tuple[str, ...]] = ("permission", "timeout", "dhcp", "contract", "other")

# WIN32 1722 (RPC server unavailable) and 1753 (no endpoint) come from a local call here: the DHCP service
# does not answer. Some builds show only the code of a refusal, others only its category.
_REASON_BY_CODE: Final = {
    "WIN32 5": "permission",
    "DHCP 20121": "permission",
    "WIN32 1722": "dhcp",
    "WIN32 1753": "dhcp",
    "WIN32 1460": "timeout",
    "UnknownSection": "contract",
}
_GONE: Final = {"DHCP 20005", "DHCP 20116"}
# The service manager answers administrators only; an answered relationships section says the same.
_REFUSED_TO_MOST: Final = {("server", "ServiceStatus")}
_REASON_BY_CATEGORY: Final = {
    "permissiondenied": "permission",
    "securityerror": "permission",
    "operationtimeout": "timeout",
    "permission": "permission",
    "timeout": "timeout",
    "contract": "contract",
}


@dataclass(frozen=True)
class SectionError:
    """What could not be read: `item` of a section, or all of it where None.

    `id` is the FullyQualifiedErrorId, `category` PowerShell's, or ours: the reason of a `PollError`.
    """

    item: str | None
    id: str
    category: str
    message: str

    @property
    def reason(self) -> str:
        """One of `REASONS`, by code and category; messages are localised and never read."""
        return _REASON_BY_CODE.get(self.code) or _REASON_BY_CATEGORY.get(self.category.lower(), "other")

    @property
    def code(self) -> str:
        """`WIN32 5` of `WIN32 5,Get-DhcpServerv4Scope`."""
        return self.id.partition(",")[0].strip()


@dataclass(frozen=True)
class Section:
    """One section's answer.

    With `failure` nothing could be read. Otherwise `records` hold what could (exactly one record where the
    contract says one object) and `errors` what could not. `elapsed_seconds` is the server's own measure,
    `written` the server's clock (epoch seconds) at the last document.
    """

    name: str
    records: tuple[Record, ...] = ()
    errors: tuple[SectionError, ...] = ()
    failure: SectionError | None = None
    elapsed_seconds: float = 0.0
    written: float | None = None

    @classmethod
    def failed(cls, name: str, error: PollError) -> "Section":
        """The section of a call that gave no usable answer at all."""
        return cls(name, failure=SectionError(None, "", error.reason, str(error)))

    @property
    def reason(self) -> str | None:
        """Why something that should be there is missing: the weightiest of `REASONS`, or None."""
        if self.failure:
            return self.failure.reason
        return min(
            (error.reason for error in self.errors if not self._expects(error)),
            key=REASONS.index,
            default=None,
        )

    def _expects(self, error: SectionError) -> bool:
        """Whether a healthy server says this: a scope deleted meanwhile, a status for administrators only."""
        return error.code in _GONE or (self.name, error.item) in _REFUSED_TO_MOST


# --- documents to sections -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Document:
    """The envelope, checked; `body` still as it came."""

    section: str
    part: int
    parts: int
    elapsed_seconds: float
    written: float | None
    body: Mapping[str, Any]


def parse(documents: Sequence[str], asked: Collection[str]) -> Mapping[str, Section]:
    """Read one call's documents into the sections that were asked for, in the contract's order.

    Raises:
        ContractError: a document is no JSON of this contract, a part is lost, or a section is not answered.
    """
    answered: dict[str, list[_Document]] = {}
    for number, text in enumerate(documents):
        document = _document(text, f"document {number + 1}")
        answered.setdefault(document.section, []).append(document)
    if missing := [name for name in asked if name not in answered]:
        raise ContractError(f"no answer for section {', '.join(missing)}")
    return {name: _section(name, _complete(name, answered[name])) for name in SECTIONS if name in asked}


def merge(slices: Sequence[Section]) -> Section:
    """Join the slices of one section, at least one; a failed slice fails the section."""
    failure = next((piece.failure for piece in slices if piece.failure), None)
    return Section(
        name=slices[0].name,
        records=() if failure else _without_repeats([record for piece in slices for record in piece.records]),
        errors=tuple(error for piece in slices for error in piece.errors),
        failure=failure,
        elapsed_seconds=sum(piece.elapsed_seconds for piece in slices),
        written=slices[-1].written,
    )


def _without_repeats(records: Sequence[Record]) -> tuple[Record, ...]:
    """Every slice of the configuration starts with the same server options: the last ones count."""
    options = [record for record in records if isinstance(record, ServerOptions)]
    return (*(record for record in records if not isinstance(record, ServerOptions)), *options[-1:])


def _document(text: str, place: str) -> _Document:
    body = _decoded(text, place)
    if body.get("contract") != CONTRACT:
        raise ContractError(
            f"{place}: contract {_shortened(body.get('contract'))}, this exporter reads {CONTRACT}"
        )
    try:
        return _Document(
            section=_stepped(_text, body.get("section"), "section"),
            part=_stepped(_ordinal, body.get("part", 1), "part"),
            parts=_stepped(_ordinal, body.get("parts", 1), "parts"),
            elapsed_seconds=_stepped(_number, body.get("elapsed", 0), "elapsed"),
            written=_stepped(_nullable(_time), body.get("utc"), "utc"),
            body=body,
        )
    except _ShapeError as refused:
        raise ContractError(f"{place}: {refused}") from None


def _decoded(text: str, place: str) -> dict[str, Any]:
    try:
        body = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ContractError(f"{place}: no JSON: {error}") from None
    if not isinstance(body, dict):
        raise ContractError(f"{place}: expected an object, got {_shortened(body)}")
    return body


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _complete(name: str, documents: Sequence[_Document]) -> Sequence[_Document]:
    """Sort the parts; every one of them once, and all of one mind about their number."""
    have = sorted((document.part, document.parts) for document in documents)
    if have != [(part, len(have)) for part in range(1, len(have) + 1)]:
        listed = ", ".join(f"{part}/{parts}" for part, parts in have)
        raise ContractError(f"section {name}: parts do not add up: {listed}")
    return sorted(documents, key=lambda document: document.part)


def _section(name: str, documents: Sequence[_Document]) -> Section:
    records: list[Record] = []
    errors: list[SectionError] = []
    failures: list[SectionError] = []
    for document in documents:
        try:
            records += _records(name, document.body, errors)
        except _UnreadableError as unreadable:
            failures.append(unreadable.error)
    if name in _OBJECTS and not failures and len(records) != 1:
        failures.append(errors[0] if errors else _refusal(_ShapeError("one object", records, "data")))
    return Section(
        name=name,
        records=() if failures else tuple(records),
        errors=tuple(errors),
        failure=failures[0] if failures else None,
        elapsed_seconds=max(document.elapsed_seconds for document in documents),
        written=documents[-1].written,
    )


class _UnreadableError(Exception):
    """Nothing of the section can be read."""

    def __init__(self, error: SectionError) -> None:
        super().__init__(error.message)
        self.error = error


def _records(name: str, body: Mapping[str, Any], errors: list[SectionError]) -> Sequence[Record]:
    if body.get("error") is not None:
        raise _UnreadableError(_reported(body["error"]))
    try:
        records = _read_list(_kind_of(name), body.get("data"), "data", errors)
        reported = body.get("errors") or []
        errors += [_reported(raw) for raw in (reported if isinstance(reported, list) else [reported])]
    except _ShapeError as refused:
        raise _UnreadableError(_refusal(refused)) from None
    return records


def _kind_of(name: str) -> Callable[[Mapping[str, Any]], type]:
    if name == "configuration":
        return lambda raw: ServerOptions if "ServerOptions" in raw else ScopeConfiguration
    return _always(_LISTS.get(name) or _OBJECTS[name])


def _always(kind: type) -> Callable[[Mapping[str, Any]], type]:
    return lambda _: kind


def _read_list(
    kind_of: Callable[[Mapping[str, Any]], type], value: object, path: str, errors: list[SectionError]
) -> tuple[Any, ...]:
    """All records of a list that have the right shape; the others go to `errors`."""
    if not isinstance(value, list | dict):
        raise _ShapeError("a list or an object", value, path)
    records = []
    for number, raw in enumerate(value if isinstance(value, list) else [value]):
        try:
            records.append(_read(kind_of, raw, f"{path}[{number}]", errors))
        except _ShapeError as refused:
            errors.append(_refusal(refused.under(f"{path}[{number}]"), raw))
    return tuple(records)


def _read(
    kind_of: Callable[[Mapping[str, Any]], type], raw: object, path: str, errors: list[SectionError]
) -> object:
    if not isinstance(raw, dict):
        raise _ShapeError("an object", raw)
    kind = kind_of(raw)
    values = {}
    for attribute, name, reader in _table(kind):
        if isinstance(reader, type):
            values[attribute] = _read_list(_always(reader), raw.get(name) or [], f"{path}.{name}", errors)
        else:
            values[attribute] = _stepped(reader, raw.get(name), name)
    return kind(**values)


_ACRONYMS: Final = {"ip": "IP", "os": "OS", "ps": "PS"}


@cache
def _table(kind: type) -> Sequence[tuple[str, str, Any]]:
    """Attribute, Windows property and reader (or the class of nested records) of each field of a record."""
    hints = get_type_hints(kind, include_extras=True)
    return [(field.name, _windows_name(field.name), _reader(hints[field.name])) for field in fields(kind)]


def _windows_name(attribute: str) -> str:
    return "".join(_ACRONYMS.get(word, word.capitalize()) for word in attribute.split("_"))


def _reader(hint: Any) -> Any:
    if hasattr(hint, "__metadata__"):
        return hint.__metadata__[0]
    inner = next(arm for arm in get_args(hint) if arm is not type(None))
    return _nullable(_reader(inner))


def _refusal(refused: _ShapeError, raw: object = None) -> SectionError:
    """Our own word on a record of the wrong shape, with its name where it can be read."""
    known = raw if isinstance(raw, dict) else {}
    item = next((_clean(known[key]) for key in ("Name", "ScopeId") if isinstance(known.get(key), str)), None)
    return SectionError(item, "", ContractError.reason, str(refused))


def _reported(raw: object) -> SectionError:
    """The collector's word on something that it could not read."""
    if not isinstance(raw, dict):
        return _refusal(_ShapeError("an object", raw, "error"))
    item = raw.get("item")
    return SectionError(
        item=None if item is None else _word_or_ascii(item),
        id=_word_or_ascii(raw.get("id")),
        category=_word_or_ascii(raw.get("category")),
        message=_word_or_ascii(raw.get("message")),
    )


def _word_or_ascii(value: object) -> str:
    """An error about an error helps nobody: whatever stands there is taken as text."""
    return ascii(value) if isinstance(value, list | dict) else _word(value)
