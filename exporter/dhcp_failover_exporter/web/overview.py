"""Builds what the status page shows: pairs from single servers' reports, worst first, each cause once.

Pure: reports in, frozen views out. Whether an answer is fresh was decided before: what is no longer fresh
comes here as remembered, and is shown as such.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Network
from typing import Final, TypeVar

from dhcp_failover_exporter.failover import CLOCK_CRITICAL_SECONDS, Link, Naming, topology
from dhcp_failover_exporter.snapshot import FirewallRule, PortProbe, Scope, ScopeStatistics, ServerSetting
from dhcp_failover_exporter.web import advice
from dhcp_failover_exporter.web.advice import Advice, Severity
from dhcp_failover_exporter.web.view import (
    Overview,
    PairView,
    Parameter,
    Pool,
    Port,
    Problem,
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
        tuple(_worst_first(_pair(relationships) for relationships in grouped.values())),
        tuple(_worst_first(_server(report) for report in reports)),
    )


def _seen_together(reports: Iterable[Report], naming: Naming) -> Iterable[Sequence[tuple[Report, Link]]]:
    """Each relationship with the servers that know it, at most the two partners."""
    found: dict[tuple[str, str], list[tuple[Report, Link]]] = defaultdict(list)
    for report in reports:
        for link in topology(report.remembered, naming, report.server).links:
            found[link.pair, link.name].append((report, link))
    return found.values()


def _pair(relationships: Sequence[RelationshipView]) -> PairView:
    first, *_ = ordered = tuple(_worst_first(relationships))
    left, right = first.sides
    return PairView(first.pair, (left.server, right.server), first.severity, ordered)


def _server(report: Report) -> ServerView:
    problems = tuple(_worst_first(_server_problems(report)))
    known = report.sections.get("relationships")
    return ServerView(
        report.server,
        report.address,
        report.up,
        report.reason,
        _worst(problems),
        report.answered,
        report.interval_seconds,
        len(known.records) if known and not known.failure else None,
        problems,
    )


def _server_problems(report: Report) -> Iterator[Problem]:
    if report.reason:
        yield _problem(advice.POLL_FAILURES[report.reason], report.server, report.message)
    elif not report.up:
        yield _problem(advice.NOT_POLLED, report.server)
    else:
        for reason in dict.fromkeys(report.incomplete.values()):
            names = [name for name, why in report.incomplete.items() if why == reason]
            yield _problem(_section_advice(reason, names), report.server, ", ".join(names))
        for setting in _records(report, "settings", ServerSetting):
            if setting.is_domain_joined and setting.is_authorized is False:
                yield _problem(advice.NOT_AUTHORIZED, report.server)


def _section_advice(reason: str, sections: Sequence[str]) -> Advice:
    """Without its relationships nothing is known of a server's failover, whatever the reason."""
    meant = advice.SECTION_FAILURES[reason]
    return replace(meant, severity="critical") if "relationships" in sections else meant


# --- one relationship -------------------------------------------------------------------------------------

# States that belong together though they differ; anything goes with a partner that does not answer.
_LEGAL_TOGETHER: Final = frozenset(
    frozenset(states)
    for states in (
        ("PartnerDown", "Startup"),
        ("PartnerDown", "Recover"),
        ("PartnerDown", "RecoverWait"),
        ("PartnerDown", "RecoverDone"),
        ("PotentialConflict", "ConflictDone"),
        ("PotentialConflict", "ResolutionInterrupted"),
        ("CommunicationInterrupted", "Startup"),
        ("CommunicationInterrupted", "RecoverDone"),
    )
)
# Both partners are not asked in the same second: a change takes a moment to show on both sides.
_SETTLING_SECONDS: Final = 60.0
# From here on a scope's next clients are at risk.
NEARLY_FULL_RATIO: Final = 0.95


def _reason(report: Report) -> str | None:
    """Why there is no fresh answer about the relationships."""
    return report.incomplete.get("relationships") if report.up else report.reason


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
        self.reports = tuple(servers.get(name) for name in self.names)
        self.statistics = tuple(_by_scope(report, "statistics", ScopeStatistics) for report in self.reports)
        described = [_by_scope(report, "scopes", Scope) for report in self.reports]
        self.described = described[1] | described[0]

    def relationship(self) -> RelationshipView:
        scopes = tuple(sorted(map(self.scope, self.scope_ids()), key=_fullest_first))
        sides = (self.side(0, scopes), self.side(1, scopes))
        problems = tuple(self.problems(sides, scopes))
        return RelationshipView(
            pair=self.first.pair,
            name=self.first.name,
            severity=_worst((*sides, *problems)),
            mode=self.first.relationship.mode or "",
            sides=sides,
            pool=_sum([scope.pool for scope in scopes if scope.pool]),
            fullest=scopes[0] if scopes and scopes[0].pool else None,
            scopes=scopes,
            parameters=tuple(self.parameters()),
            problems=problems,
        )

    # sides

    def side(self, index: int, scopes: Sequence[ScopeView]) -> Side:
        name, report = self.names[index], self.reports[index]
        link = self.links.get(name)
        answering = report is not None and "relationships" in report.sections
        state = link.state if link and answering else None
        change = report.changes.get(link.name) if report and link and state else None
        meant = self.meant(report, state)
        own = [scope.free_of[index] for scope in scopes]
        return Side(
            server=name,
            watched=report is not None,
            answering=answering,
            role=self.role(index),
            state=state,
            last_state=link.state if link and not answering else None,
            reason=_reason(report) if report and not answering else None,
            severity=meant.severity,
            meaning=meant.meaning,
            since=change.at if change else None,
            since_source=change.source if change else None,
            answered=report.answered if report else None,
            free=sum(free for free in own if free is not None) if any(f is not None for f in own) else None,
            port=self.port(index),
        )

    def role(self, index: int) -> str:
        link = self.links.get(self.names[index])
        if link:
            return link.server_type
        return {"primary": "secondary", "secondary": "primary"}.get(self.first.server_type, "")

    def meant(self, report: Report | None, state: str | None) -> Advice:
        if report is None:
            return advice.NOT_CONFIGURED
        if state is not None:
            return advice.of_state(state)
        if "relationships" in report.sections:
            return advice.ONE_SIDED
        reason = _reason(report)
        if reason is None:
            return advice.NOT_POLLED
        return _section_advice(reason, ["relationships"]) if report.up else advice.POLL_FAILURES[reason]

    def port(self, index: int) -> Port | None:
        report, link = self.reports[index], self.links.get(self.names[index])
        if not report or not link:
            return None
        asked = link.relationship.partner_server.casefold()
        for probe in _records(report, "ports", PortProbe):
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

    def parameters(self) -> Iterator[Parameter]:
        known = [self.links[name].relationship if name in self.links else None for name in self.names]
        for label, attribute, unit in _PARAMETERS:
            left, right = (getattr(one, attribute) if one else None for one in known)
            if left is not None or right is not None:
                yield Parameter(label, unit, (left, right), None not in known and _differ(label, left, right))

    # problems

    def problems(self, sides: tuple[Side, Side], scopes: Sequence[ScopeView]) -> Sequence[Problem]:
        return _worst_first(_said_once((*self.side_problems(sides), *self.shared_problems(sides, scopes))))

    def side_problems(self, sides: tuple[Side, Side]) -> Iterator[Problem]:
        """Causes before consequences."""
        for side in sides:
            if side.port and side.port.carries_failover and not side.port.reachable:
                yield _problem(advice.PORT_CLOSED, side.server, self.port_detail(side.port))
        for side, report in zip(sides, self.reports, strict=True):
            told = list(_server_problems(report)) if report else []
            yield from told
            meant = self.meant(report, side.state)
            if meant.severity != "ok" and meant.meaning not in (problem.meaning for problem in told):
                yield _problem(meant, side.server)

    def shared_problems(self, sides: tuple[Side, Side], scopes: Sequence[ScopeView]) -> Iterator[Problem]:
        if self.disagree(sides):
            yield _problem(advice.DISAGREEMENT, "", " and ".join(side.state or "" for side in sides))
        if differing := [parameter.name for parameter in self.parameters() if parameter.differs]:
            yield _problem(advice.DIFFERENT_SETTINGS, "", ", ".join(differing))
        if full := [scope.scope for scope in scopes if _usage(scope) >= NEARLY_FULL_RATIO]:
            yield _problem(advice.NEARLY_FULL, "", _listed(full))
        yield from self.clocks()

    def port_detail(self, port: Port) -> str:
        """The answer to the connect, and the rule that explains it, if the secondary's firewall shows one."""
        rules = [
            it for it in _records(self.reports[1], "firewall", FirewallRule) if it.direction == "Inbound"
        ]
        blocking = [rule.name for rule in rules if rule.enabled and rule.action == "Block"]
        allowing = [rule for rule in rules if rule.action != "Block"]
        off = [] if any(rule.enabled for rule in allowing) else [rule.name for rule in allowing]
        said = (
            *(f"rule {name} blocks it there" for name in blocking),
            *(f"rule {name} is off there" for name in off),
        )
        return ", ".join(filter(None, (port.error, *said)))

    def disagree(self, sides: tuple[Side, Side]) -> bool:
        states = frozenset(side.state for side in sides)
        changed = max((side.since or 0.0 for side in sides), default=0.0)
        settled = self.now - changed > _SETTLING_SECONDS
        return None not in states and len(states) > 1 and states not in _LEGAL_TOGETHER and settled

    def clocks(self) -> Iterator[Problem]:
        left, right = (report.clock if report else None for report in self.reports)
        if left and right:
            apart = abs(left.seconds - right.seconds)
            if apart - left.uncertainty_seconds - right.uncertainty_seconds > CLOCK_CRITICAL_SECONDS:
                yield _problem(advice.CLOCKS_APART, "", f"{apart:.0f} s apart")


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


_LISTED_AT_MOST: Final = 5

# --- small things -----------------------------------------------------------------------------------------

_Record = TypeVar("_Record")
_OfScope = TypeVar("_OfScope", Scope, ScopeStatistics)
_Weighted = TypeVar("_Weighted", Problem, Side, RelationshipView, PairView, ServerView)


def _records(report: Report | None, section: str, kind: type[_Record]) -> Iterator[_Record]:
    answered = report.sections.get(section) if report else None
    return (record for record in (answered.records if answered else ()) if isinstance(record, kind))


def _by_scope(report: Report | None, section: str, kind: type[_OfScope]) -> dict[str, _OfScope]:
    return {record.scope_id: record for record in _records(report, section, kind)}


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED_AT_MOST
    return ", ".join(names[:_LISTED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def _problem(meant: Advice, server: str, detail: str = "") -> Problem:
    return Problem(meant.severity, server, meant.meaning, meant.remedy, detail)


def _said_once(problems: Iterable[Problem]) -> Iterator[Problem]:
    """What both servers suffer from alike is one problem of both."""
    alike: dict[Problem, list[str]] = {}
    for problem in problems:
        alike.setdefault(replace(problem, server=""), []).append(problem.server)
    for problem, servers in alike.items():
        yield replace(problem, server=" and ".join(filter(None, servers)))


def _worst_first(weighted: Iterable[_Weighted]) -> list[_Weighted]:
    """By weight; what weighs alike keeps its order."""
    return sorted(weighted, key=lambda one: advice.SEVERITIES.index(one.severity))


def _worst(weighted: Iterable[Problem | Side]) -> Severity:
    return min((one.severity for one in weighted), key=advice.SEVERITIES.index, default="ok")
