"""Builds what the status page shows: pairs from single servers' reports, worst first, each cause once.

Pure: reports in, frozen views out. Whether an answer is fresh was decided before: what is no longer fresh
comes here as remembered, and is shown as such.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network
from typing import Final, TypeVar

from dhcp_failover_exporter.failover import Link, Naming, topology
from dhcp_failover_exporter.snapshot import PortProbe, Scope, ScopeStatistics
from dhcp_failover_exporter.web.judgement import (
    Case,
    relationship_problems,
    server_problems,
    side_advice,
    unrenewed,
    worst,
    worst_first,
)
from dhcp_failover_exporter.web.view import (
    Overview,
    PairView,
    Parameter,
    Pool,
    Port,
    RelationshipView,
    Report,
    ScopeView,
    ServerView,
    Setting,
    Side,
)


def overview(reports: Sequence[Report], naming: Naming, now: float) -> Overview:
    """Bring the reports of all servers together."""
    servers = {report.server: report for report in reports}
    grouped: dict[str, list[RelationshipView]] = defaultdict(list)
    for seen in _seen_together(reports, naming):
        view = _Builder(seen, servers, now).relationship()
        grouped[view.pair].append(view)
    return Overview(
        now,
        tuple(worst_first(_pair(relationships) for relationships in grouped.values())),
        tuple(worst_first(_server(report) for report in reports)),
    )


def _seen_together(reports: Iterable[Report], naming: Naming) -> Iterable[Sequence[tuple[Report, Link]]]:
    """Each relationship with the servers that know it, at most the two partners."""
    found: dict[tuple[str, str], list[tuple[Report, Link]]] = defaultdict(list)
    for report in reports:
        for link in topology(report.remembered, naming, report.server).links:
            found[link.pair, link.name].append((report, link))
    return found.values()


def _pair(relationships: Sequence[RelationshipView]) -> PairView:
    first, *_ = ordered = tuple(worst_first(relationships))
    left, right = first.sides
    return PairView(first.pair, (left.server, right.server), first.severity, ordered)


def _server(report: Report) -> ServerView:
    problems = tuple(worst_first(server_problems(report)))
    known = report.sections.get("relationships")
    return ServerView(
        report.server,
        report.address,
        report.up,
        report.reason,
        worst(problems),
        report.polled,
        report.answered,
        report.interval_seconds,
        len(known.records) if known and not known.failure else None,
        problems,
    )


# --- one relationship -------------------------------------------------------------------------------------


class _Builder:
    """Builds one relationship's view from the servers that know it."""

    def __init__(
        self, seen: Sequence[tuple[Report, Link]], servers: Mapping[str, Report], now: float
    ) -> None:
        ordered = sorted(seen, key=lambda both: (both[1].server_type != "primary", both[0].server))[:2]
        self.now = now
        self.links = {report.server: link for report, link in ordered}
        self.first = ordered[0][1]
        names = [report.server for report, _ in ordered]
        if len(names) == 1:
            # The side nobody heard is the primary where the other one says that it is secondary.
            names.insert(0 if self.first.server_type == "secondary" else 1, self.first.partner)
        self.names = (names[0], names[1])
        self.reports = (servers.get(self.names[0]), servers.get(self.names[1]))
        self.statistics = tuple(_by_scope(report, "statistics", ScopeStatistics) for report in self.reports)
        described = [_by_scope(report, "scopes", Scope) for report in self.reports]
        self.described = described[1] | described[0]

    def relationship(self) -> RelationshipView:
        scopes = tuple(sorted(map(self.scope, self.scope_ids()), key=_fullest_first))
        sides = (self.side(0, scopes), self.side(1, scopes))
        parameters = tuple(self.parameters())
        case = Case(self.first.name, self.now, self.reports, self.known(), sides, scopes, parameters)
        problems = relationship_problems(case)
        return RelationshipView(
            pair=self.first.pair,
            name=self.first.name,
            severity=worst((*sides, *problems)),
            mode=self.first.relationship.mode or "",
            sides=sides,
            pool=_sum([scope.pool for scope in scopes if scope.pool]),
            fullest=scopes[0] if scopes and scopes[0].pool else None,
            scopes=scopes,
            parameters=parameters,
            problems=problems,
        )

    # sides

    def side(self, index: int, scopes: Sequence[ScopeView]) -> Side:
        name, report = self.names[index], self.reports[index]
        link = self.links.get(name)
        answering = report is not None and "relationships" in report.sections
        state = link.state if link and answering else None
        change = report.changes.get(link.name) if report and link and state else None
        meant = side_advice(report, link, self.now)
        own = [scope.free_of[index] for scope in scopes]
        return Side(
            server=name,
            watched=report is not None,
            answering=answering,
            role=self.role(index),
            state=state,
            last_state=link.state if link and not answering else None,
            as_of=report.related if report and link else None,
            reason=unrenewed(report) if report else None,
            severity=meant.severity,
            meaning=meant.meaning,
            since=change.at if change else None,
            since_source=change.source if change else None,
            polled=report.polled if report else None,
            answered=report.answered if report else None,
            free=sum(free for free in own if free is not None) if any(f is not None for f in own) else None,
            port=self.port(index),
        )

    def role(self, index: int) -> str:
        link = self.links.get(self.names[index])
        if link:
            return link.server_type
        return {"primary": "secondary", "secondary": "primary"}.get(self.first.server_type, "")

    def port(self, index: int) -> Port | None:
        report, link = self.reports[index], self.links.get(self.names[index])
        if not report or not link:
            return None
        asked = link.relationship.partner_server.casefold()
        for probe in report.records("ports", PortProbe):
            if probe.partner_server.casefold() == asked:
                return Port(probe.reachable, link.server_type == "primary", probe.seconds, probe.error)
        return None

    # scopes

    def scope_ids(self) -> Iterable[str]:
        return dict.fromkeys(scope for link in self.links.values() for scope in link.relationship.scope_id)

    def scope(self, scope_id: str) -> ScopeView:
        left, right = (statistics.get(scope_id) for statistics in self.statistics)
        seen = [one for one in (left, right) if one]
        described = self.described.get(scope_id)
        return ScopeView(
            scope=scope_id,
            name=(described.name if described else None) or "",
            cidr=_cidr(scope_id, described.subnet_mask if described else None),
            active=described.state.casefold() == "active" if described and described.state else None,
            pool=_largest(seen),
            reserved=max((one.reserved_address or 0 for one in seen), default=None),
            free_of=(_own_free(left, right), _own_free(right, left)),
        )

    # parameters

    def known(self) -> tuple[Link | None, Link | None]:
        return self.links.get(self.names[0]), self.links.get(self.names[1])

    def parameters(self) -> Iterator[Parameter]:
        known = self.known()
        for label, attribute, unit in _PARAMETERS:
            left, right = (getattr(link.relationship, attribute) if link else None for link in known)
            if left is not None or right is not None:
                yield Parameter(label, unit, (left, right), None not in known and _differ(label, left, right))


_PARAMETERS: Final = (
    ("Mode", "mode", ""),
    ("Role", "server_role", ""),
    ("Maximum client lead time", "max_client_lead_time", "s"),
    ("State switchover interval", "state_switch_interval", "s"),
    ("Automatic state transition", "auto_state_transition", ""),
    ("Load balance", "load_balance_percent", "%"),
    ("Reserve", "reserve_percent", "%"),
    ("Message authentication", "enable_auth", ""),
)
_WHOLE_PERCENT: Final = 100


def _differ(parameter: str, left: Setting, right: Setting) -> bool:
    if parameter == "Role":  # each side has its own
        return False
    if parameter == "Load balance" and isinstance(left, int | float) and isinstance(right, int | float):
        # Whether Windows shows each server's own share or one number on both is not documented.
        return left != right and left + right != _WHOLE_PERCENT
    return left != right


# --- addresses --------------------------------------------------------------------------------------------


def _pool(in_use: int, pending: int, free: int) -> Pool:
    size = in_use + pending + free
    return Pool(in_use, pending, free, (in_use + pending) / size if size else None)


def _largest(seen: Sequence[ScopeStatistics]) -> Pool | None:
    """Both partners report the whole scope, so the larger number of each kind counts."""
    if not seen:
        return None
    return _pool(
        max(one.addresses_in_use or 0 for one in seen),
        max(one.pending_offers or 0 for one in seen),
        max(one.addresses_free or 0 for one in seen),
    )


def _sum(pools: Sequence[Pool]) -> Pool | None:
    if not pools:
        return None
    return _pool(sum(p.in_use for p in pools), sum(p.pending for p in pools), sum(p.free for p in pools))


def _own_free(own: ScopeStatistics | None, partner: ScopeStatistics | None) -> int | None:
    """A server's own free addresses by its own word, else by its partner's."""
    if own and own.addresses_free_on_this_server is not None:
        return own.addresses_free_on_this_server
    return partner.addresses_free_on_partner_server if partner else None


def _fullest_first(scope: ScopeView) -> tuple[float, str]:
    return -_usage(scope), scope.scope


def _usage(scope: ScopeView) -> float:
    """The ratio, below 0 where it is not known."""
    return -1.0 if scope.pool is None or scope.pool.usage_ratio is None else scope.pool.usage_ratio


@lru_cache(maxsize=1 << 16)
def _cidr(scope_id: str, mask: str | None) -> str:
    try:
        return str(IPv4Network(f"{scope_id}/{mask}"))
    except ValueError:
        return scope_id


# --- small things -----------------------------------------------------------------------------------------

_OfScope = TypeVar("_OfScope", Scope, ScopeStatistics)


def _by_scope(report: Report | None, section: str, kind: type[_OfScope]) -> dict[str, _OfScope]:
    return {record.scope_id: record for record in (report.records(section, kind) if report else ())}
