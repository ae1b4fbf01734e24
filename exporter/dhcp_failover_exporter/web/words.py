"""How views are put into words and addresses for people; the templates' filters."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from dhcp_failover_exporter.web.advice import Severity
from dhcp_failover_exporter.web.view import PairView, RelationshipView

SEVERITIES: Final[Mapping[Severity, str]] = {
    "critical": "critical",
    "warning": "with warnings",
    "notice": "with notices",
    "ok": "normal",
}

# For a side whose state is not known; "no answer" for every other reason.
_UNKNOWN_BECAUSE: Final = {
    "auth": "logon refused",
    "suspended": "not tried",
    "permission": "not readable",
    "dhcp": "service down",
    "contract": "not understood",
}

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float) -> str:
    """The two largest units: 12 s, 3 min 5 s, 2 h 10 min, 4 d."""
    left = max(0, round(seconds))
    parts: list[tuple[int, str]] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append((count, unit))
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count) or "0 s"


def iso(moment: float) -> str:
    """Epoch seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def number(count: float) -> str:
    """With thin spaces between thousands, which no locale reads as a decimal sign."""
    return f"{count:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def percent(ratio: float) -> str:
    """Whole percents, but never 100 % before it is all, and never 0 % once there is something."""
    whole = round(100 * ratio)
    if ratio < 1:
        whole = min(whole, 99)
    if ratio > 0:
        whole = max(whole, 1)
    return f"{whole} %"


def counted(count: int, noun: str) -> str:
    """1 scope, 2 scopes."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def spaced(word: str) -> str:
    """Windows' joined words apart: LoadBalance is load balance."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", word).lower()


def unknown_because(reason: str | None) -> str:
    """In place of a state."""
    return _UNKNOWN_BECAUSE.get(reason or "", "no answer")


def unpolled(reason: str | None) -> str:
    """Why a server is not up, as the metric says it, and what that hides."""
    return "suspended: not tried" if reason == "suspended" else reason or "waiting"


def missed(reason: str) -> str:
    """Why what is shown is not of the last poll."""
    return f"not tried since: {reason}" if reason == "suspended" else f"last poll failed: {reason}"


def capitalized(sentence: str) -> str:
    """With a capital first letter, and every other letter as it is."""
    return sentence[:1].upper() + sentence[1:]


def setting(value: float | bool | str | None, unit: str) -> str:
    """A relationship's parameter in words."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        return spaced(value)
    return duration(value) if unit == "s" else f"{value:g} {unit}".strip()


def visible(text: str) -> str:
    """With control and formatting characters spelt out, so that no name can turn or hide its neighbours."""
    return "".join(f"[U+{ord(c):04X}]" if unicodedata.category(c) in ("Cc", "Cf") else c for c in text)


def harmless(value: object) -> object:
    """What each expression of a template passes, since any text may come from a server."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return visible(re.sub(r"[\t\r\n]", " ", value))


def anchor(text: str) -> str:
    """An id that any text gives and that is an id everywhere."""
    return "x" + text.encode().hex()


def path(relationship: RelationshipView) -> str:
    """The address of a relationship's own page."""
    return "/relationship?" + urlencode({"pair": relationship.pair, "name": relationship.name})


def of_pair(pair: PairView) -> str:
    """All that a filter looks at, case folded."""
    found = list(pair.servers)
    for relationship in pair.relationships:
        found += [relationship.name, relationship.mode, *(side.state or "" for side in relationship.sides)]
        found += [problem.meaning for problem in relationship.problems]
        found += [word for scope in relationship.scopes for word in (scope.cidr, scope.name)]
    return "\n".join(found).casefold()


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "anchor": anchor,
    "capitalized": capitalized,
    "counted": counted,
    "duration": duration,
    "iso": iso,
    "missed": missed,
    "number": number,
    "path": path,
    "percent": percent,
    "setting": setting,
    "spaced": spaced,
    "unknown_because": unknown_because,
    "unpolled": unpolled,
}
