"""What replication would change: a scope's configuration in normal form, its fingerprint, its differences.

What lives here: which spellings mean the same, and which fields say nothing about replication. Two scopes
have equal fingerprints exactly when Invoke-DhcpServerv4FailoverReplication would change nothing. What this
file does not know: which servers are compared, and who is right.

A normal form is item -> field -> value. Lists become items under a key of their own, so order is gone and a
difference can name its item. Fields that are not set are left out: builds differ in null, empty, 0 and false.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dhcp_failover_exporter.snapshot import ScopeConfiguration

# Changes whenever the same configuration would give other fingerprints: only equal schemes may be compared.
SCHEME: Final = "1"

Raw = Mapping[str, object]
Item = Mapping[str, Any]
Normal = Mapping[str, Item]

# Not configuration (AddressState is lease activity), known from elsewhere (ScopeId), fixed by a definition
# that is not replicated, and localised (Name and Type of an option value), or not named among what is
# replicated (SuperscopeName: unconfirmed, and a difference that nothing mends would be noise).
_IGNORED: Final = {
    "properties": {"ScopeId", "SuperscopeName"},
    "options": {"ScopeId", "Name", "Type"},
    "reservations": {"ScopeId", "AddressState"},
    "exclusions": {"ScopeId"},
    "policies": {"ScopeId"},
}
# Words of enumerations, spelled differently even within Windows (Inactive, InActive).
_ENUMERATIONS: Final = {"State", "Type", "Condition"}
# Names of classes are defined on each server by hand; the server compares them without case (inferred).
_CLASSES: Final = {"VendorClass", "UserClass"}
# Criteria of a policy that are names, which Windows compares without case (inferred); all others are octets.
_NAMED_CRITERIA: Final = _CLASSES | {"Fqdn"}
_OPERATORS: Final = {"eq", "ne"}
_OCTETS: Final = re.compile(r"[0-9a-f]{2}([-:]?[0-9a-f]{2})*([-:]?\*)?", re.IGNORECASE)
_PREFIXED_OCTETS: Final = re.compile("0x[0-9a-f]+", re.IGNORECASE)


@dataclass(frozen=True)
class Difference:
    """One thing that differs: a field of an item, or with `field` None a whole item that one side lacks."""

    part: str
    item: str
    field: str | None
    ours: object
    theirs: object


def fingerprint(normal: Normal) -> int:
    """The first 48 bits of SHA-256: a float, as Prometheus keeps samples, holds them exactly."""
    text = json.dumps(normal, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def parts(configuration: ScopeConfiguration) -> Mapping[str, Normal]:
    """The normal form of each part that was collected; an empty list is one."""
    collected = {
        "properties": None if configuration.scope is None else [configuration.scope],
        "options": configuration.options,
        "reservations": configuration.reservations,
        "exclusions": configuration.exclusions,
        "policies": configuration.policies,
    }
    return {part: normal_form(part, items) for part, items in collected.items() if items is not None}


def normal_form(part: str, items: Sequence[Raw]) -> Normal:
    """Items by key; what Windows may spell or order differently is made equal."""
    normalised = [_normal_item(part, item) for item in items]
    return {_KEYS[part](item): item for item in normalised}


def differences(ours: ScopeConfiguration, theirs: ScopeConfiguration) -> Iterator[Difference]:
    """What differs in the parts that both sides have; none exactly where all fingerprints are equal."""
    our_parts, their_parts = parts(ours), parts(theirs)
    for part in our_parts.keys() & their_parts.keys():
        our_items, their_items = our_parts[part], their_parts[part]
        for key in sorted(our_items.keys() | their_items.keys()):
            yield from _item_differences(part, key, our_items.get(key), their_items.get(key))


def _item_differences(part: str, key: str, ours: Item | None, theirs: Item | None) -> Iterator[Difference]:
    if ours is None or theirs is None:
        yield Difference(part, key, None, ours, theirs)
        return
    for field in sorted(ours.keys() | theirs.keys()):
        if ours.get(field) != theirs.get(field):
            yield Difference(part, key, field, ours.get(field), theirs.get(field))


def _normal_item(part: str, item: Raw) -> Item:
    values = {field: _normal(part, field, value) for field, value in item.items()}
    return {field: value for field, value in values.items() if value and field not in _IGNORED[part]}


def _normal(part: str, field: str, value: object) -> Any:
    if isinstance(value, list):
        return _criteria(field, value) if part == "policies" else [_normal(part, field, it) for it in value]
    if isinstance(value, str):
        return _spelled(field, value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _spelled(field: str, text: str) -> str:
    if field in _ENUMERATIONS | _CLASSES:
        return _without_case(text)
    if field == "ClientId":
        return _octets(text)
    return text.lower() if field == "Value" and _PREFIXED_OCTETS.fullmatch(text) else text


def _without_case(text: str) -> str:
    """Letter by letter: casefold() would make one of two names that Windows tells apart (Straße, STRASSE)."""
    return "".join(map(str.lower, text))


def _octets(text: str) -> str:
    """00155DA76602 and 00-15-5d-a7-66-02 are one client; Windows itself writes the latter."""
    return re.sub("[-:]", "", text).lower() if _OCTETS.fullmatch(text) else text


def _criteria(field: str, words: Sequence[object]) -> Sequence[Sequence[str]]:
    """`EQ, a, b, NE, c`: the values after one operator in any order, and the operators in any order."""
    groups: dict[str, set[str]] = {}
    operator, values = "", set[str]()
    for word in (_criterion(field, it) for it in words):
        # Right after an operator comes a value, whatever it is called.
        if word in _OPERATORS and (values or not operator):
            operator, values = word, set()
        else:
            values.add(word)
            groups.setdefault(operator, set()).add(word)
    return sorted([operator, *sorted(values)] for operator, values in groups.items())


def _criterion(field: str, word: object) -> str:
    if not isinstance(word, str):
        return json.dumps(word, sort_keys=True)
    return _without_case(word if field in _NAMED_CRITERIA else _octets(word))


def _option_key(item: Item) -> str:
    """Number/vendor class/user class/policy, as short as it may be; a name's own slash is %2F."""
    names = (str(item.get(field, "")) for field in ("VendorClass", "UserClass", "PolicyName"))
    escaped = (name.replace("%", "%25").replace("/", "%2F") for name in names)
    return "/".join([str(item.get("OptionId")), *escaped]).rstrip("/")


_KEYS: Final[Mapping[str, Callable[[Item], str]]] = {
    "properties": lambda _: "",
    "options": _option_key,
    "reservations": lambda item: str(item.get("IPAddress")),
    "exclusions": lambda item: f"{item.get('StartRange')}-{item.get('EndRange')}",
    "policies": lambda item: str(item.get("Name")),
}
