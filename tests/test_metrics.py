"""Records to samples: the recorded documents give the expected series; not set is absent; 0 is a real zero."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dhcp_failover_exporter import drift, errors
from dhcp_failover_exporter.exposition import blocks
from dhcp_failover_exporter.failover import (
    EVENT_KINDS,
    STATES,
    ClockOffset,
    EventLog,
    History,
    Naming,
    topology,
)
from dhcp_failover_exporter.metrics import (
    CATALOGUE,
    GROUPS,
    NEED_RELATIONSHIPS,
    PREFIX,
    PollHealth,
    Sample,
    SectionHealth,
    View,
    dhcp_answers,
    health_samples,
    samples,
)
from dhcp_failover_exporter.snapshot import (
    REASONS,
    SECTIONS,
    Counters,
    FirewallRule,
    PortProbe,
    Relationship,
    Scope,
    ScopeConfiguration,
    ScopeStatistics,
    Section,
    SectionError,
    Server,
    ServerOptions,
    ServerSetting,
    parse,
)

DATA = Path(__file__).parent / "data"
RELATIONSHIP = Relationship(
    name="r", partner_server="b", state="Normal", scope_id=("10.0.0.0",), server_type="PrimaryServer"
)
VIEW = View(topology=topology([RELATIONSHIP], Naming(), "a"))
Found = dict[tuple[str, ...], float]


def recorded(name: str) -> Section:
    text = (DATA / f"{name}.json").read_text()
    section = json.loads(text)["section"]
    return parse([text], [section])[section]


def found(section: str, *records: Any, view: View = VIEW) -> Found:
    """(family without prefix, labels...) -> value."""
    return {
        (name.removeprefix(PREFIX), *labels): value
        for name, labels, value in samples(Section(section, tuple(records)), view)
    }


class TestCatalogue:
    @pytest.mark.parametrize("family", CATALOGUE.values(), ids=lambda family: family.name)
    def test_every_family_is_named_as_prometheus_recommends(self, family: Any) -> None:
        assert re.fullmatch(rf"{PREFIX}[a-z0-9_]+", family.name)
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert re.fullmatch(r"[^\\\"\n]+\.", family.help), "one sentence, nothing to escape"
        assert len(set(family.labels)) == len(family.labels)
        assert not {"job", "instance", "type", "le", "quantile"} & set(family.labels)

    def test_server_comes_first_on_every_series_about_a_server(self) -> None:
        for family in CATALOGUE.values():
            assert ("server" in family.labels[:1]) == (family.group is not None)

    def test_groups_cover_all_sections_and_families(self) -> None:
        assert sorted(name for group in GROUPS.values() for name in group) == sorted(SECTIONS)
        for family in CATALOGUE.values():
            if family.section:
                assert family.group is not None
                assert family.section in GROUPS[family.group]
        assert {family.section for family in CATALOGUE.values()} == {"", *SECTIONS}

    def test_what_carries_names_from_the_relationships_needs_them(self) -> None:
        named = {
            family.section
            for family in CATALOGUE.values()
            if {"relationship", "partner"} & set(family.labels) and family.section != "relationships"
        }
        assert named == NEED_RELATIONSHIPS


@pytest.mark.parametrize("path", sorted(DATA.glob("V*.json")), ids=lambda path: path.stem)
def test_a_recorded_document_gives_the_expected_series(path: Path) -> None:
    section = recorded(path.stem)
    named = (section if section.name == "relationships" else recorded("V3")).records
    relationships = [it for it in named if isinstance(it, Relationship)]
    view = View(topology=topology(relationships, Naming(), "dhcp1.contoso.com"))
    lines = b"".join(block.lines for block in blocks("dhcp1.contoso.com", samples(section, view)))
    assert lines.decode() == path.with_suffix(".prom").read_text()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("E1", "other"),
        ("E2", "other"),
        ("E3", "other"),
        ("E4", "other"),
        ("E5", "permission"),
        ("E6", "dhcp"),
        ("E6b", "permission"),
    ],
)
def test_a_recorded_error_gives_its_reason_and_no_series(name: str, reason: str) -> None:
    section = recorded(name)
    assert section.reason == reason
    assert list(samples(section, VIEW)) == []


class TestServer:
    def test_info(self) -> None:
        server = Server(computer_name="DHCP01", os_version="10.0.20348.2", ps_version="5.1.1")
        assert found("server", server)["server_info", "DHCP01", "10.0.20348.2", "5.1.1"] == 1

    @pytest.mark.parametrize(
        ("status", "answers", "running"),
        [
            ("Running", None, 1),
            ("Stopped", True, 0),
            ("StartPending", None, 0),
            (None, True, 1),
            (None, False, 0),
            (None, None, None),
        ],
    )
    def test_where_the_status_is_refused_an_answer_says_it(
        self, status: str | None, answers: bool | None, running: int | None
    ) -> None:
        series = found("server", Server(service_status=status), view=View(dhcp_answers=answers))
        assert series.get(("service_running",)) == running

    @pytest.mark.parametrize(
        ("identity", "answers"),
        [(None, True), ("WIN32 1722,X", False), ("WIN32 5,X", None), ("DHCP 1,X", None)],
    )
    def test_only_a_service_that_does_not_answer_is_taken_for_stopped(
        self, identity: str | None, answers: bool | None
    ) -> None:
        failure = identity and SectionError(None, identity, "NotSpecified", "")
        assert dhcp_answers(Section("relationships", failure=failure or None)) is answers

    def test_the_clock_is_shown_with_its_bound_or_not_at_all(self) -> None:
        series = found("server", Server(), view=View(clock=ClockOffset(-1.5, 0.25)))
        assert series["clock_offset_seconds",] == -1.5
        assert series["clock_offset_uncertainty_seconds",] == 0.25
        assert not [key for key in found("server", Server()) if key[0].startswith("clock")]


class TestRelationships:
    def test_no_relationship_is_a_real_zero(self) -> None:
        assert found("relationships", view=View()) == {("relationships",): 0}

    @pytest.mark.parametrize("spelling", [*STATES, "COMMUNICATION-INTERRUPTED", "Hibernating"])
    def test_the_states_are_one_hot_and_an_unknown_one_is_its_own(self, spelling: str) -> None:
        relationship = Relationship(name="r", partner_server="b", state=spelling, scope_id=())
        series = found("relationships", view=View(topology=topology([relationship], Naming(), "a")))
        states = {key[3]: value for key, value in series.items() if key[0] == "state"}
        assert sum(states.values()) == 1
        assert states.keys() >= set(STATES)
        assert states[{"COMMUNICATION-INTERRUPTED": "CommunicationInterrupted"}.get(spelling, spelling)] == 1

    def test_parameters_not_set_are_absent(self) -> None:
        names = {key[0] for key in found("relationships")}
        assert names == {
            "relationships",
            "relationship_info",
            "state",
            "relationship_scopes",
            "partner_configured",
        }

    def test_a_zero_is_a_zero(self) -> None:
        relationship = Relationship(
            name="r", partner_server="b", state="Normal", scope_id=(), reserve_percent=0, enable_auth=False
        )
        series = found("relationships", view=View(topology=topology([relationship], Naming(), "a")))
        assert series["reserve_ratio", "b", "r"] == 0
        assert series["message_authentication_enabled", "b", "r"] == 0

    def test_the_last_change_is_there_once_known(self) -> None:
        down = topology([Relationship("r", "b", "PartnerDown", ())], Naming(), "a")
        history = History().observed(VIEW.topology, 100).observed(down, 115)
        series = found("relationships", view=View(topology=down, history=history))
        assert series["state_last_change_timestamp_seconds", "b", "r", "observed"] == 115


class TestPorts:
    def test_the_connect_time_is_shown_where_connected(self) -> None:
        reached = found("ports", PortProbe("B", True, seconds=0.002))
        assert reached == {
            ("partner_reachable", "b", "primary"): 1,
            ("partner_connect_seconds", "b", "primary"): 0.002,
        }
        assert found("ports", PortProbe("b", False, seconds=4.0)) == {
            ("partner_reachable", "b", "primary"): 0
        }


class TestScopes:
    PROTECTED, OTHER = Scope("10.0.0.0", "255.255.255.0", name="lab"), Scope("10.9.0.0")

    def test_a_member_is_protected_and_named_others_are_not(self) -> None:
        series = found("scopes", self.PROTECTED, self.OTHER)
        assert series["scope_protected", "10.0.0.0", "r"] == 1
        assert series["scope_protected", "10.9.0.0", ""] == 0
        assert series["scope_info", "10.0.0.0", "r", "lab", "10.0.0.0/24", ""] == 1
        assert series["scope_info", "10.9.0.0", "", "", "", ""] == 1

    @pytest.mark.parametrize(
        ("state", "active"),
        [
            ("Active", 1),
            ("InActive", 0),
            ("Inactive", 0),
            ("Enabled", 1),
            ("Disabled", 0),
            ("Odd", None),
            (None, None),
        ],
    )
    def test_active(self, state: str | None, active: int | None) -> None:
        assert (
            found("scopes", Scope("10.0.0.0", state=state)).get(("scope_active", "10.0.0.0", "r")) == active
        )

    @pytest.mark.parametrize(("mode", "shown"), [("all", 2), ("failover", 1), ("none", 0)])
    def test_the_configuration_says_which_scopes_are_shown(self, mode: Any, shown: int) -> None:
        view = View(topology=VIEW.topology, scope_metrics=mode)
        series = found("scopes", self.PROTECTED, self.OTHER, view=view)
        assert len({key[1] for key in series}) == shown
        statistics = [ScopeStatistics(it.scope_id, addresses_free=1) for it in (self.PROTECTED, self.OTHER)]
        assert len(found("statistics", *statistics, view=view)) == shown

    def test_a_scope_whose_relationship_could_not_be_read_is_left_out_never_unprotected(self) -> None:
        view = View(topology=topology([RELATIONSHIP], Naming(), "a", complete=False))
        assert {key[1] for key in found("scopes", self.PROTECTED, self.OTHER, view=view)} == {"10.0.0.0"}

    def test_figures_of_failover_are_absent_outside_it(self) -> None:
        series = found("statistics", ScopeStatistics("10.9.0.0", addresses_free=0, percentage_in_use=12.5))
        assert series == {
            ("scope_addresses_free", "10.9.0.0", ""): 0,
            ("scope_usage_ratio", "10.9.0.0", ""): 0.125,
        }


class TestCounters:
    def test_what_the_performance_class_does_not_answer_is_absent(self) -> None:
        series = found("counters", Counters(discovers=3, bnd_upd_sent=0, transitions_partner_down=2))
        assert series == {
            ("messages_total", "discover"): 3,
            ("binding_updates_total", "sent"): 0,
            ("transitions_total", "PartnerDown"): 2,
        }
        assert "PartnerDown" in STATES


class TestEvents:
    def test_all_kinds_of_all_relationships_are_zero_from_the_first_read(self) -> None:
        assert found("events") == {("events_total", "r", kind): 0 for kind in EVENT_KINDS}

    def test_counts_of_a_relationship_that_is_gone_stay(self) -> None:
        view = View(event_log=EventLog(1, {("gone", "link_up"): 2}))
        assert found("events", view=view) == {("events_total", "gone", "link_up"): 2}


class TestChecks:
    @pytest.mark.parametrize(
        ("joined", "authorized", "shown"),
        [(True, True, 1), (True, False, 0), (False, True, None), (True, None, None)],
    )
    def test_authorisation_matters_in_a_domain_only(
        self, joined: bool, authorized: bool | None, shown: int | None
    ) -> None:
        series = found("settings", ServerSetting(is_domain_joined=joined, is_authorized=authorized))
        assert series.get(("server_authorized",)) == shown

    def test_a_built_in_rule_that_is_absent_is_not_enabled(self) -> None:
        rules = (
            FirewallRule("in", True, True, "Inbound", "Allow"),
            FirewallRule("off", True, False, "Inbound", "Allow"),
            FirewallRule("gone", False),
        )
        assert found("firewall", *rules) == {
            ("firewall_rule_enabled", "in", "Inbound", "Allow"): 1,
            ("firewall_rule_enabled", "off", "Inbound", "Allow"): 0,
            ("firewall_rule_enabled", "gone", "", ""): 0,
        }


class TestConfiguration:
    def test_an_empty_list_has_a_fingerprint_an_uncollected_part_none(self) -> None:
        series = found("configuration", ScopeConfiguration("10.0.0.0", options=()), ServerOptions(()))
        assert series == {
            ("scope_config_fingerprint", "10.0.0.0", "r", "options", drift.SCHEME): drift.fingerprint({}),
            ("server_options_fingerprint", drift.SCHEME): drift.fingerprint({}),
        }

    def test_a_scope_that_has_left_its_relationship_has_none(self) -> None:
        assert found("configuration", ScopeConfiguration("10.9.0.0", options=())) == {}


class TestHealth:
    def health(self, **fields: Any) -> Found:
        health = PollHealth(address="a", auth="ntlm", credential="lab", **fields)
        return {
            (s.family.removeprefix(PREFIX), *s.labels): s.value
            for s in health_samples(health, up=health.up(50))
        }

    def test_before_the_first_poll_everything_is_there_and_down_without_a_reason(self) -> None:
        series = self.health()
        assert series["up",] == 0
        assert series["polls_total",] == 0
        assert series["target_info", "a", "ntlm", "lab"] == 1
        for reason in errors.REASONS:
            assert series["poll_failed", reason] == 0
            assert series["poll_failures_total", reason] == 0

    def test_up_has_no_reason(self) -> None:
        series = self.health(polls=3, answered=40.0, fresh_seconds=10.0, failures={"tls": 2})
        assert series["up",] == 1
        assert sum(value for key, value in series.items() if key[0] == "poll_failed") == 0
        assert series["poll_failures_total", "tls"] == 2

    def test_a_failure_has_exactly_one_reason(self) -> None:
        series = self.health(answered=40.0, fresh_seconds=10.0, failure="auth")
        assert series["up",] == 0
        assert [key[1] for key, value in series.items() if key[0] == "poll_failed" and value] == ["auth"]

    def test_an_overdue_poll_is_down_by_timeout(self) -> None:
        series = self.health(answered=39.9, fresh_seconds=10.0)
        assert series["up",] == 0
        assert [key[1] for key, value in series.items() if key[0] == "poll_failed" and value] == ["timeout"]

    def test_sections(self) -> None:
        sections = {
            "scopes": SectionHealth(60.0, True, "permission", 0.5, 1000.0),
            "statistics": SectionHealth(60.0, True, None, 0.25, 1060.0),
            "ports": SectionHealth(60.0),
        }
        series = self.health(sections=sections)
        assert series["section_success", "scopes"] == 0
        assert series["section_success", "statistics"] == 1
        assert series["section_timestamp_seconds", "scopes"] == 1000
        assert [key[1:] for key, value in series.items() if key[0] == "section_failed" and value] == [
            ("scopes", "permission")
        ]
        assert {key[2] for key in series if key[:2] == ("section_failed", "statistics")} == set(REASONS)
        assert [key for key in series if "ports" in key] == [("section_interval_seconds", "ports")]

    def test_a_state_section_of_a_server_that_is_down_is_no_success(self) -> None:
        sections = {"relationships": SectionHealth(15.0, True), "scopes": SectionHealth(60.0, True)}
        late = self.health(answered=39.9, fresh_seconds=10.0, sections=sections)
        assert (late["section_success", "relationships"], late["section_success", "scopes"]) == (0, 1)
        fresh = self.health(answered=40.1, fresh_seconds=10.0, sections=sections)
        assert fresh["section_success", "relationships"] == 1


def test_a_failed_section_gives_nothing() -> None:
    failure = SectionError(None, "WIN32 5,X", "PermissionDenied", "")
    for name in SECTIONS:
        assert list(samples(Section(name, failure=failure), VIEW)) == []


def test_every_sample_has_the_labels_of_its_family() -> None:
    everything = [
        *samples(Section("server", (Server(service_status="Running"),)), View(clock=ClockOffset(1, 1))),
        *samples(Section("relationships", (RELATIONSHIP,)), VIEW),
        *health_samples(PollHealth("a", "b", "c", sections={"scopes": SectionHealth(1.0, True)}), up=True),
    ]
    for name, labels, _ in everything:
        assert len(labels) == len(CATALOGUE[name].labels) - 1, name
    assert isinstance(everything[0], Sample)
