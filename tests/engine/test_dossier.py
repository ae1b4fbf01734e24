"""What is kept between answers: clocks, what a failure leaves standing, what a new membership changes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from dhcp_failover_exporter.engine.dossier import Dossier, Timing
from dhcp_failover_exporter.engine.schedule import Collected
from dhcp_failover_exporter.errors import DeadlineError
from dhcp_failover_exporter.exposition import join
from dhcp_failover_exporter.failover import Naming, StateChange
from dhcp_failover_exporter.snapshot import Event, Events, Relationship, Scope, Section, SectionError, Server

NOW = 1_700_000_000.0


@pytest.fixture
def dossier(stage: Any) -> Dossier:
    settings = stage.settings()
    return Dossier(settings, Naming([settings]))


def relationships(*scopes: str, name: str = "rel") -> Section:
    relationship = Relationship(name=name, partner_server="dhcp02", state="Normal", scope_id=scopes)
    return Section("relationships", (relationship,), elapsed_seconds=0.2, written=NOW + 3.0)


def poll(
    dossier: Dossier, *sections: Section, timing: Timing | None = None, at: float = 0.0
) -> Sequence[StateChange]:
    collected = [Collected(section, at) for section in sections]
    return dossier.poll_answered(collected, timing or Timing(at, NOW + at), "ntlm")


def shown(dossier: Dossier, now: float = 0.0) -> Sequence[str]:
    return join([dossier.entry.publication], now).decode().splitlines()


SERVER = Section("server", (Server(computer_name="DHCP01", utc_now=NOW + 2.0),), written=NOW + 2.5)


def test_the_clock_is_measured_by_a_call_that_opened_nothing(dossier: Dossier) -> None:
    poll(dossier, SERVER, relationships(), timing=Timing(0.0, NOW, sent=NOW, received=NOW + 1.5))
    assert dossier.entry.clock is not None
    assert dossier.entry.clock.seconds == pytest.approx(1.75)
    assert 'dhcp_failover_clock_offset_seconds{server="dhcp01"} 1.75' in shown(dossier)


def test_the_first_call_of_a_session_says_nothing_about_clocks(dossier: Dossier) -> None:
    poll(dossier, SERVER, relationships(), timing=Timing(0.0, NOW))
    assert dossier.entry.clock is None


def test_a_clock_is_not_remembered_over_a_call_that_does_not_tell(dossier: Dossier) -> None:
    poll(dossier, SERVER, relationships(), timing=Timing(0.0, NOW, sent=NOW, received=NOW + 1.5))
    poll(dossier, SERVER, relationships(), timing=Timing(15.0, NOW + 15))
    assert not any("clock_offset" in line for line in shown(dossier) if not line.startswith("#"))


def test_a_new_member_changes_what_is_shown_of_its_scope_at_once(dossier: Dossier) -> None:
    poll(dossier, SERVER, relationships())
    dossier.collected(Collected(Section("scopes", (Scope("10.0.0.0", state="Active"),)), 0.0), NOW)
    assert 'dhcp_failover_scope_protected{server="dhcp01",scope="10.0.0.0",relationship=""} 0' in shown(
        dossier
    )
    poll(dossier, SERVER, relationships("10.0.0.0"))
    assert 'dhcp_failover_scope_protected{server="dhcp01",scope="10.0.0.0",relationship="rel"} 1' in shown(
        dossier
    )


def test_while_a_relationship_cannot_be_read_no_scope_is_called_unprotected(dossier: Dossier) -> None:
    unread = SectionError("relationships[1]", "", "contract", "no such shape")
    poll(dossier, SERVER, replace(relationships("10.0.0.0"), errors=(unread,)))
    scopes = Section("scopes", (Scope("10.0.0.0", state="Active"), Scope("10.0.1.0", state="Active")))
    dossier.collected(Collected(scopes, 0.0), NOW)
    protected = [line for line in shown(dossier) if line.startswith("dhcp_failover_scope_protected{")]
    assert protected == [
        'dhcp_failover_scope_protected{server="dhcp01",scope="10.0.0.0",relationship="rel"} 1'
    ]


def test_what_is_rendered_again_stays_as_old_as_it_was(dossier: Dossier) -> None:
    poll(dossier, SERVER, relationships())
    dossier.collected(Collected(Section("scopes", (Scope("10.0.0.0", state="Active"),)), 0.0), NOW)
    poll(dossier, SERVER, relationships("10.0.0.0"), at=151.0)
    assert any("scope_active{" in line for line in shown(dossier, 150.0))
    assert not any("scope_active{" in line for line in shown(dossier, 151.0))


def test_a_failed_collection_keeps_duration_and_success_of_the_last_good_one(dossier: Dossier) -> None:
    good = Section("scopes", (), elapsed_seconds=0.4)
    dossier.collected(Collected(good, 0.0), NOW)
    dossier.collected(Collected(Section.failed("scopes", DeadlineError("late")), 60.0), NOW + 60)
    health = dossier.entry.publication.health.sections["scopes"]
    assert (health.reason, health.duration_seconds, health.succeeded) == ("timeout", 0.4, NOW)
    assert dossier.entry.sections["scopes"].section == good


def test_a_partial_answer_is_shown_but_no_success(dossier: Dossier) -> None:
    error = SectionError("10.0.1.0", "WIN32 5", "PermissionDenied", "denied")
    poll(dossier, SERVER, relationships())
    partial = Section("scopes", (Scope("10.0.0.0", state="Active"),), errors=(error,), elapsed_seconds=0.4)
    dossier.collected(Collected(partial, 0.0), NOW)
    health = dossier.entry.publication.health.sections["scopes"]
    assert (health.reason, health.succeeded) == ("permission", None)
    assert any("scope_active{" in line for line in shown(dossier))


def test_more_events_than_one_answer_holds_are_asked_for_at_once(dossier: Dossier) -> None:
    assert not dossier.heard_events(Events(newest_record_id=5))
    events = (Event(record_id=6, id=20254, properties=("dhcp02", "rel")),)
    assert dossier.heard_events(Events(newest_record_id=900, more=True, events=events))
    assert dossier.watermark == 6
    assert not dossier.heard_events(Events(newest_record_id=900))
    assert dossier.watermark == 900


def test_the_first_answer_is_no_change_the_next_one_may_be(dossier: Dossier) -> None:
    interrupted = Relationship(
        name="rel", partner_server="dhcp02", state="CommunicationInterrupted", scope_id=()
    )
    assert not poll(dossier, SERVER, relationships())
    assert poll(dossier, SERVER, Section("relationships", (interrupted,))) == [
        StateChange("rel", "dhcp02", before="Normal", after="CommunicationInterrupted")
    ]
    assert not poll(dossier, SERVER, Section("relationships", (interrupted,)))


def test_a_partner_that_is_not_configured_is_said_once(stage: Any) -> None:
    worker = stage.worker()
    with capture_logs() as lines:
        stage.run(worker, seconds=60)
    said = [line for line in lines if "partner" in line]
    assert [(line["log_level"], line["server"], line["partner"]) for line in said] == [
        ("warning", "dhcp01", "dhcp02")
    ]


def test_a_changed_state_is_said_once_and_the_first_one_not_at_all(stage: Any) -> None:
    server = stage.server(states={"rel": "Normal", "other": "PartnerDown"})
    worker = stage.worker()
    with capture_logs() as lines:
        stage.run(worker, seconds=60)
        server.states["rel"] = "CommunicationInterrupted"
        stage.run(worker, seconds=60)
    assert [line for line in lines if line["event"] == "state changed"] == [
        {
            "event": "state changed",
            "log_level": "info",
            "server": "dhcp01",
            "relationship": "rel",
            "partner": "dhcp02",
            "from": "Normal",
            "to": "CommunicationInterrupted",
        }
    ]


def test_a_state_that_changed_while_the_server_was_silent_is_said(stage: Any) -> None:
    server = stage.server()
    worker = stage.worker()
    with capture_logs() as lines:
        stage.run(worker, seconds=60)
        server.fault = DeadlineError("late")
        stage.run(worker, seconds=300)
        server.fault, server.states["rel"] = None, "PartnerDown"
        stage.run(worker, seconds=120)
    changes = [line for line in lines if line["event"] == "state changed"]
    assert [(line["from"], line["to"]) for line in changes] == [("Normal", "PartnerDown")]


def test_failures_are_said_once_and_their_end_too(stage: Any) -> None:
    stage.server(refused_sections={"settings"})
    worker = stage.worker()
    with capture_logs() as lines:
        stage.run(worker, seconds=1000)
        stage.server().fault = DeadlineError("late")
        stage.run(worker, seconds=300)
        stage.server().fault = None
        stage.run(worker, seconds=120)
    events = [line["event"] for line in lines if "partner" not in line]
    assert events == ["section failed", "poll failed", "server answers again"]
    (failed,) = (line for line in lines if line["event"] == "poll failed")
    assert failed["seconds"] == worker.settings.timeout_seconds
