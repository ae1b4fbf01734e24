"""The agenda: cadences, retries, what shares a call, what fits before the next poll. No worker, no session."""

import itertools
from typing import Any

import pytest

from dhcp_failover_exporter.engine.schedule import Agenda, Call, backoff, interval_of, sections_of
from dhcp_failover_exporter.errors import DeadlineError, SuspendedError, UnreachableError
from dhcp_failover_exporter.snapshot import SECTIONS, Section, SectionError

POLL = ("server", "relationships")


@pytest.fixture
def agenda(stage: Any) -> Agenda:
    return Agenda(stage.settings(), first_due=10.0)


def answer(agenda: Agenda, call: Call, at: float, seconds: float = 0.1) -> None:
    sections = {name: Section(name, elapsed_seconds=seconds / len(call.sections)) for name in call.sections}
    agenda.answered(call, sections, at, at + seconds)


def poll(agenda: Agenda, at: float, seconds: float = 0.1) -> None:
    call = agenda.next(at)
    assert call == Call(POLL)
    answer(agenda, call, at, seconds)


def drain(agenda: Agenda, at: float) -> list[tuple[str, ...]]:
    """Make all calls that are due, in no time."""
    calls = []
    while call := agenda.next(at):
        calls.append(call.sections)
        answer(agenda, call, at, 0.0)
    return calls


def test_nothing_is_due_before_the_first_poll(agenda: Agenda) -> None:
    assert agenda.next(9.9) is None
    assert agenda.wait(0.0) == 10.0
    assert agenda.next(10.0) == Call(POLL)


def test_the_first_poll_is_followed_by_everything_once(agenda: Agenda) -> None:
    assert drain(agenda, 10.0) == [
        POLL,
        ("ports", "scopes", "counters", "events"),
        ("settings", "firewall"),
        ("statistics",),
        ("configuration",),
    ]


def test_each_section_has_the_interval_of_its_cadence(stage: Any) -> None:
    settings = stage.settings()
    assert {name: interval_of(name, settings) for name in SECTIONS} == {
        **dict.fromkeys(POLL, 15.0),
        **dict.fromkeys(("ports", "scopes", "statistics", "counters", "events"), 60.0),
        **dict.fromkeys(("settings", "firewall"), 900.0),
        "configuration": 3600.0,
    }


def test_polls_keep_their_beat_whatever_they_take(agenda: Agenda) -> None:
    for beat in range(10):
        poll(agenda, 10.0 + 15.0 * beat, seconds=5.0)
        assert agenda.state_due == 25.0 + 15.0 * beat


def test_a_beat_that_was_missed_is_left_out(agenda: Agenda) -> None:
    poll(agenda, 10.0, seconds=40.0)
    assert agenda.state_due == 55.0


def test_switched_off_sections_are_not_asked_for(stage: Any) -> None:
    settings = stage.settings(sections_enabled={"ports": False, "configuration": False})
    calls = drain(Agenda(settings, 0.0), 0.0)
    assert calls == [
        POLL,
        ("scopes", "counters", "events"),
        ("settings", "firewall"),
        ("statistics",),
    ]


def test_scopes_that_nobody_sees_are_not_read(stage: Any) -> None:
    assert sections_of(stage.settings(scope_metrics="none")) == set(SECTIONS) - {"scopes", "statistics"}


def test_the_first_retry_comes_at_the_normal_cadence_then_ever_later_up_to_a_minute(agenda: Agenda) -> None:
    at, waits = 10.0, []
    for _ in range(6):
        agenda.failed(Call(POLL), UnreachableError("away"), at, at + 1.0)
        waits.append(agenda.state_due - at)
        at = agenda.state_due
    assert waits == [15.0, 30.0, 60.0, 60.0, 60.0, 60.0]


def test_one_answer_ends_the_backoff(agenda: Agenda) -> None:
    for at in (10.0, 25.0, 55.0):
        agenda.failed(Call(POLL), UnreachableError("away"), at, at)
    poll(agenda, agenda.state_due)
    assert agenda.wait(115.0) <= 15.0


def test_backoff_never_polls_more_often_than_the_interval() -> None:
    assert backoff(1, 120.0, 120.0) == 120.0
    assert backoff(9, 120.0, 120.0) == 120.0


def test_waiting_at_the_gate_is_no_reason_to_back_off(agenda: Agenda) -> None:
    for at in (10.0, 25.0, 40.0):
        agenda.failed(Call(POLL), SuspendedError("shut"), at, at)
        assert agenda.state_due == at + 15.0


def test_while_the_server_does_not_answer_nothing_but_polls_is_tried(agenda: Agenda) -> None:
    agenda.failed(Call(POLL), UnreachableError("away"), 10.0, 10.0)
    assert agenda.next(11.0) is None
    assert agenda.wait(11.0) == 14.0
    poll(agenda, 25.0)
    assert agenda.next(25.1) is not None


def test_after_a_section_that_broke_the_call_a_poll_asks_first(agenda: Agenda) -> None:
    poll(agenda, 10.0)
    call = agenda.next(10.1)
    assert call is not None
    failed = agenda.failed(call, DeadlineError("late"), 10.1, 20.1)
    assert [it.section.reason for it in failed] == ["timeout"] * len(call.sections)
    assert agenda.next(20.2) is None


def test_sections_that_broke_a_call_together_are_asked_for_alone(agenda: Agenda) -> None:
    """One of them hangs; the others must not share its fate for ever."""
    poll(agenda, 10.0)
    call = agenda.next(10.1)
    assert call == Call(("ports", "scopes", "counters", "events"))
    agenda.failed(call, DeadlineError("late"), 10.1, 20.1)
    alone = []
    for beat in range(5, 9):
        poll(agenda, 10.0 + 15.0 * beat)
        calls = drain(agenda, 10.1 + 15.0 * beat)
        alone += [call for call in calls if set(call) <= {"ports", "scopes", "counters", "events"}]
    assert alone[0] == ("ports",)


def test_an_hour_is_not_waited_for_after_a_broken_call(agenda: Agenda) -> None:
    tries: list[float] = []
    at = 10.0
    while at < 7500:
        poll(agenda, at, 0.0)
        while (call := agenda.next(at)) and call.sections != ("configuration",):
            answer(agenda, call, at, 0.0)
        if call:
            agenda.failed(call, UnreachableError("away"), at, at)
            tries.append(at)
        at = agenda.state_due
    waits = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert waits == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0]


def test_a_slow_section_goes_alone_once_that_is_known(agenda: Agenda) -> None:
    poll(agenda, 10.0)
    call = agenda.next(10.1)
    assert call is not None
    sections = {
        name: Section(name, elapsed_seconds=4.0 if name == "ports" else 0.1) for name in call.sections
    }
    agenda.answered(call, sections, 10.1, 14.4)
    drain(agenda, 14.5)
    for at in (25.0, 40.0, 55.0):
        poll(agenda, at)
    poll(agenda, 70.0)
    assert drain(agenda, 70.2)[:2] == [("ports",), ("scopes", "counters", "events")]


def test_nothing_is_begun_that_would_make_the_next_poll_late(agenda: Agenda) -> None:
    poll(agenda, 10.0)
    call = agenda.next(10.1)
    assert call is not None
    answer(agenda, call, 10.1, 13.0)
    assert agenda.next(23.1) is not None
    assert agenda.next(24.9) is None
    assert agenda.wait(24.9) == pytest.approx(0.1)


def test_right_after_a_poll_even_the_slowest_section_gets_its_turn(agenda: Agenda) -> None:
    poll(agenda, 10.0)
    call = agenda.next(10.1)
    assert call is not None
    answer(agenda, call, 10.1, 400.0)
    poll(agenda, 415.0)
    drain(agenda, 415.1)
    poll(agenda, 430.0)
    assert agenda.next(430.1) == Call(("ports",))
    assert agenda.next(432.0) == Call(("statistics",))


def test_only_the_first_call_after_a_poll_may_make_the_next_one_late(agenda: Agenda) -> None:
    poll(agenda, 10.0)
    call = agenda.next(10.1)
    assert call is not None
    slow = {name: Section(name, elapsed_seconds=14.0 if name == "events" else 0.1) for name in call.sections}
    agenda.answered(call, slow, 10.1, 24.4)
    poll(agenda, 25.0)
    drain(agenda, 25.1)
    for at in (40.0, 55.0, 70.0):
        poll(agenda, at)
    call = agenda.next(70.1)
    assert call == Call(("ports", "scopes", "counters"))
    answer(agenda, call, 70.1, 0.1)
    assert agenda.next(70.2) != Call(("events",))
    poll(agenda, 85.0)
    assert agenda.next(85.1) == Call(("events",))


def test_brought_forward_is_only_what_was_not_asked_for_since(agenda: Agenda) -> None:
    drain(agenda, 10.0)
    agenda.bring_forward(("ports", "firewall"), 12.0, unless_after=10.0)
    assert agenda.next(12.0) is None
    agenda.bring_forward(("ports", "firewall"), 12.0, unless_after=10.1)
    assert drain(agenda, 12.0) == [("ports",), ("firewall",)]


def test_a_failed_slice_ends_the_round_and_the_next_beat_starts_anew(stage: Any) -> None:
    agenda = Agenda(stage.settings(), 0.0)
    poll(agenda, 0.0)
    agenda.targets = {"statistics": stage.targets(stage.addresses(1000))}
    while (call := agenda.next(0.2)) and call.sections != ("statistics",):
        answer(agenda, call, 0.2, 0.0)
    assert call is not None
    assert len(call.scopes) == 200
    failure = SectionError(None, "WIN32 1722", "NotSpecified", "gone")
    collected = agenda.answered(call, {"statistics": Section("statistics", failure=failure)}, 0.2, 0.3)
    assert [it.section.reason for it in collected] == ["dhcp"]
    assert ("statistics",) not in drain(agenda, 1.0)


def test_a_slice_that_took_too_long_is_cut_smaller_the_next_time(stage: Any) -> None:
    agenda = Agenda(stage.settings(sections_enabled=dict.fromkeys(SECTIONS[2:4] + SECTIONS[5:], False)), 0.0)
    poll(agenda, 0.0)
    agenda.targets = {"statistics": stage.targets(stage.addresses(1000))}
    call = agenda.next(0.1)
    assert call is not None
    assert len(call.scopes) == 200
    agenda.failed(call, DeadlineError("late"), 0.1, 10.1)
    for beat in range(1, 5):
        poll(agenda, 15.0 * beat)
    call = agenda.next(60.1)
    assert call is not None
    assert len(call.scopes) == 20


def test_without_polling_nothing_is_due_until_somebody_asks(stage: Any) -> None:
    agenda = Agenda(stage.settings(), 0.0, polling=False)
    assert agenda.next(1000.0) is None
    assert agenda.wait(1000.0) == float("inf")
    agenda.probed(1000.0)
    assert len(drain(agenda, 1000.0)) == 5
    assert agenda.wait(1000.0) == float("inf")


def test_without_polling_a_section_is_due_at_eight_tenths_of_its_interval(stage: Any) -> None:
    agenda = Agenda(stage.settings(), 0.0, polling=False)
    agenda.probed(0.0)
    drain(agenda, 0.0)
    agenda.probed(11.9)
    assert drain(agenda, 11.9) == []
    agenda.probed(12.0)
    assert drain(agenda, 12.0) == [POLL]
    agenda.probed(48.0)
    assert drain(agenda, 48.0) == [POLL, ("ports", "scopes", "counters", "events"), ("statistics",)]
