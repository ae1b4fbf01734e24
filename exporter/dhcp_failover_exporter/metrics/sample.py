"""A sample, and how one is made: not set means none, never 0."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dhcp_failover_exporter.metrics.catalogue import PREFIX


class Sample(NamedTuple):
    """One sample of a family of `CATALOGUE`: the values of its labels after `server`, and its value."""

    family: str
    labels: tuple[str, ...]
    value: float


def when_set(name: str, value: float | None, *labels: str | None) -> Iterator[Sample]:
    """One sample, or none where the value is not set; a label that is not set is empty."""
    if value is not None:
        yield Sample(PREFIX + name, tuple(label or "" for label in labels), value)


def one_hot(name: str, chosen: str | None, members: Iterable[str], *labels: str) -> Iterator[Sample]:
    """One sample per member of an enumeration, 1 for the chosen one."""
    for member in members:
        yield Sample(PREFIX + name, (*labels, member), int(member == chosen))
