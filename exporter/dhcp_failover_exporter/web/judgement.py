"""What is wrong with a server or a relationship, and how bad it is: as bad as the alert rules say.

Pure. The conditions and severities are those of `alerts/dhcp-failover.rules.yml`, seen at this moment: the
page does not wait for a rule's `for`, and what a rule finds only by looking back over time is left to it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from dhcp_failover_exporter.failover import (
    CLOCK_CRITICAL_SECONDS,
    CLOCK_WARNING_SECONDS,
    Change,
    Firewall,
    Link,
    firewall,
    folded,
)
from dhcp_failover_exporter.snapshot import FirewallRule, Server, ServerSetting
from dhcp_failover_exporter.web import advice
from dhcp_failover_exporter.web.advice import Advice, Severity
from dhcp_failover_exporter.web.fingerprints import differing
from dhcp_failover_exporter.web.view import (
    PairView,
    Parameter,
    Problem,
    RelationshipView,
    Report,
    ScopeView,
    ServerView,
    Side,
)

# --- a server ---------------------------------------------------------------------------------------------


def server_problems(report: Report) -> Iterator[Problem]:
    """Whatever it shares with others."""
    if report.reason:
        yield _problem(advice.POLL_FAILURES[report.reason], report.server, report.message)
    elif not report.up:
        yield _problem(advice.NOT_POLLED, report.server)
    else:
        yield from _incomplete_sections(report)
        yield from _service(report)
        if report.unprotected:
            yield _problem(advice.UNPROTECTED, report.server, _listed(report.unprotected))


def _incomplete_sections(report: Report) -> Iterator[Problem]:
    for reason in dict.fromkeys(report.incomplete.values()):
        names = [name for name, why in report.incomplete.items() if why == reason]
        yield _problem(_section_advice(reason, names), report.server, ", ".join(names))


def _section_advice(reason: str, sections: Sequence[str]) -> Advice:
    """Of a server that refuses its relationships, or whose service is down, nothing is known."""
    meant = advice.SECTION_FAILURES[reason]
    blind = "relationships" in sections and reason in ("permission", "dhcp")
    return replace(meant, severity="critical") if blind else meant


def _service(report: Report) -> Iterator[Problem]:
    told = report.incomplete.get("relationships") == "dhcp"
    for server in report.records("server", Server):
        if server.service_status and folded(server.service_status) != "running" and not told:
            yield _problem(advice.SERVICE_STOPPED, report.server, server.service_status)
    for setting in report.records("settings", ServerSetting):
        if setting.is_domain_joined and setting.is_authorized is False:
            yield _problem(advice.NOT_AUTHORIZED, report.server)


# --- a side of a relationship -----------------------------------------------------------------------------

# By so much an automatic or designed step may come late.
_GRACE_SECONDS: Final = 120.0
# How long a state may last that passes by itself.
_PASSING_SECONDS: Final = {
    "Recover": 1800.0,
    "RecoverDone": 900.0,
    "Startup": 900.0,
    "Init": 900.0,
    "ConflictDone": 900.0,
}
_MCLTS_OF_RECOVER_WAIT: Final = 1.5


def side_advice(report: Report | None, link: Link | None, now: float) -> Advice:
    """The worst that is known of one side: what keeps it from answering, or its state, fresh or last said."""
    if report is None:
        return advice.NOT_CONFIGURED
    silent = _silence(report)
    if link is None:
        return silent or advice.ONE_SIDED
    state = _state_advice(link, report.changes.get(link.name), now)
    return min((silent or state, state), key=_weight)


def unrenewed(report: Report) -> str | None:
    """Why the last state poll brought no relationships; None where it did, and before the first."""
    if not report.up:
        return report.reason
    renewed = (report.related or 0.0) >= (report.answered or 0.0)
    if "relationships" in report.sections and renewed:
        return None
    return report.incomplete.get("relationships")


def _silence(report: Report) -> Advice | None:
    reason = unrenewed(report)
    if reason is None:
        return None if "relationships" in report.sections else advice.NOT_POLLED
    return _section_advice(reason, ["relationships"]) if report.up else advice.POLL_FAILURES[reason]


def _state_advice(link: Link, change: Change | None, now: float) -> Advice:
    limit = _limit_seconds(link)
    if change is not None and limit is not None and now - change.at > limit:
        return advice.OVERSTAYED[link.state]
    return advice.of_state(link.state)


def _limit_seconds(link: Link) -> float | None:
    """How long this state may last before somebody has to act; None for ever, or where it is not known."""
    lead, switch = link.relationship.max_client_lead_time, link.relationship.state_switch_interval
    if link.state == "CommunicationInterrupted":
        partner_down = lead if switch is None else switch
        return None if partner_down is None else partner_down + _GRACE_SECONDS
    if link.state == "RecoverWait":
        return None if lead is None else _MCLTS_OF_RECOVER_WAIT * lead + _GRACE_SECONDS
    return _PASSING_SECONDS.get(link.state)


# --- a relationship ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One relationship with all that is known of it; what comes in twos follows the sides, primary first."""

    name: str
    now: float
    reports: tuple[Report | None, Report | None]
    links: tuple[Link | None, Link | None]
    sides: tuple[Side, Side]
    scopes: Sequence[ScopeView]
    parameters: Sequence[Parameter]


def relationship_problems(case: Case) -> tuple[Problem, ...]:
    """Worst first, causes before consequences, each once."""
    found = (
        *_closed_ways(case),
        *_of_states(case),
        *_of_sides(case),
        *_of_settings(case),
        *_of_addresses(case),
        *_of_clocks(case),
        *_drifted(case),
    )
    return tuple(worst_first(_said_once(found)))


def _closed_ways(case: Case) -> Iterator[Problem]:
    """The primary's way to the secondary, and the secondary's firewall where nothing else tells of it."""
    (dialing, listening), report = case.sides, case.reports[1]
    shut = firewall(report.records("firewall", FirewallRule) if report else ())
    if dialing.port and dialing.port.carries_failover and not dialing.port.reachable:
        said = ", ".join(filter(None, (dialing.port.error, _rules(shut))))
        yield _problem(advice.PORT_CLOSED, dialing.server, said)
    elif listening.role == "secondary" and shut.closed:
        yield _problem(advice.FIREWALL_CLOSED, listening.server, _rules(shut))


def _rules(shut: Firewall) -> str:
    """The rules that explain a closed port, by name."""
    return ", ".join(
        (
            *(f"rule {rule.name} blocks it there" for rule in shut.blocking),
            *(f"rule {rule.name} is {'off' if rule.present else 'missing'} there" for rule in shut.off),
        )
    )


def _of_sides(case: Case) -> Iterator[Problem]:
    for side, report, link in zip(case.sides, case.reports, case.links, strict=True):
        if report is None:
            yield _problem(advice.NOT_CONFIGURED, side.server)
            continue
        yield from (told := list(server_problems(report)))
        silent = _silence(report)
        if silent and silent.meaning not in (problem.meaning for problem in told):
            yield _problem(silent, side.server)
        yield from _of_view(side, report, link, case.now)


def _of_view(side: Side, report: Report, link: Link | None, now: float) -> Iterator[Problem]:
    """What the side says of the relationship, or said last."""
    if link is None:
        if side.answering:
            yield _problem(advice.ONE_SIDED, side.server)
        return
    meant = _state_advice(link, report.changes.get(link.name), now)
    if meant.severity != "ok":
        yield _problem(meant, side.server, f"{link.state}, as it said last" if _silence(report) else "")


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
# In these a server gives clients nothing that its partner in PartnerDown could give as well.
_NOT_SERVING: Final = frozenset(("Startup", "Init", "NoState", "Recover", "RecoverWait", "RecoverDone"))
# Both partners are not asked in the same second: a change takes a moment to show on both sides.
_SETTLING_SECONDS: Final = 60.0


def _of_states(case: Case) -> Iterator[Problem]:
    """What the two say together."""
    if all(report and _out_of_reach(report) for report in case.reports):
        yield _problem(advice.PAIR_UNREACHABLE, "")
    if case.now - max(side.since or 0.0 for side in case.sides) <= _SETTLING_SECONDS:
        return
    said = " and ".join(side.state or f"{side.last_state}, as it said last" for side in case.sides)
    if _partner_serves(*case.sides) or _partner_serves(*reversed(case.sides)):
        yield _problem(advice.PARTNER_SERVES, "", said)
    elif _disagree(case.sides):
        yield _problem(advice.DISAGREEMENT, "", said)


def _out_of_reach(report: Report) -> bool:
    """A refused logon is an incident of the credential, and says nothing about the server."""
    return report.reason not in (None, "auth", "suspended")


def _partner_serves(one: Side, other: Side) -> bool:
    """Whether one takes the other for dead, which answers, and serves.

    Two that answer in PartnerDown both serve: that is a split brain.
    """
    takes_for_dead = (one.state or one.last_state) == "PartnerDown"
    if other.state == "PartnerDown":
        return takes_for_dead and one.state is not None
    return takes_for_dead and other.state is not None and other.state not in _NOT_SERVING


def _disagree(sides: tuple[Side, Side]) -> bool:
    states = frozenset(side.state for side in sides)
    return None not in states and len(states) > 1 and states not in _LEGAL_TOGETHER


def _of_settings(case: Case) -> Iterator[Problem]:
    if differing_ones := [parameter.name for parameter in case.parameters if parameter.differs]:
        yield _problem(advice.DIFFERENT_SETTINGS, "", ", ".join(differing_ones))
    known = [link.relationship for link in case.links if link]
    secured = {it.enable_auth for it in known if it.enable_auth is not None}
    if secured == {False}:
        yield _problem(advice.NOT_AUTHENTICATED, "")
    if all(side.state for side in case.sides) and (alone := _on_one_side([it.scope_id for it in known])):
        yield _problem(advice.SCOPE_ON_ONE_PARTNER, "", _listed(alone))


def _on_one_side(scopes: Sequence[Sequence[str]]) -> Sequence[str]:
    return sorted(set(scopes[0]).symmetric_difference(scopes[1]))


# From here on a look at a scope is worth while, though no rule alerts before it is full or about to be.
NEARLY_FULL_RATIO: Final = 0.95


def _of_addresses(case: Case) -> Iterator[Problem]:
    used = [(scope, scope.pool) for scope in case.scopes if scope.pool and scope.active is not False]
    if full := [scope.scope for scope, pool in used if pool.free == 0]:
        yield _problem(advice.FULL, "", _listed(full))
    if nearly := [scope.scope for scope, pool in used if pool.free and _ratio(scope) >= NEARLY_FULL_RATIO]:
        yield _problem(advice.NEARLY_FULL, "", _listed(nearly))
    for index, side in enumerate(case.sides):
        yield from _own_pool(case, index, side)


def _ratio(scope: ScopeView) -> float:
    return (scope.pool and scope.pool.usage_ratio) or 0.0


def _own_pool(case: Case, index: int, side: Side) -> Iterator[Problem]:
    """Alone, a server has its own addresses only; with its partner, a share that is empty refuses clients."""
    link = case.links[index]
    share = link and link.relationship.load_balance_percent
    dry = [scope for scope in case.scopes if scope.active is not False and scope.free_of[index] == 0]
    if dry and (side.state or side.last_state) == "CommunicationInterrupted":
        yield _problem(advice.OWN_POOL_DRY, side.server, _listed([scope.scope for scope in dry]))
    elif share and share < _WHOLE_PERCENT:
        lopsided = [scope.scope for scope in dry if scope.pool and scope.pool.free]
        if lopsided:
            yield _problem(advice.OWN_SHARE_DRY, side.server, _listed(lopsided))


_WHOLE_PERCENT: Final = 100


def _of_clocks(case: Case) -> Iterator[Problem]:
    left, right = (report.clock if report else None for report in case.reports)
    if left is None or right is None:
        return
    apart = abs(left.seconds - right.seconds)
    if apart - left.uncertainty_seconds - right.uncertainty_seconds > CLOCK_CRITICAL_SECONDS:
        yield _problem(advice.CLOCKS_APART, "", f"{apart:.0f} s apart")
    elif apart > CLOCK_WARNING_SECONDS:
        yield _problem(replace(advice.CLOCKS_APART, severity="warning"), "", f"{apart:.0f} s apart")


def _drifted(case: Case) -> Iterator[Problem]:
    """What the published fingerprints tell, of the relationship's scopes and of the servers' options."""
    left, right = (report.fingerprints if report else "" for report in case.reports)
    found = differing(left, right)
    parts: dict[str, list[str]] = {}
    for labels in found:
        if labels.get("relationship") == case.name:
            parts.setdefault(labels["part"], []).append(labels["scope"])
    if parts:
        told = (f"{part} of {_listed(sorted(scopes))}" for part, scopes in sorted(parts.items()))
        yield _problem(advice.DRIFT, "", "; ".join(told))
    if any("scope" not in labels for labels in found):
        yield _problem(advice.SERVER_OPTIONS_DIFFER, "")


# --- small things -----------------------------------------------------------------------------------------

_LISTED_AT_MOST: Final = 5
_Weighted = TypeVar("_Weighted", Problem, Side, RelationshipView, PairView, ServerView)


def worst_first(weighted: Iterable[_Weighted]) -> list[_Weighted]:
    """By weight; what weighs alike keeps its order."""
    return sorted(weighted, key=_weight)


def worst(weighted: Iterable[Problem | Side]) -> Severity:
    """The worst severity among them; ok where there is nothing."""
    return min((one.severity for one in weighted), key=advice.SEVERITIES.index, default="ok")


def _weight(one: Advice | Problem | Side | RelationshipView | PairView | ServerView) -> int:
    return advice.SEVERITIES.index(one.severity)


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
