"""One call's JSON documents to sections.

Rule 1: an unknown field or an unknown word is no mistake. Collector and server may be newer than we are.
Rule 2: a record with a wrong shape costs itself only; it becomes a `SectionError` with its path.
Rule 3: documents that do not add up (lost part, unanswered section, other contract) are a `ContractError`:
        a missing answer must never read as "no relationships".
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Final, NoReturn, get_args, get_type_hints

from dhcp_failover_exporter.errors import ContractError
from dhcp_failover_exporter.snapshot.records import (
    Counters,
    Events,
    FirewallRule,
    PortProbe,
    Record,
    Relationship,
    Scope,
    ScopeConfiguration,
    ScopeStatistics,
    Server,
    ServerOptions,
    ServerSetting,
)
from dhcp_failover_exporter.snapshot.sections import SECTIONS, Section, SectionError
from dhcp_failover_exporter.snapshot.shapes import (
    ShapeError,
    clean,
    nullable,
    read_number,
    read_ordinal,
    read_text,
    read_time,
    read_word,
    shortened,
    stepped,
)

CONTRACT: Final = 1

_KINDS: Final[Mapping[str, type]] = {
    "server": Server,
    "relationships": Relationship,
    "ports": PortProbe,
    "scopes": Scope,
    "statistics": ScopeStatistics,
    "counters": Counters,
    "events": Events,
    "settings": ServerSetting,
    "firewall": FirewallRule,
    "configuration": ScopeConfiguration,
}
_ONE_OBJECT: Final = {"server", "counters", "events", "settings"}


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
    for number, text in enumerate(documents, start=1):
        document = _document(text, f"document {number}")
        answered.setdefault(document.section, []).append(document)
    if missing := [name for name in asked if name not in answered]:
        raise ContractError(f"no answer for section {', '.join(missing)}")
    return {name: _section(name, _complete(name, answered[name])) for name in SECTIONS if name in asked}


def _document(text: str, place: str) -> _Document:
    body = _decoded(text, place)
    if body.get("contract") != CONTRACT:
        raise ContractError(
            f"{place}: contract {shortened(body.get('contract'))}, this exporter reads {CONTRACT}"
        )
    try:
        return _Document(
            section=stepped(read_text, body.get("section"), "section"),
            part=stepped(read_ordinal, body.get("part", 1), "part"),
            parts=stepped(read_ordinal, body.get("parts", 1), "parts"),
            elapsed_seconds=stepped(read_number, body.get("elapsed", 0), "elapsed"),
            written=stepped(nullable(read_time), body.get("utc"), "utc"),
            body=body,
        )
    except ShapeError as refused:
        raise ContractError(f"{place}: {refused}") from None


def _decoded(text: str, place: str) -> dict[str, Any]:
    try:
        body = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ContractError(f"{place}: no JSON: {error}") from None
    if not isinstance(body, dict):
        raise ContractError(f"{place}: expected an object, got {shortened(body)}")
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
    reading = _Reading()
    failures: list[SectionError] = []
    records: list[Record] = []
    for document in documents:
        try:
            records += reading.document(document)
        except ShapeError as refused:
            failures.append(_refusal(refused))
        except _UnreadableError as unreadable:
            failures.append(unreadable.error)
    if name in _ONE_OBJECT and not failures and len(records) != 1:
        failures.append(next(iter(reading.errors), _refusal(ShapeError("one object", records, "data"))))
    return Section(
        name=name,
        records=() if failures else tuple(records),
        errors=tuple(reading.errors),
        failure=failures[0] if failures else None,
        elapsed_seconds=max(document.elapsed_seconds for document in documents),
        written=documents[-1].written,
    )


class _UnreadableError(Exception):
    """Nothing of the section can be read."""

    def __init__(self, error: SectionError) -> None:
        super().__init__(error.message)
        self.error = error


class _Reading:
    """Reads records and gathers what stood in the place of one."""

    def __init__(self) -> None:
        self.errors: list[SectionError] = []

    def document(self, document: _Document) -> Sequence[Record]:
        """All records of one document; raises where it has none to offer."""
        body = document.body
        if body.get("error") is not None:
            raise _UnreadableError(_reported(body["error"]))
        records = self.records(_KINDS[document.section], body.get("data"), "data")
        reported = body.get("errors") or []
        self.errors += map(_reported, reported if isinstance(reported, list) else [reported])
        return records

    def records(self, kind: type, value: object, path: str) -> tuple[Any, ...]:
        """The records of a list that have the right shape; PowerShell unrolls a list of one."""
        if not isinstance(value, list | dict):
            raise ShapeError("a list or an object", value, path)
        items = enumerate(value if isinstance(value, list) else [value])
        found = [self._record(kind, raw, f"{path}[{position}]") for position, raw in items]
        return tuple(record for record in found if record is not None)

    def _record(self, kind: type, raw: object, path: str) -> object:
        try:
            return self._read(kind, raw, path)
        except ShapeError as refused:
            self.errors.append(_refusal(refused.under(path), raw))
            return None

    def _read(self, kind: type, raw: object, path: str) -> object:
        if not isinstance(raw, dict):
            raise ShapeError("an object", raw)
        if kind is ScopeConfiguration and "ServerOptions" in raw:
            kind = ServerOptions  # the one element of that list that is about no scope
        values = {}
        for attribute, name, reader in _table(kind):
            if not isinstance(reader, type):
                values[attribute] = stepped(reader, raw.get(name), name)
            elif raw.get(name) not in (None, ""):  # otherwise the field's default says what that means
                values[attribute] = self.records(reader, raw[name], f"{path}.{name}")
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
    return nullable(_reader(inner))


def _refusal(refused: ShapeError, raw: object = None) -> SectionError:
    """Our own word on a record of the wrong shape, with its name where it can be read."""
    known = raw if isinstance(raw, dict) else {}
    item = next((clean(known[key]) for key in ("Name", "ScopeId") if isinstance(known.get(key), str)), None)
    return SectionError(item, "", ContractError.reason, str(refused))


def _reported(raw: object) -> SectionError:
    """The collector's word on something that it could not read."""
    if not isinstance(raw, dict):
        return _refusal(ShapeError("an object", raw, "error"))
    item = raw.get("item")
    return SectionError(
        item=None if item is None else _as_text(item),
        id=_as_text(raw.get("id")),
        category=_as_text(raw.get("category")),
        message=_as_text(raw.get("message")),
    )


def _as_text(value: object) -> str:
    """An error about an error helps nobody: whatever stands there is taken as text."""
    return ascii(value) if isinstance(value, list | dict) else read_word(value)
