"""What the page and the API show: states side by side, pools, problems, worst first."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhcp_failover_exporter.errors import REASONS
from dhcp_failover_exporter.failover import FIREWALL_RULE_IN as RULE_IN
from dhcp_failover_exporter.failover import STATES, Change, ClockOffset, Naming
from dhcp_failover_exporter.snapshot import REASONS as SECTION_REASONS
from dhcp_failover_exporter.snapshot import (
    FirewallRule,
    PortProbe,
    Relationship,
    Scope,
    ScopeStatistics,
    Section,
    Server,
    ServerSetting,
)
from dhcp_failover_exporter.web import advice
from dhcp_failover_exporter.web.overview import overview
from dhcp_failover_exporter.web.view import Overview, RelationshipView, Report, ServerView

NOW = 1_700_000_000.0
LEFT, RIGHT = "dhcp01.lab.local", "dhcp02.lab.local"
NAMING = Naming([type("Configured", (), {"name": name, "address": name})() for name in (LEFT, RIGHT)])


def relationship(server: str, **changes: Any) -> Relationship:
    values = {
        "name": "lab",
        "partner_server": RIGHT if server == LEFT else LEFT,
        "state": "Normal",
        "scope_id": ("10.0.0.0",),
        "mode": "LoadBalance",
        "server_type": "PrimaryServer" if server == LEFT else "SecondaryServer",
        "primary_server_name": LEFT,
        "secondary_server_name": RIGHT,
        "max_client_lead_time": 3600.0,
        "load_balance_percent": 50,
    }
    return Relationship(**{**values, **changes})


def report(server: str, *, sections: dict[str, Any] | None = None, **changes: Any) -> Report:
    """A server that answered a moment ago, unless changed."""
    of = changes.pop("relationship", None) or relationship(server)
    answered = {"relationships": [of], **(sections or {})}
    values: dict[str, Any] = {
        "address": server,
        "up": True,
        "answered": NOW - 1,
        "related": NOW - 1,
        "remembered": [of],
        "sections": {name: Section(name, tuple(records)) for name, records in answered.items()},
    }
    return Report(server, **{**values, **changes})


def unreachable(server: str, **changes: Any) -> Report:
    return report(server, up=False, reason="unreachable", message="no route", **{"sections": None, **changes})


def silent(known: Report) -> Report:
    """The same server once its answers are no longer fresh and its poll failed."""
    return replace(known, up=False, reason="unreachable", message="no route", sections={})


def seen(*reports: Report) -> RelationshipView:
    shown = overview(reports, NAMING, NOW)
    assert len(shown.pairs) == 1, shown.pairs
    assert len(shown.pairs[0].relationships) == 1
    return shown.pairs[0].relationships[0]


def meanings(view: RelationshipView | ServerView) -> list[str]:
    return [problem.meaning for problem in view.problems]


def in_state(left: str, right: str, **changes: Any) -> RelationshipView:
    return seen(
        report(LEFT, relationship=relationship(LEFT, state=left), **changes),
        report(RIGHT, relationship=relationship(RIGHT, state=right)),
    )


def test_normal_on_both_sides_is_ok_and_says_nothing() -> None:
    view = in_state("Normal", "Normal")
    assert (view.severity, view.problems) == ("ok", ())
    assert [side.state for side in view.sides] == ["Normal", "Normal"]


def test_the_primary_comes_first_whoever_reports_first() -> None:
    view = seen(report(RIGHT), report(LEFT))
    assert [(side.server, side.role) for side in view.sides] == [(LEFT, "primary"), (RIGHT, "secondary")]


def test_a_silent_partner_keeps_its_place_and_its_last_word() -> None:
    view = seen(silent(report(LEFT)), report(RIGHT))
    left, right = view.sides
    assert (left.server, left.state, left.last_state, left.answering) == (LEFT, None, "Normal", False)
    assert (right.state, right.last_state) == ("Normal", None)
    assert view.severity == "warning"
    assert [(p.server, p.detail) for p in view.problems] == [(LEFT, "no route")]


@pytest.mark.parametrize("state", ["PartnerDown", "PotentialConflict", "CommunicationInterrupted"])
def test_what_a_silent_server_said_last_stays_as_bad_as_it_was(state: str) -> None:
    view = seen(silent(report(LEFT, relationship=relationship(LEFT, state=state))), report(RIGHT))
    meant = advice.of_state(state)
    assert (view.sides[0].last_state, view.sides[0].as_of) == (state, NOW - 1)
    assert view.sides[0].severity == min("warning", meant.severity, key=advice.SEVERITIES.index)
    assert meant.meaning in meanings(view)


def test_a_state_that_the_last_poll_did_not_renew_is_shown_as_of_when_it_was_said() -> None:
    missed = report(LEFT, up=False, reason="timeout", message="10 s", answered=NOW - 20, related=NOW - 20)
    view = seen(missed, report(RIGHT))
    left, right = view.sides
    assert (left.state, left.as_of, left.reason, left.severity) == ("Normal", NOW - 20, "timeout", "warning")
    assert (right.state, right.as_of, right.reason, right.severity) == ("Normal", NOW - 1, None, "ok")


def test_relationships_older_than_the_last_answer_are_not_passed_off_as_fresh() -> None:
    refused = report(LEFT, related=NOW - 16, incomplete={"relationships": "timeout"})
    gaps = report(RIGHT, incomplete={"relationships": "other"})
    assert [side.reason for side in seen(refused, gaps).sides] == ["timeout", None]


def test_a_partner_that_never_answered_is_known_by_the_other() -> None:
    view = seen(replace(silent(report(LEFT)), remembered=[], answered=None), report(RIGHT))
    assert [side.server for side in view.sides] == [LEFT, RIGHT]
    assert [side.role for side in view.sides] == ["primary", "secondary"]


def test_a_partner_outside_the_configuration_is_shown_as_not_watched() -> None:
    view = seen(report(LEFT))
    assert [side.watched for side in view.sides] == [True, False]
    assert meanings(view) == [advice.NOT_CONFIGURED.meaning]


def test_a_partner_that_does_not_know_the_relationship_is_told() -> None:
    other = report(RIGHT)
    view = seen(
        report(LEFT), replace(other, remembered=[], sections={"relationships": Section("relationships")})
    )
    assert meanings(view) == [advice.ONE_SIDED.meaning]


@pytest.mark.parametrize("state", STATES)
def test_every_state_of_windows_has_advice(state: str) -> None:
    assert advice.of_state(state) is not advice.UNKNOWN_STATE


def test_an_unknown_state_is_shown_as_it_came_and_counts_as_none() -> None:
    view = in_state("Quiescent", "Quiescent")
    assert view.sides[0].state == "Quiescent"
    assert view.severity == advice.of_state("NoState").severity == "critical"


OVERSTAYED = [
    ("CommunicationInterrupted", 3720.0),
    ("Recover", 1800.0),
    ("RecoverWait", 5520.0),
    ("RecoverDone", 900.0),
    ("Startup", 900.0),
    ("Init", 900.0),
    ("ConflictDone", 900.0),
]


@pytest.mark.parametrize(("state", "limit"), OVERSTAYED)
def test_a_state_that_should_pass_gets_worse_when_it_does_not(state: str, limit: float) -> None:
    def left(seconds: float) -> Any:
        changes = {"lab": Change(NOW - seconds, "event")}
        return in_state(state, "Normal", changes=changes).sides[0]

    assert left(limit).meaning == advice.of_state(state).meaning
    assert left(limit + 1).meaning == advice.OVERSTAYED[state].meaning
    assert advice.OVERSTAYED.keys() == dict(OVERSTAYED).keys()


def test_the_state_switch_interval_comes_before_the_mclt() -> None:
    switching = relationship(LEFT, state="CommunicationInterrupted", state_switch_interval=600.0)
    changes = {"lab": Change(NOW - 721, "event")}
    assert seen(report(LEFT, relationship=switching, changes=changes), report(RIGHT)).severity == "critical"


@pytest.mark.parametrize("reason", REASONS)
def test_every_failure_of_a_poll_has_a_remedy(reason: str) -> None:
    shown = overview([replace(unreachable(LEFT), reason=reason)], NAMING, NOW).servers[0]
    assert shown.severity == ("critical" if reason in ("auth", "suspended") else "warning")
    assert shown.problems[0].remedy


def test_a_pair_of_which_nobody_answers_is_critical_and_a_refused_credential_is_no_such_pair() -> None:
    def view(right: str) -> RelationshipView:
        return seen(silent(report(LEFT)), replace(silent(report(RIGHT)), reason=right))

    assert view("timeout").problems[0].meaning == advice.PAIR_UNREACHABLE.meaning
    assert view("timeout").severity == "critical"
    assert advice.PAIR_UNREACHABLE.meaning not in meanings(view("suspended"))


def test_a_suspended_server_is_told_as_not_tried_and_why() -> None:
    message = "credential lab: refused less than 10 minutes ago"
    shown = overview([replace(unreachable(LEFT), reason="suspended", message=message)], NAMING, NOW).servers[
        0
    ]
    (problem,) = shown.problems
    assert "The exporter is not trying to log on" in problem.meaning
    assert "Whether this host is up is not known" in problem.meaning
    assert problem.detail == message


@pytest.mark.parametrize("reason", SECTION_REASONS)
def test_every_failure_of_a_section_has_a_remedy(reason: str) -> None:
    shown = overview([report(LEFT, incomplete={"statistics": reason})], NAMING, NOW).servers[0]
    assert shown.up
    assert shown.problems[0].detail == "statistics"
    assert shown.problems[0].remedy


def test_sections_that_failed_for_one_reason_are_one_problem() -> None:
    shown = overview(
        [report(LEFT, incomplete={"scopes": "dhcp", "ports": "permission", "statistics": "dhcp"})],
        NAMING,
        NOW,
    ).servers[0]
    assert [problem.detail for problem in shown.problems] == ["scopes, statistics", "ports"]


@pytest.mark.parametrize(
    ("joined", "authorized", "severity"),
    [(True, False, "critical"), (True, True, "ok"), (False, False, "ok"), (True, None, "ok")],
)
def test_only_a_domain_member_needs_to_be_authorised(
    joined: bool, authorized: bool | None, severity: str
) -> None:
    settings = ServerSetting(is_domain_joined=joined, is_authorized=authorized)
    view = seen(report(LEFT, sections={"settings": [settings]}), report(RIGHT))
    assert view.severity == severity


@pytest.mark.parametrize("reason", SECTION_REASONS)
def test_relationships_that_cannot_be_read_are_said_once(reason: str) -> None:
    known = report(LEFT)
    view = seen(replace(known, sections={}, incomplete={"relationships": reason}), report(RIGHT))
    assert (view.sides[0].state, view.sides[0].last_state, view.sides[0].reason) == (None, "Normal", reason)
    assert meanings(view) == [advice.SECTION_FAILURES[reason].meaning]
    severity = "critical" if reason in ("permission", "dhcp") else "warning"
    assert [view.severity, view.sides[0].severity] == [severity, severity]


def test_a_service_that_is_stopped_is_critical_and_told_once() -> None:
    stopped = {"server": [Server(service_status="Stopped")]}
    view = seen(report(LEFT, sections=stopped), report(RIGHT))
    assert (view.severity, meanings(view)) == ("critical", [advice.SERVICE_STOPPED.meaning])
    told = seen(report(LEFT, sections=stopped, incomplete={"relationships": "dhcp"}), report(RIGHT))
    assert meanings(told) == [advice.SECTION_FAILURES["dhcp"].meaning]
    running = {"server": [Server(service_status="running")]}
    assert seen(report(LEFT, sections=running), report(RIGHT)).severity == "ok"


def test_the_cause_is_told_before_what_comes_of_it() -> None:
    view = seen(
        report(
            LEFT,
            relationship=relationship(LEFT, state="CommunicationInterrupted"),
            sections={"ports": [port(RIGHT, reachable=False)]},
        ),
        report(RIGHT, relationship=relationship(RIGHT, state="CommunicationInterrupted")),
    )
    assert meanings(view) == [
        advice.PORT_CLOSED.meaning,
        advice.of_state("CommunicationInterrupted").meaning,
    ]


def test_without_fresh_statistics_no_addresses_are_claimed() -> None:
    view = seen(report(LEFT), report(RIGHT))
    assert (view.pool, view.fullest, [scope.pool for scope in view.scopes]) == (None, None, [None])


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [
        ("Normal", "CommunicationInterrupted", True),
        ("PartnerDown", "RecoverWait", False),
        ("CommunicationInterrupted", "Startup", False),
        ("PotentialConflict", "ConflictDone", False),
    ],
)
def test_states_that_do_not_belong_together_are_told(left: str, right: str, told: bool) -> None:
    assert (advice.DISAGREEMENT.meaning in meanings(in_state(left, right))) is told


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [
        ("PartnerDown", "PartnerDown", True),
        ("PartnerDown", "Normal", True),
        ("CommunicationInterrupted", "PartnerDown", True),
        ("PartnerDown", "Quiescent", True),
        ("PartnerDown", "RecoverWait", False),
        ("PartnerDown", "Startup", False),
        ("CommunicationInterrupted", "Normal", False),
    ],
)
def test_a_partner_that_serves_while_it_is_taken_for_dead_is_critical(
    left: str, right: str, told: bool
) -> None:
    view = in_state(left, right)
    found = [(p.severity, p.detail) for p in view.problems if p.meaning == advice.PARTNER_SERVES.meaning]
    assert found == ([("critical", f"{left} and {right}")] if told else [])
    assert (view.problems[0].meaning == advice.PARTNER_SERVES.meaning) is told


def test_only_a_fresh_answer_of_the_partner_shows_that_it_serves() -> None:
    down = report(LEFT, relationship=relationship(LEFT, state="PartnerDown"))
    assert advice.PARTNER_SERVES.meaning in meanings(seen(silent(down), report(RIGHT)))
    assert advice.PARTNER_SERVES.meaning not in meanings(seen(down, silent(report(RIGHT))))
    both = report(RIGHT, relationship=relationship(RIGHT, state="PartnerDown"))
    assert advice.PARTNER_SERVES.meaning not in meanings(seen(silent(down), both))


def test_a_change_gets_a_minute_to_show_on_both_sides() -> None:
    changes = {"lab": Change(NOW - 30, "event")}
    view = in_state("CommunicationInterrupted", "Normal", changes=changes)
    assert advice.DISAGREEMENT.meaning not in meanings(view)
    assert (view.sides[0].since, view.sides[0].since_source) == (NOW - 30, "event")


def test_what_both_suffer_from_is_said_once() -> None:
    view = in_state("CommunicationInterrupted", "CommunicationInterrupted")
    assert [problem.server for problem in view.problems] == [f"{LEFT} and {RIGHT}"]


def port(server: str, *, reachable: bool) -> PortProbe:
    return PortProbe(server.upper(), reachable, port=647, error=None if reachable else "TimedOut")


def test_only_the_primary_s_connect_carries_failover() -> None:
    view = seen(
        report(LEFT, sections={"ports": [port(RIGHT, reachable=True)]}),
        report(RIGHT, sections={"ports": [port(LEFT, reachable=False)]}),
    )
    assert view.severity == "ok"
    assert [side.port and side.port.carries_failover for side in view.sides] == [True, False]


def test_a_closed_port_names_the_secondary_s_rule_that_is_off() -> None:
    rule = FirewallRule("Failover-TCP-In", present=True, enabled=False, direction="Inbound")
    view = seen(
        report(LEFT, sections={"ports": [port(RIGHT, reachable=False)]}),
        report(RIGHT, sections={"firewall": [rule]}),
    )
    assert [(p.server, p.detail) for p in view.problems] == [
        (LEFT, "TimedOut, rule Failover-TCP-In is off there")
    ]


def test_a_rule_that_explains_nothing_is_not_named_and_one_that_blocks_is() -> None:
    rules = [
        FirewallRule("Failover-TCP-In", present=True, enabled=True, direction="Inbound", action="Allow"),
        FirewallRule("old", present=True, enabled=False, direction="Inbound", action="Allow"),
        FirewallRule("idle", present=True, enabled=False, direction="Inbound", action="Block"),
        FirewallRule("policy", present=True, enabled=True, direction="Inbound", action="Block"),
    ]
    view = seen(
        report(LEFT, sections={"ports": [port(RIGHT, reachable=False)]}),
        report(RIGHT, sections={"firewall": rules}),
    )
    assert [p.detail for p in view.problems] == ["TimedOut, rule policy blocks it there"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (FirewallRule(RULE_IN, present=False), f"rule {RULE_IN} is missing there"),
        (FirewallRule("a", present=True, enabled=False, direction="inbound"), "rule a is off there"),
        (FirewallRule("b", True, True, direction="Inbound", action="Block"), "rule b blocks it there"),
        (FirewallRule("c", True, True, direction="Inbound", action="Allow"), None),
        (FirewallRule(RULE_IN.replace("In", "Out"), present=False), None),
    ],
)
def test_a_secondary_s_firewall_is_told_before_the_connection_breaks(
    rule: FirewallRule, said: str | None
) -> None:
    view = seen(report(LEFT), report(RIGHT, sections={"firewall": [rule]}))
    found = [(p.server, p.severity, p.meaning, p.detail) for p in view.problems]
    assert found == ([(RIGHT, "warning", advice.FIREWALL_CLOSED.meaning, said)] if said else [])
    assert seen(report(LEFT, sections={"firewall": [rule]}), report(RIGHT)).severity == "ok"


def test_clocks_apart_beyond_their_uncertainty_are_critical_and_half_of_it_is_warned_of() -> None:
    def view(seconds: float) -> RelationshipView:
        return seen(
            report(LEFT, clock=ClockOffset(seconds, 1.0)), report(RIGHT, clock=ClockOffset(-1.0, 1.0))
        )

    assert [view(seconds).severity for seconds in (28.9, 29.1, 55.9, 56.1)] == [
        "ok",
        "warning",
        "warning",
        "critical",
    ]


def prints(
    server: str, *, scheme: str = "1", name: str = "lab", options: int | None = 7, **parts: int
) -> str:
    """Lines as the exposition has them."""
    own = f'dhcp_failover_server_options_fingerprint{{server="{server}",scheme="{scheme}"}} {options}.0\n'
    return (own if options is not None else "") + "".join(
        f'dhcp_failover_scope_config_fingerprint{{server="{server}",scope="10.0.0.0",relationship="{name}",'
        f'part="{part}",scheme="{scheme}"}} {value}.0\n'
        for part, value in parts.items()
    )


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        ({"options": 7, "policies": 1, "exclusions": 2}, []),
        ({"policies": 9, "exclusions": 3}, [(advice.DRIFT, "exclusions of 10.0.0.0; policies of 10.0.0.0")]),
        ({"policies": 9, "scheme": "2"}, []),
        ({"policies": 9, "name": "other"}, []),
        ({"reservations": 9}, []),
        ({"policies": 1, "options": 8}, [(advice.SERVER_OPTIONS_DIFFER, "")]),
    ],
)
def test_drift_is_told_where_both_partners_have_the_same_fingerprint_s_series(
    theirs: dict[str, Any], told: list[tuple[advice.Advice, str]]
) -> None:
    view = seen(
        report(LEFT, fingerprints=prints(LEFT, policies=1, exclusions=2)),
        report(RIGHT, fingerprints=prints(RIGHT, **theirs)),
    )
    assert [(p.severity, p.meaning, p.detail) for p in view.problems] == [
        ("warning", meant.meaning, detail) for meant, detail in told
    ]


def test_a_server_whose_configuration_was_not_read_yet_has_not_drifted() -> None:
    assert seen(report(LEFT, fingerprints=prints(LEFT, policies=1)), report(RIGHT)).severity == "ok"


def test_pairs_without_a_shared_secret_are_warned_of() -> None:
    def severity(*secured: bool | None) -> str:
        both = zip((LEFT, RIGHT), secured, strict=True)
        return seen(*(report(s, relationship=relationship(s, enable_auth=it)) for s, it in both)).severity

    assert [severity(False, False), severity(True, True), severity(None, None)] == ["warning", "ok", "ok"]


def test_a_scope_that_one_partner_alone_lists_is_told() -> None:
    more = relationship(LEFT, scope_id=("10.0.0.0", "10.0.1.0"))
    view = seen(report(LEFT, relationship=more), report(RIGHT))
    assert [(p.meaning, p.detail) for p in view.problems] == [
        (advice.SCOPE_ON_ONE_PARTNER.meaning, "10.0.1.0")
    ]
    assert meanings(seen(report(LEFT, relationship=more), silent(report(RIGHT)))) == [
        advice.POLL_FAILURES["unreachable"].meaning
    ]


def test_scopes_outside_failover_are_their_server_s_problem() -> None:
    shown = overview([report(LEFT, unprotected=["10.9.0.0"])], NAMING, NOW).servers[0]
    assert [(p.severity, p.meaning, p.detail) for p in shown.problems] == [
        ("warning", advice.UNPROTECTED.meaning, "10.9.0.0")
    ]


@pytest.mark.parametrize(
    ("used", "severity", "told"),
    [(189, "ok", []), (190, "notice", ["10.0.0.0"]), (200, "critical", ["10.0.0.0"])],
)
def test_a_scope_is_critical_when_it_is_full(used: int, severity: str, told: list[str]) -> None:
    sections = {"statistics": [statistics(used=used)]}
    view = seen(report(LEFT, sections=sections), report(RIGHT))
    unused = {**sections, "scopes": [Scope("10.0.0.0", state="InActive")]}
    assert seen(report(LEFT, sections=unused), report(RIGHT)).severity == "ok"
    assert (view.severity, [problem.detail for problem in view.problems]) == (severity, told)


def test_an_own_pool_that_is_dry_is_critical_without_the_partner_and_a_warning_with_it() -> None:
    own = statistics(addresses_free_on_this_server=0, addresses_free_on_partner_server=140)

    def found(state: str, share: int) -> list[tuple[str, str]]:
        of = relationship(LEFT, state=state, load_balance_percent=share)
        view = seen(report(LEFT, relationship=of, sections={"statistics": [own]}), silent(report(RIGHT)))
        meant = (advice.OWN_POOL_DRY.meaning, advice.OWN_SHARE_DRY.meaning)
        return [(p.severity, p.server) for p in view.problems if p.meaning in meant]

    assert found("CommunicationInterrupted", 0) == [("critical", LEFT)]
    assert found("Normal", 50) == [("warning", LEFT)]
    assert found("Normal", 0) == found("Normal", 100) == []


def statistics(scope: str = "10.0.0.0", used: int = 60, **changes: Any) -> ScopeStatistics:
    values = {"addresses_in_use": used, "addresses_free": 200 - used, "pending_offers": 0}
    return ScopeStatistics(scope, **{**values, **changes})


def test_both_partners_count_the_whole_scope_so_the_larger_counts_and_not_the_sum() -> None:
    view = seen(
        report(LEFT, sections={"statistics": [statistics(used=60)]}),
        report(RIGHT, sections={"statistics": [statistics(used=61)]}),
    )
    assert view.pool
    assert (view.pool.in_use, view.pool.free) == (61, 140)


def test_a_silent_server_s_own_free_addresses_are_told_by_its_partner() -> None:
    own = statistics(addresses_free_on_this_server=40, addresses_free_on_partner_server=100)
    view = seen(silent(report(LEFT)), report(RIGHT, sections={"statistics": [own]}))
    assert [side.free for side in view.sides] == [100, 40]


def test_scopes_come_fullest_first_with_their_names() -> None:
    of = relationship(LEFT, scope_id=("10.0.0.0", "10.0.1.0"))
    sections = {
        "scopes": [Scope("10.0.1.0", subnet_mask="255.255.255.128", name="labs", state="Active")],
        "statistics": [statistics(), statistics("10.0.1.0", used=199)],
    }
    both = relationship(RIGHT, scope_id=of.scope_id)
    view = seen(report(LEFT, relationship=of, sections=sections), report(RIGHT, relationship=both))
    assert [scope.cidr for scope in view.scopes] == ["10.0.1.0/25", "10.0.0.0"]
    assert (view.scopes[0].name, view.scopes[0].active) == ("labs", True)
    assert view.fullest == view.scopes[0]
    assert [(p.meaning, p.detail) for p in view.problems] == [(advice.NEARLY_FULL.meaning, "10.0.1.0")]


def test_settings_that_differ_are_marked_and_shares_that_sum_up_are_not() -> None:
    view = seen(
        report(LEFT, relationship=relationship(LEFT, load_balance_percent=70)),
        report(RIGHT, relationship=relationship(RIGHT, load_balance_percent=30, max_client_lead_time=60.0)),
    )
    assert [one.name for one in view.parameters if one.differs] == ["Maximum client lead time"]
    assert view.severity == "warning"


def pair(name: str, state: str) -> list[Report]:
    """Two partners of their own, both in that state."""
    names = {"primary_server_name": f"{name}1", "secondary_server_name": f"{name}2"}
    return [
        report(own, relationship=relationship(side, name=name, state=state, partner_server=partner, **names))
        for side, own, partner in ((LEFT, f"{name}1", f"{name}2"), (RIGHT, f"{name}2", f"{name}1"))
    ]


def test_worst_pairs_come_first() -> None:
    states = {"a": "Normal", "b": "PartnerDown", "c": "CommunicationInterrupted", "d": "Recover"}
    shown = overview([it for name, state in states.items() for it in pair(name, state)], Naming(), NOW)
    assert [one.severity for one in shown.pairs] == ["critical", "warning", "notice", "ok"]
    assert shown.relationship("b1|b2", "b") == shown.pairs[0].relationships[0]
    assert shown.relationship("b1|b2", "c") is None


@given(
    states=st.tuples(st.sampled_from([*STATES, "Odd"]), st.sampled_from([*STATES, "Odd"])),
    answers=st.tuples(st.booleans(), st.booleans()),
    used=st.one_of(st.none(), st.integers(0, 200)),
)
def test_severity_is_that_of_the_worst_thing_said(
    states: tuple[str, str], answers: tuple[bool, bool], used: int | None
) -> None:
    sections = {} if used is None else {"statistics": [statistics(used=used)]}
    reports = [
        report(server, relationship=relationship(server, state=state), sections=sections)
        for server, state in zip((LEFT, RIGHT), states, strict=True)
    ]
    shown: Overview = overview(
        [one if answering else silent(one) for one, answering in zip(reports, answers, strict=True)],
        NAMING,
        NOW,
    )
    view = shown.pairs[0].relationships[0]
    said = [*(side.severity for side in view.sides), *(problem.severity for problem in view.problems)]
    assert view.severity == min(said, key=advice.SEVERITIES.index)
    assert (view.severity == "ok") == (not view.problems)
