"""What a server's own log calls changed is audited at once: between the polls, and in the last audit's place."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from dhcp_failover_exporter.engine.dossier import Dossier, Timing
from dhcp_failover_exporter.engine.schedule import Agenda, Call, Collected
from dhcp_failover_exporter.errors import DeadlineError
from dhcp_failover_exporter.exposition import join
from dhcp_failover_exporter.failover import Naming
from dhcp_failover_exporter.snapshot import (
    Event,
    Events,
    Relationship,
    Scope,
    ScopeConfiguration,
    Section,
    SectionError,
    ServerOptions,
)

A, B, C = "10.0.0.0", "10.0.1.0", "10.0.2.0"


# --- the agenda -----------------------------------------------------------------------------------------------


@pytest.fixture
def agenda(stage: Any) -> Agenda:
    """Everything was read once, at 0; a scope took 0.3 s."""
    agenda = Agenda(stage.settings(), first_due=0.0)
    agenda.targets = {"configuration": stage.targets(stage.addresses(5))}
    answer(agenda, first_audit(agenda), 0.0, 1.5)
    return agenda


def first_audit(agenda: Agenda) -> Call:
    """Answer everything at 0 until the first audit wants its first slice."""
    while (call := agenda.next(0.0)) and call.sections != ("configuration",):
        answer(agenda, call, 0.0)
    assert call is not None
    return call


def answer(agenda: Agenda, call: Call, at: float, seconds: float = 0.0) -> Sequence[Collected]:
    sections = {name: Section(name, elapsed_seconds=seconds) for name in call.sections}
    return agenda.answered(call, sections, at, at + seconds)


def test_changed_scopes_are_asked_for_at_once_and_once(agenda: Agenda) -> None:
    agenda.audit_at_once([B, A])
    call = agenda.next(5.0)
    assert call == Call(("configuration",), (A, B), out_of_turn=True)
    assert [it.scopes for it in answer(agenda, call, 5.0)] == [(A, B)]
    assert agenda.next(5.0) is None


def test_many_changed_scopes_come_in_slices_and_a_poll_goes_between(agenda: Agenda, stage: Any) -> None:
    agenda.audit_at_once(stage.addresses(50))
    calls: list[Call] = []
    now = 1.0
    while now < 30.0:
        call = agenda.next(now)
        if call is None:
            now += agenda.wait(now)
            continue
        assert not agenda.is_poll(call) or now == agenda.state_due
        calls.append(call)
        answer(agenda, call, now, 0.3 * len(call.scopes))
        now += 0.3 * len(call.scopes)
    assert sorted(scope for call in calls for scope in call.scopes) == sorted(stage.addresses(50))
    assert max(len(call.scopes) for call in calls) * 0.3 <= 2.0
    assert calls[0].out_of_turn
    assert calls[-1].out_of_turn
    assert sum(map(agenda.is_poll, calls)) == 1


def test_no_beat_of_the_audit_moves(agenda: Agenda) -> None:
    agenda.audit_at_once([A])
    call = agenda.next(5.0)
    assert call is not None
    answer(agenda, call, 5.0)
    agenda.audit_at_once([A])
    call = agenda.next(6.0)
    assert call is not None
    agenda.failed(call, DeadlineError("late"), 6.0, 16.0)
    drain(agenda, 16.0)
    drain(agenda, 3599.0)
    assert not any(call.sections == ("configuration",) for call in drain(agenda, 3599.5))
    assert any(call.sections == ("configuration",) for call in drain(agenda, 3600.0))


def drain(agenda: Agenda, at: float) -> Sequence[Call]:
    calls = []
    while call := agenda.next(at):
        calls.append(call)
        answer(agenda, call, at)
    return calls


def test_what_failed_is_not_asked_for_again_and_a_poll_comes_first(agenda: Agenda) -> None:
    agenda.audit_at_once([A])
    call = agenda.next(5.0)
    assert call is not None
    (collected,) = agenda.failed(call, DeadlineError("late"), 5.0, 8.0)
    assert (collected.section.reason, collected.scopes) == ("timeout", (A,))
    agenda.audit_at_once([B])
    assert agenda.next(8.0) is None
    assert drain(agenda, 15.0)[1:] == [Call(("configuration",), (B,), out_of_turn=True)]


def test_where_the_audit_is_switched_off_nothing_is_read(stage: Any) -> None:
    agenda = Agenda(stage.settings(sections_enabled={"configuration": False}), 0.0)
    agenda.audit_at_once([A])
    assert not any("configuration" in call.sections for call in drain(agenda, 0.0))


def test_a_round_under_way_does_not_bring_back_what_was_read_before_the_change(stage: Any) -> None:
    """Three scopes: the first was read before its change, the second vanished, the third is yet to come."""
    agenda = Agenda(stage.settings(), 0.0)
    agenda.targets = {"configuration": stage.targets([A, B, C])}
    audit = replace(first_audit(agenda), scopes=(A, B))
    hear(agenda, audit, *audited(A), *audited(B))
    agenda.audit_at_once([A, B, C])
    out_of_turn = agenda.next(1.0)
    assert out_of_turn == Call(("configuration",), (A, B, C), out_of_turn=True)
    hear(agenda, out_of_turn, *audited(A, "new"), *audited(C, "old"))
    last = agenda.next(1.0)
    assert last == Call(("configuration",), (C,))
    (whole,) = hear(agenda, last, *audited(C, "new"))
    assert whole.section.records == (*audited(A, "new"), *audited(C, "new"))
    assert (whole.scopes, whole.started) == ((), 0.0)


def test_a_failure_out_of_turn_is_none_of_the_round_under_way(stage: Any) -> None:
    agenda = Agenda(stage.settings(), 0.0)
    agenda.targets = {"configuration": stage.targets([A, B])}
    hear(agenda, replace(first_audit(agenda), scopes=(A,)), *audited(A))
    agenda.audit_at_once([A])
    out_of_turn = agenda.next(1.0)
    assert out_of_turn is not None
    failed = Section("configuration", failure=SectionError(None, "WIN32 1722", "NotSpecified", "gone"))
    agenda.answered(out_of_turn, {"configuration": failed}, 1.0, 1.1)
    last = agenda.next(1.1)
    assert last == Call(("configuration",), (B,))
    (whole,) = hear(agenda, last, *audited(B))
    assert (whole.section.reason, whole.section.records) == (None, (*audited(A), *audited(B)))


def hear(agenda: Agenda, call: Call, *records: ScopeConfiguration) -> Sequence[Collected]:
    return agenda.answered(call, {"configuration": Section("configuration", records)}, 0.0, 0.5)


# --- the dossier ----------------------------------------------------------------------------------------------


def audited(scope: str, name: str = "") -> tuple[ScopeConfiguration]:
    return (ScopeConfiguration(scope, scope={"Name": name}, reservations=({"IPAddress": name},)),)


@pytest.fixture
def dossier(stage: Any) -> Dossier:
    """Two scopes were audited at 0."""
    settings = stage.settings()
    dossier = Dossier(settings, Naming([settings]))
    relationship = Relationship(name="rel", partner_server="dhcp02", state="Normal", scope_id=(A, B))
    dossier.poll_answered([Collected(Section("relationships", (relationship,)), 0.0)], Timing(0.0, 0.0), "")
    scopes = (Scope(A, subnet_mask="255.255.255.0"), Scope(B, subnet_mask="255.255.255.0"))
    dossier.collected(Collected(Section("scopes", scopes), 0.0), 0.0)
    whole = Section("configuration", (ServerOptions(()), *audited(A), *audited(B)), elapsed_seconds=0.7)
    dossier.collected(Collected(whole, 0.0), 0.0)
    return dossier


def fingerprints(dossier: Dossier, now: float = 0.0) -> dict[str, str]:
    """Scope -> its reservations' fingerprint, as a scrape shows it."""
    lines = join([dossier.entry.publication], now).decode().splitlines()
    wanted = [line for line in lines if line.startswith("dhcp_failover_scope_config_fingerprint{")]
    return {
        line.partition('scope="')[2].partition('"')[0]: line.rpartition(" ")[2]
        for line in wanted
        if 'part="reservations"' in line
    }


def read(dossier: Dossier, section: Section, *scopes: str) -> None:
    dossier.collected(Collected(section, 300.0, scopes), 300.0)


def test_a_scope_is_replaced_and_the_audit_stays_as_old_as_it_was(dossier: Dossier) -> None:
    before, health = fingerprints(dossier), dossier.entry.publication.health
    read(dossier, Section("configuration", (ServerOptions(()), *audited(A, "new")), elapsed_seconds=9.0), A)
    after = fingerprints(dossier)
    assert after[A] != before[A]
    assert after[B] == before[B]
    assert dossier.entry.publication.health == health
    assert dossier.entry.publication.sections["configuration"].started == 0.0
    assert dossier.entry.sections["configuration"].started == 0.0
    assert dossier.entry.sections["configuration"].section.elapsed_seconds == 0.7
    assert fingerprints(dossier, 9_300.0) == {}


def test_a_scope_that_is_gone_vanishes(dossier: Dossier) -> None:
    gone = SectionError(A, "DHCP 20005,Get-DhcpServerv4Scope", "ObjectNotFound", "gone")
    read(dossier, Section("configuration", (), (gone,)), A)
    assert set(fingerprints(dossier)) == {B}


@pytest.mark.parametrize("failed", [False, True])
def test_an_answer_with_gaps_changes_nothing(failed: bool, dossier: Dossier) -> None:
    before = fingerprints(dossier)
    refused = SectionError(A, "WIN32 5,Get-DhcpServerv4Reservation", "PermissionDenied", "denied")
    gaps = Section("configuration", (ScopeConfiguration(A),), (refused,))
    read(dossier, Section.failed("configuration", DeadlineError("late")) if failed else gaps, A)
    assert fingerprints(dossier) == before
    assert dossier.entry.publication.health.sections["configuration"].reason is None


def test_before_the_first_audit_nothing_is_shown_of_a_single_scope(stage: Any) -> None:
    settings = stage.settings()
    dossier = Dossier(settings, Naming([settings]))
    read(dossier, Section("configuration", audited(A)), A)
    assert "configuration" not in dossier.entry.sections


def test_changes_name_scopes_from_the_second_answer_on(dossier: Dossier) -> None:
    old, new = Event(4, 106, ("10.0.0.7",)), Event(5, 106, ("10.0.1.7",))
    assert not dossier.heard_changes(Events(changes=(old,)))
    assert dossier.heard_changes(Events(changes=(old, new))) == {B}
    assert not dossier.heard_changes(Events(changes=(old, new)))


def test_an_answer_without_changes_is_no_cleared_log(dossier: Dossier) -> None:
    """An older collector, or an account that may not read the channel."""
    old = Event(4, 106, ("10.0.0.7",))
    dossier.heard_changes(Events(changes=(old,)))
    assert not dossier.heard_changes(Events())
    assert not dossier.heard_changes(Events(changes=(old,)))


# --- a worker, over hours -------------------------------------------------------------------------------------


def configuration_calls(stage: Any, since: float) -> list[tuple[float, int | None]]:
    return [
        (at, count)
        for at, sections, count in stage.server().calls
        if sections == ("configuration",) and at >= since
    ]


def test_a_change_is_read_with_the_next_pools_and_nothing_else_is(stage: Any) -> None:
    stage.server(scopes=stage.addresses(3), changes=[(70, [A])])
    worker = stage.worker()
    stage.run(worker, seconds=100.0)
    stage.server().changes.append((106, ["[[10.0.1.0]Second]", "LAB\\admin"]))
    stage.run(worker, seconds=100.0)
    ((at, count),) = configuration_calls(stage, 10.0)
    assert 120.0 <= at < 121.0
    assert count == 1
    stage.run(worker, seconds=3000.0)
    assert len(configuration_calls(stage, 10.0)) == 1


def test_polls_stay_on_time_while_many_scopes_are_read_out_of_turn(stage: Any) -> None:
    scopes = stage.addresses(50)
    server = stage.server(scopes=scopes, changes=[], scope_seconds={"configuration": 0.3})
    worker = stage.worker()
    stage.run(worker, seconds=100.0)
    server.changes += [(106, [scope]) for scope in scopes]
    stage.run(worker, seconds=100.0)
    counts = [count or 50 for _, count in configuration_calls(stage, 100.0)]
    assert sum(counts) == 50
    assert max(counts) * 0.3 <= 2.0
    assert stage.late_polls(1.0) < 0.01
