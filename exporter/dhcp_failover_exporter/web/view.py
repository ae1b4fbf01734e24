"""The shapes of what the status page and the JSON API show, and of what they are built from.

The page and the API render these and decide nothing; `overview.py` builds them. All times are epoch seconds,
all durations seconds, ratios 0 to 1.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from dhcp_failover_exporter.failover import Change, ClockOffset
from dhcp_failover_exporter.snapshot import Relationship, Section
from dhcp_failover_exporter.web.advice import Severity

_Record = TypeVar("_Record")

# --- what goes in -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Report:
    """What is known of one configured server at one moment.

    Attributes:
        up: as the metric says it.
        reason: why the last state poll failed, one of errors.REASONS; None while up or not yet polled.
        message: the failure in words.
        polled: when the last state poll that has ended began, answered or not; None before the first. Where
            the reason is suspended, it was held back before the logon.
        answered: when the last state poll that was answered began; None before the first.
        sections: the fresh answers, by section.
        incomplete: the sections that could not be read, or not wholly, and why: one of snapshot.REASONS.
        remembered: the relationships of the last answer, fresh or not.
        related: when that answer was asked for; None before the first.
        changes: since when each relationship, by name, is in its state, where that is known.
        clock: against the exporter's, where the fresh answers tell.
        fingerprints: the lines of the exposition about its configuration, while they may be shown.
        unprotected: its active scopes that are known to be in no relationship.
    """

    server: str
    address: str
    up: bool
    reason: str | None = None
    message: str = ""
    polled: float | None = None
    answered: float | None = None
    interval_seconds: float = 15.0
    sections: Mapping[str, Section] = field(default_factory=dict)
    incomplete: Mapping[str, str] = field(default_factory=dict)
    remembered: Sequence[Relationship] = ()
    related: float | None = None
    changes: Mapping[str, Change] = field(default_factory=dict)
    clock: ClockOffset | None = None
    fingerprints: str = ""
    unprotected: Sequence[str] = ()

    def records(self, section: str, kind: type[_Record]) -> Iterator[_Record]:
        """The records of that kind in a fresh answer; none without one."""
        answer = self.sections.get(section)
        return (record for record in (answer.records if answer else ()) if isinstance(record, kind))


# --- what comes out ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be, at `server` (empty: between the two), and what to do."""

    severity: Severity
    server: str
    meaning: str
    remedy: str
    detail: str = ""


@dataclass(frozen=True)
class Port:
    """A connect that this side tried to TCP 647 of the other; only the primary's carries failover."""

    reachable: bool
    carries_failover: bool
    seconds: float | None
    error: str | None


@dataclass(frozen=True)
class Side:
    """One partner's view of a relationship.

    `state` is None without a fresh answer; `last_state` is then what it last said. `as_of` is when it said
    either, and `reason` why its last poll brought nothing newer, though the state may still count as fresh:
    one of errors.REASONS or of snapshot.REASONS, None where it did, and where it was not asked yet. `free`
    are the addresses, over all scopes of the relationship, that this server may give to new clients alone.
    """

    server: str
    watched: bool
    answering: bool
    role: str
    state: str | None
    last_state: str | None
    as_of: float | None
    reason: str | None
    severity: Severity
    meaning: str
    since: float | None
    since_source: str | None
    polled: float | None
    answered: float | None
    free: int | None
    port: Port | None


@dataclass(frozen=True)
class Pool:
    """Addresses, as the partner that sees most of them counts; `usage_ratio` is None where there are none."""

    in_use: int
    pending: int
    free: int
    usage_ratio: float | None


@dataclass(frozen=True)
class ScopeView:
    """One scope of a relationship; `pool` is None without fresh statistics, `free_of` follows the sides."""

    scope: str
    name: str
    cidr: str
    active: bool | None
    pool: Pool | None
    reserved: int | None
    free_of: tuple[int | None, int | None]


Setting = float | bool | str | None


@dataclass(frozen=True)
class Parameter:
    """One setting of the relationship as each side has it, in `unit`; None where not set or not known."""

    name: str
    unit: str
    values: tuple[Setting, Setting]
    differs: bool


@dataclass(frozen=True)
class RelationshipView:
    """One relationship as both partners see it; the side that dials, the primary, comes first."""

    pair: str
    name: str
    severity: Severity
    mode: str
    sides: tuple[Side, Side]
    pool: Pool | None
    fullest: ScopeView | None
    scopes: tuple[ScopeView, ...]
    parameters: tuple[Parameter, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class PairView:
    """Two servers and what they share, worst first."""

    pair: str
    servers: tuple[str, str]
    severity: Severity
    relationships: tuple[RelationshipView, ...]


@dataclass(frozen=True)
class ServerView:
    """One configured server, whatever it shares with others."""

    server: str
    address: str
    up: bool
    reason: str | None
    severity: Severity
    polled: float | None
    answered: float | None
    interval_seconds: float
    relationships: int | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Refusal:
    """A configuration that could not be loaded, since when, and every mistake in it."""

    since: float
    mistakes: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """Everything, worst first."""

    now: float
    pairs: tuple[PairView, ...]
    servers: tuple[ServerView, ...]

    def relationship(self, pair: str, name: str) -> RelationshipView | None:
        """The relationship of that name between these two, or None."""
        found = (r for p in self.pairs if p.pair == pair for r in p.relationships if r.name == name)
        return next(found, None)
