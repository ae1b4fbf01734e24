"""One server's worker over simulated hours: on time, fresh or absent, and quick to ask for the cause."""

import itertools
from typing import Any

import pytest

from dhcp_failover_exporter.errors import DeadlineError, UnreachableError

POLL = ("server", "relationships")


def test_polls_come_every_fifteen_seconds_from_the_first_on(stage: Any) -> None:
    worker = stage.worker(start=3.0)
    stage.run(worker, seconds=3600)
    assert stage.server().times("relationships") == [3.0 + 15.0 * beat for beat in range(240)]
    assert len(stage.server().times("ports")) == 60
    assert len(stage.server().times("firewall")) == 4
    assert stage.server().opened == 1


def test_an_hour_on_the_board(stage: Any) -> None:
    stage.server(scopes=stage.addresses(3))
    worker = stage.worker()
    stage.run(worker, seconds=61)
    shown = stage.shown(worker)
    assert 'dhcp_failover_up{server="dhcp01"} 1' in shown
    assert 'dhcp_failover_polls_total{server="dhcp01"} 5' in shown
    assert (
        'dhcp_failover_state{server="dhcp01",partner="dhcp02",relationship="rel",state="Normal"} 1' in shown
    )
    assert (
        'dhcp_failover_scope_addresses_free{server="dhcp01",scope="10.0.0.0",relationship="rel"} 9' in shown
    )
    assert 'dhcp_failover_section_success{server="dhcp01",section="configuration"} 1' in shown
    assert (
        'dhcp_failover_section_timestamp_seconds{server="dhcp01",section="relationships"} 1700000060.0'
        in shown
    )


# --- slices ---------------------------------------------------------------------------------------------------


def test_polls_stay_on_time_while_the_statistics_of_a_thousand_scopes_are_read(stage: Any) -> None:
    server = stage.server(scopes=stage.addresses(1000), scope_seconds={"statistics": 0.010})
    worker = stage.worker()
    stage.run(worker, seconds=600)
    assert stage.late_polls(1.0) < 0.01
    assert sum(count or 1000 for count in server.slices("statistics")) == 10 * 1000
    assert max(count or 1000 for count in server.slices("statistics")) <= 200


def test_polls_stay_on_time_although_the_way_to_the_server_takes_a_while(stage: Any) -> None:
    server = stage.server(
        scopes=stage.addresses(1000), scope_seconds={"statistics": 0.01}, overhead_seconds=1.5
    )
    worker = stage.worker()
    stage.run(worker, seconds=600)
    assert stage.late_polls(1.0) < 0.01
    assert sum(count or 1000 for count in server.slices("statistics")) == 10 * 1000


def test_a_hurried_cadence_still_gets_its_statistics(stage: Any) -> None:
    """Even where a call takes longer than the time between two polls, everything is read in the end."""
    server = stage.server(
        scopes=stage.addresses(1000), scope_seconds={"statistics": 0.01}, overhead_seconds=1.2
    )
    worker = stage.worker(intervals=stage.intervals(state_seconds=1.0))
    stage.run(worker, seconds=200)
    assert len([count for count in server.slices("statistics") if count]) < 200
    assert "statistics" in worker.entry.sections


def test_polls_stay_on_time_while_a_thousand_scopes_are_audited(stage: Any) -> None:
    server = stage.server(
        scopes=stage.addresses(1000), scope_seconds={"configuration": 0.3, "statistics": 0.01}
    )
    worker = stage.worker()
    stage.run(worker, seconds=600)
    assert stage.late_polls(1.0) < 0.01
    assert sum(count or 1000 for count in server.slices("configuration")) == 1000
    assert max(count or 1000 for count in server.slices("configuration")) * 0.3 <= 2.0


def test_the_first_audit_runs_straight_through_and_the_second_is_spread(stage: Any) -> None:
    server = stage.server(scopes=stage.addresses(100), scope_seconds={"configuration": 0.3})
    worker = stage.worker()
    stage.run(worker, seconds=7200)
    times = server.times("configuration")
    first, second = [at for at in times if at < 3600], [at for at in times if at >= 3600]
    assert first[-1] - first[0] < 40
    assert 0.7 * 3600 < second[-1] - second[0] < 3600
    assert max(later - earlier for earlier, later in itertools.pairwise(second)) < 200
    assert sum(count or 100 for count in server.slices("configuration")) == 2 * 100
    assert stage.late_polls(1.0) < 0.01


def test_a_small_server_is_asked_for_everything_whole(stage: Any) -> None:
    stage.server(scopes=stage.addresses(5))
    worker = stage.worker()
    stage.run(worker, seconds=300)
    assert set(stage.server().slices("statistics")) == {None}


def test_slices_grow_with_a_server_that_turns_out_fast(stage: Any) -> None:
    stage.server(scopes=stage.addresses(1000), scope_seconds={"statistics": 0.0005})
    worker = stage.worker()
    stage.run(worker, seconds=300)
    assert stage.server().slices("statistics")[0] == 200
    assert stage.server().slices("statistics")[-1] is None


def test_a_section_is_published_once_with_its_last_slice(stage: Any) -> None:
    stage.server(scopes=stage.addresses(1000), scope_seconds={"statistics": 0.01})
    worker = stage.worker()
    counts = []
    stage.run(
        worker,
        seconds=30,
        each=lambda: counts.append(sum("addresses_free{" in x for x in stage.shown(worker))),
    )
    assert set(counts) == {0, 1000}


def test_a_section_is_as_old_as_its_first_slice(stage: Any) -> None:
    stage.server(scopes=stage.addresses(1000), scope_seconds={"statistics": 0.01})
    worker = stage.worker()
    stage.run(worker, seconds=30)
    collected = worker.entry.sections["statistics"]
    assert collected.started == stage.server().times("statistics")[0]


def test_a_lost_slice_fails_the_section_and_keeps_what_is_shown(stage: Any) -> None:
    server = stage.server(scopes=stage.addresses(1000), scope_seconds={"statistics": 0.01})
    worker = stage.worker()
    stage.run(worker, seconds=62)
    server.faults["statistics"] = UnreachableError("lost")
    stage.run(worker, seconds=20)
    shown = stage.shown(worker)
    assert 'dhcp_failover_section_success{server="dhcp01",section="statistics"} 0' in shown
    assert 'dhcp_failover_section_failed{server="dhcp01",section="statistics",reason="other"} 1' in shown
    assert sum("addresses_free{" in line for line in shown) == 1000
    assert 'dhcp_failover_up{server="dhcp01"} 1' in shown


def test_only_failover_scopes_are_asked_for_where_only_they_are_wanted(stage: Any) -> None:
    server = stage.server(scopes=stage.addresses(3))
    worker = stage.worker(scope_metrics="failover")
    stage.run(worker, seconds=10)
    assert server.slices("statistics") == [3]


def test_where_no_scope_is_in_failover_none_is_asked_for_and_that_is_no_failure(stage: Any) -> None:
    server = stage.server(scopes=stage.addresses(3), states={})
    worker = stage.worker(scope_metrics="failover")
    stage.run(worker, seconds=65)
    assert server.times("statistics") == []
    shown = stage.shown(worker)
    assert 'dhcp_failover_section_success{server="dhcp01",section="statistics"} 1' in shown
    collected = [line for line in shown if 'timestamp_seconds{server="dhcp01",section="statistics"}' in line]
    assert [float(line.split()[-1]) for line in collected] == [pytest.approx(1_700_000_060, abs=1)]


def test_scopes_that_leave_failover_and_join_it_are_followed(stage: Any) -> None:
    server = stage.server(scopes=stage.addresses(3))
    worker = stage.worker(scope_metrics="failover")
    stage.run(worker, seconds=70)
    assert any("addresses_free{" in line for line in stage.shown(worker))
    server.states.clear()
    stage.run(worker, seconds=166)
    assert len(server.times("statistics")) == 2
    assert not any("addresses_free{" in line for line in stage.shown(worker))
    server.states["rel"] = "Normal"
    stage.run(worker, seconds=6)  # the statistics are due with the poll that tells of the scopes
    assert server.slices("statistics") == [3, 3, 3]


def test_while_nobody_knows_which_scopes_are_in_failover_none_is_called_empty(stage: Any) -> None:
    server = stage.server(scopes=stage.addresses(3), refused_sections={"relationships"})
    worker = stage.worker(scope_metrics="failover")
    stage.run(worker, seconds=10)
    assert server.slices("statistics") == [None]


# --- forced collection ----------------------------------------------------------------------------------------


def _asked_between(server: Any, start: float, end: float) -> set[str]:
    return {name for at, sections, _ in server.calls if start < at < end for name in sections}


def test_a_changed_state_asks_for_its_cause_at_once(stage: Any) -> None:
    worker = stage.worker()
    stage.run(worker, seconds=80)
    stage.server().states["rel"] = "CommunicationInterrupted"
    stage.run(worker, seconds=12)
    assert {"ports", "firewall", "events"} <= _asked_between(stage.server(), 90.0, 91.0)


def test_a_changed_port_asks_for_what_was_not_asked_for_with_it(stage: Any) -> None:
    worker = stage.worker()
    stage.run(worker, seconds=115)
    stage.server().reachable = False
    stage.run(worker, seconds=10)
    assert "ports" in _asked_between(stage.server(), 119.0, 121.0)
    assert "firewall" in _asked_between(stage.server(), 119.0, 121.0)
    assert len([at for at in stage.server().times("ports") if at > 115]) == 1


def test_what_stays_as_it_is_forces_nothing(stage: Any) -> None:
    worker = stage.worker()
    stage.run(worker, seconds=890)
    assert len(stage.server().times("firewall")) == 1
    assert len(stage.server().times("ports")) == 15


def test_the_first_answer_is_no_change(stage: Any) -> None:
    stage.server(states={"rel": "PartnerDown"})
    worker = stage.worker()
    stage.run(worker, seconds=14)
    assert len(stage.server().times("ports")) == 1
    assert not any("state_last_change" in line for line in stage.shown(worker))


def test_a_change_between_two_polls_is_dated_as_observed(stage: Any) -> None:
    worker = stage.worker()
    stage.run(worker, seconds=80)
    stage.server().states["rel"] = "PartnerDown"
    stage.run(worker, seconds=12)
    assert (
        'dhcp_failover_state_last_change_timestamp_seconds{server="dhcp01",partner="dhcp02",relationship="rel",'
        'source="observed"} 1700000090.0' in stage.shown(worker)
    )


def test_an_event_dates_a_state_that_was_there_from_the_start(stage: Any) -> None:
    stage.server(events=[(20251, ["dhcp01", "rel", "RECOVER-DONE", "NORMAL"])])
    worker = stage.worker()
    stage.run(worker, seconds=10)
    assert (
        'dhcp_failover_state_last_change_timestamp_seconds{server="dhcp01",partner="dhcp02",relationship="rel",'
        'source="event"} 1700000000.0' in stage.shown(worker)
    )


# --- events ---------------------------------------------------------------------------------------------------


def _link_downs(stage: Any, worker: Any) -> str:
    (line,) = (line for line in stage.shown(worker) if "events_total" in line and '"link_down"' in line)
    return str(line).split()[-1]


def test_events_are_counted_from_the_first_read_on(stage: Any) -> None:
    server = stage.server(events=[(20255, ["dhcp02", "rel"])])
    worker = stage.worker()
    stage.run(worker, seconds=59)
    assert _link_downs(stage, worker) == "0"
    server.events += [(20255, ["dhcp02", "rel"]), (20255, ["dhcp02", "rel"])]
    stage.run(worker, seconds=5)
    assert _link_downs(stage, worker) == "2"


def test_only_events_after_the_newest_seen_are_asked_for(stage: Any) -> None:
    server = stage.server(events=[(20255, ["dhcp02", "rel"])])
    worker = stage.worker()
    stage.run(worker, seconds=125)
    asked = [
        after
        for (_, sections, _), after in zip(server.calls, server.after_events, strict=True)
        if "events" in sections
    ]
    assert asked == [None, 1, 1]


def test_a_cleared_log_is_read_anew_at_once(stage: Any) -> None:
    server = stage.server(events=[(20254, ["dhcp02", "rel"])] * 9)
    worker = stage.worker()
    stage.run(worker, seconds=59)
    server.events[:] = [(20255, ["dhcp02", "rel"])]
    stage.run(worker, seconds=5)
    assert _link_downs(stage, worker) == "1"


# --- failures -------------------------------------------------------------------------------------------------


def test_a_server_that_goes_away_is_down_at_its_next_poll_and_its_data_goes_by_age(stage: Any) -> None:
    worker = stage.worker()
    stage.run(worker, seconds=62)
    stage.server().fault = UnreachableError("away")
    stage.run(worker, seconds=15)
    shown = stage.shown(worker)
    assert 'dhcp_failover_up{server="dhcp01"} 0' in shown
    assert 'dhcp_failover_poll_failed{server="dhcp01",reason="unreachable"} 1' in shown
    assert 'dhcp_failover_section_success{server="dhcp01",section="relationships"} 0' in shown
    assert any("dhcp_failover_state{" in line for line in shown)
    assert worker.entry.message == "away"
    stage.run(worker, seconds=30)
    assert not any("dhcp_failover_state{" in line for line in stage.shown(worker))


def test_polls_of_a_server_that_is_away_back_off_to_a_minute(stage: Any) -> None:
    stage.server(fault=UnreachableError("away"))
    stage.run(stage.worker(), seconds=300)
    assert stage.server().times("relationships") == [0.0, 15.0, 45.0, 105.0, 165.0, 225.0, 285.0]
    assert stage.server().times("ports") == []


def test_a_hung_server_is_down_within_its_timeout_and_a_second(stage: Any) -> None:
    worker = stage.worker()
    stage.run(worker, seconds=61)
    stage.server().fault = DeadlineError("hung")
    stage.run(worker, seconds=14 + 11)
    assert 'dhcp_failover_poll_failed{server="dhcp01",reason="timeout"} 1' in stage.shown(worker)


def test_a_stuck_worker_cannot_keep_its_data_alive(stage: Any) -> None:
    """Not one more step is made: only the clock goes on."""
    worker = stage.worker()
    stage.run(worker, seconds=61)
    stage.clock.advance(40)
    assert 'dhcp_failover_up{server="dhcp01"} 1' in stage.shown(worker)
    stage.clock.advance(3)
    shown = stage.shown(worker)
    assert 'dhcp_failover_up{server="dhcp01"} 0' in shown
    assert not any("dhcp_failover_state{" in line for line in shown)
    assert 'dhcp_failover_polls_total{server="dhcp01"} 5' in shown


def test_a_section_that_hangs_costs_only_itself(stage: Any) -> None:
    server = stage.server()
    server.faults["counters"] = DeadlineError("hung")
    worker = stage.worker()
    stage.run(worker, seconds=600)
    shown = stage.shown(worker)
    for name in ("ports", "scopes", "events", "firewall", "statistics"):
        assert f'dhcp_failover_section_success{{server="dhcp01",section="{name}"}} 1' in shown
    assert 'dhcp_failover_section_failed{server="dhcp01",section="counters",reason="timeout"} 1' in shown
    assert stage.late_polls(1.0) == 0


def test_a_refused_section_costs_only_itself_and_asks_for_a_new_logon(stage: Any) -> None:
    server = stage.server(refused_sections={"settings"})
    worker = stage.worker()
    stage.run(worker, seconds=20)
    shown = stage.shown(worker)
    assert 'dhcp_failover_section_failed{server="dhcp01",section="settings",reason="permission"} 1' in shown
    assert 'dhcp_failover_section_success{server="dhcp01",section="firewall"} 1' in shown
    assert server.renewals == 1


def test_a_permission_that_misses_in_the_poll_itself_asks_for_a_new_logon(stage: Any) -> None:
    server = stage.server(refused_sections={"relationships"})
    worker = stage.worker()
    stage.run(worker, seconds=10)
    assert 'dhcp_failover_up{server="dhcp01"} 1' in stage.shown(worker)
    assert server.renewals == 1


# --- clocks ---------------------------------------------------------------------------------------------------


def test_clocks_are_compared_from_the_second_call_of_a_session_on(stage: Any) -> None:
    stage.server(clock_offset=90.0)
    worker = stage.worker()
    stage.run(worker, seconds=14)
    first = worker.entry.clock
    assert first is None
    stage.run(worker, seconds=15)
    assert worker.entry.clock.seconds == pytest.approx(90.0, abs=0.1)


# --- without polling ------------------------------------------------------------------------------------------


def test_without_polling_a_server_is_asked_only_when_somebody_asks(stage: Any) -> None:
    worker = stage.worker(polling=False)
    future = worker.probe()
    stage.run(worker, seconds=590)
    assert future.result(0).publication.health.up(stage.clock.monotonic()) is False
    assert stage.server().times("relationships") == [0.0]
    assert len(stage.server().times("configuration")) == 1


def test_a_probe_is_answered_before_the_other_sections_are_read(stage: Any) -> None:
    worker = stage.worker(polling=False)
    future = worker.probe()
    worker.step()
    assert future.done()
    assert stage.server().calls == [(0.0, POLL, None)]
    stage.run(worker, seconds=1)
    assert stage.server().times("firewall")


def test_ten_minutes_without_a_probe_end_the_session(stage: Any) -> None:
    worker = stage.worker(polling=False)
    worker.probe()
    stage.run(worker, seconds=599)
    assert stage.server().closed == 0
    stage.run(worker, seconds=2)
    assert stage.server().closed == 1
    assert worker.step() == float("inf")
    worker.probe()
    stage.run(worker, seconds=2)
    assert stage.server().opened == 2


@pytest.mark.parametrize("polling", [True, False])
def test_two_who_ask_cause_no_more_polls_than_one(stage: Any, polling: bool) -> None:
    worker = stage.worker(polling=polling)
    answers = []
    for _ in range(40):
        answers.append(worker.probe())
        stage.run(worker, seconds=7.0)
        answers.append(worker.probe())
        stage.run(worker, seconds=8.0)
    assert all(answer.done() for answer in answers)
    assert len(stage.server().times("relationships")) == 40


def test_a_probe_of_a_server_that_backs_off_polls_it(stage: Any) -> None:
    stage.server(fault=UnreachableError("away"))
    worker = stage.worker()
    stage.run(worker, seconds=120)
    before = len(stage.server().times("relationships"))
    answer = worker.probe()
    stage.run(worker, seconds=1)
    assert len(stage.server().times("relationships")) == before + 1
    assert answer.result(0).publication.health.failure == "unreachable"


def test_an_interruption_while_the_session_is_made_counts_for_it(stage: Any) -> None:
    open_session = stage.open_session

    def interrupted_meanwhile(*given: Any) -> Any:
        worker.interrupt()
        return open_session(*given)

    stage.open_session = interrupted_meanwhile
    worker = stage.worker()
    worker.step()
    assert worker.entry.polled is None
