"""Which form of the exposition a client gets, chosen from its Accept and Accept-Encoding headers.

Pure: header text in, a choice out. The `q` values count: prometheus_client's own negotiation takes the first
match and ignores them, so a scraper that prefers the text format would never get it. A header that cannot be
read is treated like one that accepts nothing in particular, for a scrape must not fail over a preference.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class Range:
    """One element of such a header: a media range or a coding, its parameters and its weight, 0 to 1."""

    name: str
    parameters: dict[str, str] = field(default_factory=dict)
    quality: float = 1.0


@dataclass(frozen=True)
class Format:
    """A form of the exposition. Prometheus 3 refuses a scrape whose Content-Type it does not know."""

    media_type: str
    version: str

    @property
    def content_type(self) -> str:
        """The value of the Content-Type header."""
        return f"{self.media_type}; version={self.version}; charset=utf-8"


TEXT: Final = Format("text/plain", "0.0.4")
OPENMETRICS: Final = Format("application/openmetrics-text", "1.0.0")


def choose_format(accept: str) -> Format:
    """The format that the client ranks higher; the text format where it ranks none or both alike."""
    ranges = tuple(_ranges(accept))
    return OPENMETRICS if _quality(OPENMETRICS, ranges) > _quality(TEXT, ranges) else TEXT


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the client takes gzip: named (or else `*`) with a weight above 0."""
    weights = {coding.name: coding.quality for coding in _ranges(accept_encoding)}
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _quality(offered: Format, ranges: tuple[Range, ...]) -> float:
    """The weight of the most specific range that covers the format (RFC 9110, 12.5.1)."""
    covering = ((_specificity(offered, asked), asked.quality) for asked in ranges)
    return max((pair for pair in covering if pair[0]), default=(0, 0.0))[1]


def _specificity(offered: Format, asked: Range) -> int:
    """How closely the range names the format; 0 where it does not cover it."""
    if asked.name == offered.media_type:
        return {offered.version: 4, None: 3}.get(asked.parameters.get("version"), 0)
    if asked.name == offered.media_type.partition("/")[0] + "/*":
        return 2
    return 1 if asked.name == "*/*" else 0


def _ranges(header: str) -> Iterator[Range]:
    for element in header.lower().split(","):
        name, *pairs = (piece.strip() for piece in element.split(";"))
        parameters = {key.strip(): value.strip(' "') for key, _, value in (p.partition("=") for p in pairs)}
        if name:
            yield Range(name, parameters, _weight(parameters.pop("q", "1")))


def _weight(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0
