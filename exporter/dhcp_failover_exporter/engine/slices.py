"""Sections about scopes, asked for in slices that hold a server for no more than about two seconds.

Pure: every moment is handed in. What this file does not know: which section it is, what else is due.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from dhcp_failover_exporter.snapshot import Section, merge

SLICE_SECONDS: Final = 2.0
_ALL: Final = 1 << 31


class Estimate:
    """How long something takes, from what was measured. It believes bad news at once, good news by halves."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def learn(self, seconds: float) -> None:
        """It took so long this time."""
        self.seconds = max(seconds, (seconds + self.seconds) / 2)


def scopes_in(seconds: float, seconds_per_scope: float) -> int:
    """How many scopes fit; one at least, or nothing would ever be read."""
    return max(1, int(seconds / seconds_per_scope)) if seconds_per_scope > 0 else _ALL


@dataclass
class Round:
    """One collection of one section: started, asked for slice by slice, published with the last.

    `scopes` is empty where the section can only be asked for whole. `listed` says that a slice must name its
    scopes even if it holds all of them, because the server has more than are wanted.
    """

    started: float
    scopes: Sequence[str] = ()
    listed: bool = False
    spread_seconds: float = 0.0
    pieces: list[Section] = field(default_factory=list)
    asked: int = 0

    @property
    def done(self) -> bool:
        """Whether every scope was asked for."""
        return bool(self.pieces) and self.asked >= len(self.scopes)

    @property
    def due(self) -> float:
        """When the next slice may start, so that the slices are spread evenly."""
        return self.started + self.spread_seconds * self.asked / max(len(self.scopes), 1)

    def take(self, count: int) -> tuple[str, ...]:
        """The next scopes to ask for; empty means the whole section, which needs no list."""
        if not self.listed and not self.asked and count >= len(self.scopes):
            return ()
        return tuple(self.scopes[self.asked : self.asked + count])

    def add(self, piece: Section, count: int) -> None:
        """Note the answer to a slice of so many scopes (0: all)."""
        self.pieces.append(piece)
        self.asked += count or len(self.scopes)

    def correct(self, piece: Section, scopes: Collection[str]) -> None:
        """Note what was read of some scopes out of turn: what earlier slices say of them is outdated."""
        self.pieces = [*(it.without(scopes) for it in self.pieces), piece]

    def merged(self) -> Section:
        """All slices as one section."""
        return merge(self.pieces)
