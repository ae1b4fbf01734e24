"""Two sides of a relationship compared, and what replication would make of the differences. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from dhcp_failover_exporter.drift import Difference, differences
from dhcp_failover_exporter.failover import Link
from dhcp_failover_exporter.snapshot import ScopeConfiguration, SectionError, ServerOptions

ABSENT: Final = "DHCP 20005"
"""The server has no such scope."""
_OUTSIDE: Final = "DHCP 20116"
_PARTS: Final = ("properties", "options", "reservations", "exclusions", "policies")


@dataclass(frozen=True)
class Side:
    """One partner: its relationship, and the configuration of its scopes."""

    server: str
    link: Link
    scopes: Mapping[str, ScopeConfiguration]
    absent: frozenset[str] = frozenset()
    options: ServerOptions | None = None
    errors: tuple[SectionError, ...] = ()

    @property
    def members(self) -> frozenset[str]:
        """The scopes of the relationship, as this server has it."""
        return frozenset(self.link.relationship.scope_id)


@dataclass(frozen=True)
class ScopeDifference:
    """What differs in one scope. `missing_on` names a server that lacks all of it, or its membership."""

    scope: str
    name: str
    items: tuple[Difference, ...] = ()
    missing_on: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Both sides; in every difference `ours` is the first side's, `theirs` the second's."""

    relationship: str
    sides: tuple[Side, Side]
    compared: int
    scopes: tuple[ScopeDifference, ...]
    server_options: tuple[Difference, ...]
    not_compared: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """As `diff` has it: 0 same, 1 different, 2 trouble: something could not be compared."""
        if self.not_compared:
            return 2
        return 1 if self.scopes or self.server_options else 0


def compare(ours: Side, theirs: Side) -> Comparison:
    """Scope by scope; what one side could not be asked for is told, not taken for a difference."""
    both = sorted(ours.scopes.keys() & theirs.scopes.keys(), key=_order)
    found = [_scope_difference(ours.scopes[scope], theirs.scopes[scope]) for scope in both]
    return Comparison(
        relationship=ours.link.name,
        sides=(ours, theirs),
        compared=len(both),
        scopes=tuple(sorted([*_lonely(ours, theirs), *filter(None, found)], key=lambda it: _order(it.scope))),
        server_options=tuple(_server_option_differences(ours, theirs)),
        not_compared=tuple(text for side in (ours, theirs) for text in _gaps(side)),
    )


def _order(scope: str) -> tuple[int, ...]:
    return tuple(int(number) for number in scope.split("."))


def _scope_difference(ours: ScopeConfiguration, theirs: ScopeConfiguration) -> ScopeDifference | None:
    items = sorted(differences(ours, theirs), key=lambda it: _PARTS.index(it.part))
    return ScopeDifference(ours.scope_id, _name(ours), tuple(items)) if items else None


def _lonely(ours: Side, theirs: Side) -> Iterator[ScopeDifference]:
    """Scopes that one side does not have, or does not have in this relationship."""
    for here, there in ((ours, theirs), (theirs, ours)):
        for scope in here.members - there.members | here.members & there.absent:
            known = here.scopes.get(scope)
            yield ScopeDifference(scope, _name(known) if known else "", missing_on=there.server)


def _name(configuration: ScopeConfiguration) -> str:
    return str((configuration.scope or {}).get("Name") or "")


def _server_option_differences(ours: Side, theirs: Side) -> Iterator[Difference]:
    if ours.options and theirs.options:
        yield from differences(
            ScopeConfiguration("0.0.0.0", options=ours.options.server_options),  # noqa: S104 - no scope's name
            ScopeConfiguration("0.0.0.0", options=theirs.options.server_options),  # noqa: S104 - the same
        )


def _gaps(side: Side) -> Iterator[str]:
    counts = Counter(
        error.id or error.message for error in side.errors if error.code not in {ABSENT, _OUTSIDE}
    )
    yield from (f"{side.server}: {what} ({times} x)" for what, times in counts.items())


@dataclass(frozen=True)
class Change:
    """What replication does to one item: `verb` is create, overwrite or delete; `lost` what stood there."""

    verb: str
    scope: str
    difference: Difference
    lost: object


@dataclass(frozen=True)
class Replication:
    """What Invoke-DhcpServerv4FailoverReplication, started on one server, would do to the other."""

    start_on: str
    overwrites: str
    scopes: tuple[str, ...]
    changes: tuple[Change, ...]

    @property
    def command(self) -> str:
        """To be run on `start_on`, by a DHCP administrator."""
        return f"Invoke-DhcpServerv4FailoverReplication -ScopeId {','.join(self.scopes)}"


def replications(comparison: Comparison) -> list[Replication]:
    """Both directions: the server where replication starts wins; scopes that one side lacks are left out."""
    first, second = (side.server for side in comparison.sides)
    shared = [scope for scope in comparison.scopes if scope.items]
    scopes = tuple(scope.scope for scope in shared)
    found = [(scope.scope, it) for scope in shared for it in scope.items]
    there = tuple(_change(scope, it, it.ours, it.theirs) for scope, it in found)
    back = tuple(_change(scope, it, it.theirs, it.ours) for scope, it in found)
    both = [Replication(first, second, scopes, there), Replication(second, first, scopes, back)]
    return both if found else []


def _change(scope: str, it: Difference, wins: object, loses: object) -> Change:
    if it.field is not None:
        return Change("overwrite", scope, it, loses)
    return Change("create" if wins is not None else "delete", scope, it, loses)
