"""Samples to blocks of text, and the join that decides what is fresh enough to be shown.

What lives here: the two text formats (https://prometheus.io/docs/instrumenting/exposition_formats/ 0.0.4 and
OpenMetrics 1.0) as far as they are needed, escaping, freshness. What this file does not know: HTTP,
compression, and the clock; `now` is handed in.

A section is rendered once, when it is published; a scrape only joins bytes. Sample lines are the same in both
formats, only the heads of counters differ.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Final

from dhcp_failover_exporter.metrics import (
    CATALOGUE,
    NEED_RELATIONSHIPS,
    Family,
    Group,
    PollHealth,
    Sample,
    health_samples,
)

_EOF: Final = b"# EOF\n"


@dataclass(frozen=True)
class Block:
    """The sample lines of one family about one server."""

    family: Family
    lines: bytes


@dataclass(frozen=True)
class Published:
    """One section's last answer, rendered.

    `started` is when its collection began, by the clock that `join` is given (a monotonic one: a clock that
    is set must neither keep stale data alive nor drop fresh data), `fresh_seconds` how long it may be shown.
    """

    section: str
    started: float
    fresh_seconds: float
    blocks: Sequence[Block]

    def fresh(self, now: float) -> bool:
        """Whether this may still be shown."""
        return now - self.started <= self.fresh_seconds


@dataclass(frozen=True)
class Publication:
    """All that is shown about one server; replaced as a whole, never changed."""

    server: str
    health: PollHealth
    sections: Mapping[str, Published] = field(default_factory=dict)

    def blocks(self, now: float) -> Iterator[Block]:
        """What may be shown now: the health always, a section while it is fresh."""
        yield from self._health_while_up if self.health.up(now) else self._health_while_down
        relationships = self.sections.get("relationships")
        known = relationships is not None and relationships.fresh(now)
        for name, published in self.sections.items():
            if published.fresh(now) and (known or name not in NEED_RELATIONSHIPS):
                yield from published.blocks

    @cached_property
    def _health_while_up(self) -> Sequence[Block]:
        return blocks(self.server, health_samples(self.health, up=True))

    @cached_property
    def _health_while_down(self) -> Sequence[Block]:
        return blocks(self.server, health_samples(self.health, up=False))


def fresh_seconds(interval_seconds: float, timeout_seconds: float) -> float:
    """How long after its start an answer may be shown: one missed poll is forgiven, two are not."""
    return max(2.5 * interval_seconds, 2 * interval_seconds + timeout_seconds + 2)


def blocks(server: str, samples: Iterable[Sample]) -> Sequence[Block]:
    """Render one server's samples, one block per family, in the order of the samples.

    Of two samples with one label set the last counts: Prometheus would refuse the whole scrape over the pair,
    and the later one was read later.

    Raises:
        ValueError: a sample does not have the labels of its family.
    """
    series: dict[str, list[Sample]] = {}
    for sample in samples:
        series.setdefault(sample.family, []).append(sample)
    # The families of one section mostly share their label sets.
    pairs = cache(_pairs)
    return [_block(CATALOGUE[name], server, found, pairs) for name, found in series.items()]


_Pairs = Callable[[tuple[str, ...], tuple[str, ...]], str]


def _block(family: Family, server: str, samples: Iterable[Sample], pairs: _Pairs) -> Block:
    names = family.labels[1:]
    values = {pairs(names, labels): value for _, labels, value in samples}
    start = f'{family.name}{{server="{_escaped(server)}"'
    lines = [f"{start}{labels}}} {_number(value)}\n" for labels, value in values.items()]
    return Block(family, "".join(lines).encode())


def _pairs(names: tuple[str, ...], labels: tuple[str, ...]) -> str:
    if len(names) != len(labels):
        raise ValueError(f"expected values of the labels {names}, got {labels}")
    return "".join([f',{name}="{_escaped(label)}"' for name, label in zip(names, labels, strict=True)])


_SPECIAL: Final = re.compile('[\\\\\n"\ud800-\udfff]')
_ESCAPES: Final = {"\\": r"\\", "\n": r"\n", '"': r"\""}


def _escaped(label: str) -> str:
    """A label value between quotes; half a surrogate pair, which UTF-8 cannot hold, is replaced."""
    if not _SPECIAL.search(label):
        return label
    return _SPECIAL.sub(lambda match: _ESCAPES.get(match[0], "\N{REPLACEMENT CHARACTER}"), label)


_NOT_FINITE: Final = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}


def _number(value: float) -> str:
    text = repr(+value)
    return _NOT_FINITE.get(text, text)


# --- the join ---------------------------------------------------------------------------------------------


def join(
    publications: Iterable[Publication],
    now: float,
    *,
    openmetrics: bool = False,
    groups: Collection[Group] | None = None,
    own: bytes = b"",
) -> bytes:
    """One whole exposition: families in the catalogue's order, each over all servers.

    Args:
        publications: one per server.
        now: by the clock of `Published.started`.
        openmetrics: the format, for the heads and the end.
        groups: show only families of these groups; None shows all.
        own: the exporter's own families, rendered by prometheus_client in the same format.
    """
    lines: dict[str, list[bytes]] = {name: [] for name in _names(groups)}
    for publication in publications:
        for block in publication.blocks(now):
            if block.family.name in lines:
                lines[block.family.name].append(block.lines)
    heads = _HEADS_OPENMETRICS if openmetrics else _HEADS_TEXT
    pieces = [piece for name, found in lines.items() if found for piece in (heads[name], *found)]
    return b"".join([*pieces, own.removesuffix(_EOF), _EOF if openmetrics else b""])


def _names(groups: Collection[Group] | None) -> Sequence[str]:
    return [
        family.name
        for family in CATALOGUE.values()
        if family.group is not None and (groups is None or family.group in groups)
    ]


def _head(family: Family, name: str) -> bytes:
    return f"# HELP {name} {family.help}\n# TYPE {name} {family.kind}\n".encode()


_HEADS_TEXT: Final = {name: _head(family, name) for name, family in CATALOGUE.items()}
# OpenMetrics names a counter's family without the `_total` that its samples have.
_HEADS_OPENMETRICS: Final = {
    name: _head(family, name.removesuffix("_total") if family.kind == "counter" else name)
    for name, family in CATALOGUE.items()
}
