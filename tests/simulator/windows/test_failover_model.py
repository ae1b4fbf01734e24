"""The life of a relationship, step by step, and under random faults."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dhcp_failover_exporter.simulator.windows import (
    Clock,
    Pace,
    Pair,
    Population,
    Relationship,
    Setup,
    State,
    static_pair,
)
from dhcp_failover_exporter.simulator.windows.events import ADMIN

if TYPE_CHECKING:
    from simulator.windows.conftest import FakeClock

States = tuple[str | None, str | None]
Walk = list[tuple[str, int, float]]

LEGAL = {
    "NoState": {"Init", "Startup"},
    "Init": {"Recover", "Startup"},
    "Startup": {
        "Init", "Normal", "CommunicationInterrupted", "PartnerDown", "PotentialConflict", "ResolutionInterrupted",
        "Recover", "RecoverWait", "RecoverDone",
    },
    "Normal": {"CommunicationInterrupted", "PartnerDown", "Startup"},
    "CommunicationInterrupted": {"Normal", "PartnerDown", "PotentialConflict", "Startup"},
    "PartnerDown": {"Normal", "PotentialConflict", "Startup"},
    "PotentialConflict": {"ConflictDone", "Normal", "ResolutionInterrupted", "Startup"},
    "ConflictDone": {"Normal", "CommunicationInterrupted", "Startup"},
    "ResolutionInterrupted": {"PotentialConflict", "PartnerDown", "Startup"},
    "Recover": {"RecoverWait", "RecoverDone", "Startup"},
    "RecoverWait": {"RecoverDone", "Startup"},
    "RecoverDone": {"Normal", "Startup"},
}  # fmt: skip
"""From the state table of the facts and the protocol draft, not from the code."""

LAST_IN_CONTACT = {
    frozenset({"Normal"}),
    frozenset({"PotentialConflict"}),
    frozenset({"PotentialConflict", "ConflictDone"}),
    frozenset({"PartnerDown", "Recover"}),
    frozenset({"PartnerDown", "RecoverWait"}),
}
"""What two ends that hear each other may stay in: in every other couple, one of them thinks something that the
other has just told it is wrong. Two survivors (PartnerDown) are a conflict, and one beside Normal or
CommunicationInterrupted as well."""

SILENT = {None, "Startup", "PotentialConflict", "Recover", "RecoverWait"}
NO_NEW_CLIENTS = {*SILENT, "RecoverDone"}
"""The column "answers clients" of the states' published meanings; None is a server that does not run."""


def states(relationship: Relationship) -> States:
    with relationship.primary.server.network.moment():
        primary, secondary = (end.state.value if end.alive else None for end in relationship.ends)
        return primary, secondary


def linked(relationship: Relationship) -> bool:
    with relationship.primary.server.network.moment():
        return relationship.linked


def walked(relationship: Relationship) -> list[States]:
    """The pairs of states that the relationship has gone through, each once in a row."""
    with relationship.primary.server.network.moment():
        seen = [(_value(phase.states[0]), _value(phase.states[1])) for phase in relationship.phases]
    return [each for number, each in enumerate(seen) if number == 0 or each != seen[number - 1]]


def _value(state: State | None) -> str | None:
    return None if state is None else state.value


def test_nothing_happens_to_a_healthy_pair(pair: Pair, clock: "FakeClock") -> None:
    clock.sleep(86_400)
    assert [states(each) for each in pair.relationships] == [("Normal", "Normal")] * 2
    assert pair.primary.logs[ADMIN].read() == []


def test_silent_block_into_the_secondary_shows_after_the_silence_limit_only(
    pair: Pair, clock: "FakeClock"
) -> None:
    relationship = pair.relationships[0]
    clock.sleep(25)  # the last message passed at 20
    pair.block_into_secondary()
    clock.sleep(24.9)
    assert states(relationship) == ("Normal", "Normal")
    clock.sleep(0.1)
    assert states(relationship) == ("CommunicationInterrupted", "CommunicationInterrupted")


def test_reset_into_the_secondary_shows_at_once(pair: Pair) -> None:
    pair.block_into_secondary(silently=False)
    assert states(pair.relationships[0]) == ("CommunicationInterrupted", "CommunicationInterrupted")


def test_short_silence_is_not_noticed(pair: Pair, clock: "FakeClock") -> None:
    pair.block_into_secondary()
    clock.sleep(29)
    pair.unblock()
    clock.sleep(100)
    assert walked(pair.relationships[0]) == [("Normal", "Normal")]


def test_states_settle_over_no_dead_link_that_neither_side_has_noticed(
    pair: Pair, clock: "FakeClock"
) -> None:
    relationship = pair.relationships[0]
    pair.block_into_secondary(silently=False)
    pair.unblock()
    clock.sleep(10.5)  # connected again at 10, agreed upon at 11
    assert linked(relationship)
    pair.block_into_secondary()
    clock.sleep(20)
    assert linked(relationship)
    assert states(relationship) == ("CommunicationInterrupted", "CommunicationInterrupted")
    pair.unblock()
    clock.sleep(1)
    assert states(relationship) == ("Normal", "Normal")


def test_a_started_server_hears_nothing_over_a_dead_link(pair: Pair, clock: "FakeClock") -> None:
    relationship = pair.relationships[0]
    pair.secondary.stop_service()
    clock.sleep(5)
    pair.secondary.start_service()
    clock.sleep(5.5)  # connected at 10, agreed upon at 11
    assert linked(relationship)
    pair.block_into_secondary()
    clock.sleep(4)
    assert states(relationship) == ("CommunicationInterrupted", "Startup")
    clock.sleep(1)
    assert states(relationship) == ("CommunicationInterrupted", "CommunicationInterrupted")
    changes = [event for event in pair.primary.logs[ADMIN].read() if event.id in {20251, 20252}]
    assert {event.properties[0] for event in changes} == {"dhcp01.lab.local"}


def test_nobody_complains_about_clocks_over_a_dead_link(pair: Pair, clock: "FakeClock") -> None:
    pair.block_into_secondary()
    pair.secondary.set_clock(90)
    clock.sleep(29)
    assert linked(pair.relationships[0])
    assert pair.primary.logs[ADMIN].read() == []


def test_block_into_the_primary_only_fails_the_probe(pair: Pair, clock: "FakeClock") -> None:
    pair.block_into_primary()
    clock.sleep(3600)
    assert walked(pair.relationships[0]) == [("Normal", "Normal")]
    assert pair.network.connect(pair.secondary, "10.0.1.1").error == "TimedOut"
    assert pair.network.connect(pair.primary, "10.0.1.2").error is None


def test_disabled_rule_breaks_the_pair_on_the_secondary_only(pair: Pair, clock: "FakeClock") -> None:
    rule = "Microsoft-Windows-DHCP-Failover-TCP-In"
    pair.primary.set_firewall_rule(rule, enabled=False)
    clock.sleep(3600)
    assert states(pair.relationships[0]) == ("Normal", "Normal")
    pair.secondary.set_firewall_rule(rule, enabled=False)
    clock.sleep(30)
    assert states(pair.relationships[0]) == ("CommunicationInterrupted", "CommunicationInterrupted")


def test_dead_host_comes_back_through_recovery(pair: Pair, clock: "FakeClock") -> None:
    relationship = pair.relationships[0]
    pair.secondary.power_off()
    clock.sleep(30 + 60)
    assert states(relationship) == ("PartnerDown", None)
    pair.secondary.power_on()
    clock.sleep(30)
    assert states(relationship) == ("PartnerDown", "RecoverWait")
    clock.sleep(300)
    assert walked(relationship) == [
        ("Normal", "Normal"), ("Normal", None), ("CommunicationInterrupted", None), ("PartnerDown", None),
        ("PartnerDown", "Startup"), ("PartnerDown", "Recover"), ("PartnerDown", "RecoverWait"),
        ("PartnerDown", "RecoverDone"), ("Normal", "Normal"),
    ]  # fmt: skip


def test_recover_wait_lasts_one_mclt(pair: Pair, clock: "FakeClock") -> None:
    pair.secondary.power_off()
    clock.sleep(90)
    pair.secondary.power_on()
    clock.sleep(600)
    with pair.network.moment():
        entered = {phase.states[1]: phase.start for phase in reversed(pair.relationships[0].phases)}
    assert entered[State.RECOVER_DONE] - entered[State.RECOVER_WAIT] == 120


def test_stopped_service_is_seen_at_once_and_short_stop_needs_no_recovery(
    pair: Pair, clock: "FakeClock"
) -> None:
    relationship = pair.relationships[0]
    pair.secondary.stop_service()
    assert states(relationship) == ("CommunicationInterrupted", None)
    clock.sleep(20)
    pair.secondary.start_service()
    clock.sleep(30)
    assert states(relationship) == ("Normal", "Normal")
    assert "Recover" not in {state for both in walked(relationship) for state in both}


def test_partner_forced_down_while_it_lives_ends_in_conflict(pair: Pair, clock: "FakeClock") -> None:
    relationship = pair.relationships[0]
    pair.block_into_secondary(silently=False)
    assert pair.primary.force_partner_down(relationship.name)
    assert states(relationship) == ("PartnerDown", "CommunicationInterrupted")
    pair.unblock()
    clock.sleep(60)
    assert walked(relationship)[-4:] == [
        ("PartnerDown", "CommunicationInterrupted"), ("PotentialConflict", "PotentialConflict"),
        ("ConflictDone", "PotentialConflict"), ("Normal", "Normal"),
    ]  # fmt: skip


def test_conflict_that_loses_the_link_is_interrupted(pair: Pair, clock: "FakeClock") -> None:
    relationship = pair.relationships[0]
    pair.primary.force_partner_down(relationship.name)
    clock.sleep(12)
    assert states(relationship) == ("PotentialConflict", "PotentialConflict")
    pair.block_into_secondary(silently=False)
    assert states(relationship) == ("ResolutionInterrupted", "ResolutionInterrupted")


def test_without_automatic_step_the_pair_stays_interrupted(
    make_pair: Callable[..., Pair], clock: "FakeClock"
) -> None:
    pair = make_pair(pace=Pace(contact=10, silence=30, mclt=120))
    pair.secondary.power_off()
    clock.sleep(86_400)
    assert states(pair.relationships[0]) == ("CommunicationInterrupted", None)


def test_partner_may_be_forced_down_in_serving_states_only(pair: Pair) -> None:
    pair.primary.restart_service()
    assert not pair.primary.force_partner_down(pair.relationships[0].name)


def test_new_relationship_recovers_without_waiting(clock: "FakeClock", pace: Pace) -> None:
    pair = static_pair(
        clock, load_balance_scopes=1, hot_standby_scopes=0, setup=Setup(pace=pace, established=False)
    )
    clock.sleep(60)
    assert walked(pair.relationships[0]) == [
        ("Init", "Init"), ("Recover", "Recover"), ("RecoverDone", "RecoverDone"), ("Normal", "Normal"),
    ]  # fmt: skip


def test_clocks_apart_leave_the_state_alone_and_are_logged(pair: Pair, clock: "FakeClock") -> None:
    pair.secondary.set_clock(90)
    clock.sleep(600)
    assert states(pair.relationships[0]) == ("Normal", "Normal")
    logged = [event for event in pair.primary.logs[ADMIN].read() if event.id == 20253]
    assert logged
    assert logged[0].properties == ("dhcp02.lab.local", "dhcp01-dhcp02 load balance", "90")


def test_other_secret_keeps_the_pair_apart(pair: Pair, clock: "FakeClock") -> None:
    relationship = pair.relationships[0]
    pair.primary.set_shared_secret(relationship.name, "one")
    clock.sleep(30)
    assert states(relationship) == ("CommunicationInterrupted", "CommunicationInterrupted")
    pair.secondary.set_shared_secret(relationship.name, "one")
    clock.sleep(30)
    assert states(relationship) == ("Normal", "Normal")


def test_both_partners_log_a_change_of_state(pair: Pair, clock: "FakeClock") -> None:
    pair.block_into_secondary(silently=False)
    pair.unblock()
    clock.sleep(30)
    assert states(pair.relationships[0]) == ("Normal", "Normal")
    logged = [
        (e.id, e.level, *e.properties) for e in pair.secondary.logs[ADMIN].read() if "load" in e.properties[1]
    ]
    name = "dhcp01-dhcp02 load balance"
    assert (20252, 2, "dhcp02.lab.local", name, "NORMAL", "COMMUNICATION INTERRUPTED") in logged
    assert (20251, 4, "dhcp01.lab.local", name, "COMMUNICATION INTERRUPTED", "NORMAL") in logged
    assert [each[0] for each in logged if each[0] in {20254, 20255}] == [20255, 20254]


FAULTS: dict[str, Callable[[Pair, int], object]] = {
    "wait": lambda *_: None,
    "block silently": lambda pair, _: pair.block_into_secondary(),
    "block with reset": lambda pair, _: pair.block_into_secondary(silently=False),
    "block the primary": lambda pair, _: pair.block_into_primary(),
    "unblock": lambda pair, _: pair.unblock(),
    "power off": lambda pair, which: pair.servers[which].power_off(),
    "power on": lambda pair, which: pair.servers[which].power_on(),
    "stop": lambda pair, which: pair.servers[which].stop_service(),
    "start": lambda pair, which: pair.servers[which].start_service(),
    "restart": lambda pair, which: pair.servers[which].restart_service(),
    "force": lambda pair, which: pair.servers[which].force_partner_down(pair.relationships[0].name),
    "clock": lambda pair, which: pair.servers[which].set_clock(90),
    "clock right": lambda pair, which: pair.servers[which].set_clock(0),
}

WALKS = st.lists(
    st.tuples(st.sampled_from(sorted(FAULTS)), st.integers(0, 1), st.floats(0, 400)), min_size=1, max_size=25
)


def walk_pair(clock: Clock) -> Pair:
    setup = Setup(
        pace=Pace(contact=10, silence=30, mclt=120, state_switch=60),
        population=Population(clients=30, stay_seconds=300, away_seconds=100),
    )
    return static_pair(clock, load_balance_scopes=1, hot_standby_scopes=1, setup=setup)


class _Clock:
    time = 1_800_000_000.0

    def now(self) -> float:
        return self.time


RECOVERY: Walk = [("power off", 1, 100), ("power on", 1, 60), ("block silently", 1, 200), ("unblock", 0, 60)]
CONFLICT: Walk = [("force", 0, 12), ("block with reset", 0, 100), ("force", 1, 50), ("unblock", 0, 60)]
INTERRUPTED: Walk = [("block silently", 0, 50), ("restart", 0, 5), ("unblock", 0, 100), ("stop", 0, 20)]


def played(walk: Walk) -> Iterator[Pair]:
    """The pair, once after every step of the walk."""
    clock = _Clock()
    pair = walk_pair(clock)
    for fault, which, seconds in walk:
        FAULTS[fault](pair, which)
        clock.time += seconds
        yield pair


@settings(max_examples=60)
@given(walk=WALKS)
def test_random_faults_lead_along_legal_ways_and_statistics_add_up(walk: Walk) -> None:
    for pair in played(walk):
        statistics_add_up(pair)
    for relationship in pair.relationships:
        for before, after in ways(walked(relationship)):
            assert after in LEGAL[before], (before, after)


def statistics_add_up(pair: Pair) -> None:
    with pair.network.moment() as now:
        for server in pair.servers:
            for pool in server.pools.values():
                counts = pool.statistics(server, now)
                assert counts.free + counts.in_use + counts.offered == pool.size
                assert min(vars(counts).values()) >= 0


def ways(seen: list[States]) -> Iterator[tuple[str, str]]:
    """Each end's steps from state to state; a server that was away comes back in Startup."""
    for end in (0, 1):
        last = seen[0][end] or "Startup"
        for both in seen[1:]:
            state = both[end] or last
            if state != last:
                yield last, state
            last = state


@settings(max_examples=200)
@given(walk=WALKS)
@example(walk=RECOVERY)
@example(walk=CONFLICT)
@example(walk=INTERRUPTED)
def test_ends_that_hear_each_other_stay_in_no_couple_that_excludes_itself(walk: Walk) -> None:
    *_, pair = played(walk)
    for relationship in pair.relationships:
        for couple, seconds in couples_in_contact(relationship):
            if seconds > relationship.timing.exchange + 0.001:
                assert couple in LAST_IN_CONTACT, (sorted(couple), seconds)


def couples_in_contact(relationship: Relationship) -> Iterator[tuple[frozenset[str], float]]:
    """What both ends were in while they heard each other, and for how many seconds."""
    with relationship.primary.server.network.moment() as now:
        same = groupby(relationship.phases, key=lambda phase: (phase.states, phase.in_contact))
        seen = [(next(phases).start, *both) for both, phases in same]
    for (start, states, in_contact), end in zip(seen, [*(each[0] for each in seen[1:]), now], strict=True):
        if in_contact and None not in states:
            yield frozenset(state.value for state in states if state), end - start


@settings(max_examples=200)
@given(walk=WALKS)
@example(walk=RECOVERY)
@example(walk=CONFLICT)
@example(walk=INTERRUPTED)
def test_clients_are_served_in_the_states_that_serve_only(walk: Walk) -> None:
    for pair in played(walk):
        for relationship in pair.relationships:
            for state, served in services(relationship):
                assert not (state in NO_NEW_CLIENTS and served["Offers"]), state
                assert not (state in SILENT and served["Acks"]), state


def services(relationship: Relationship) -> Iterator[tuple[str | None, Counter[str]]]:
    """Play the clients phase by phase: each end's state, and what it has counted in it."""
    servers = [end.server for end in relationship.ends]
    with servers[0].network.moment() as now:
        starts = [phase.start for phase in relationship.phases]
        for phase, end in zip(relationship.phases, [*starts[1:], now], strict=True):
            before = [Counter(server.counters) for server in servers]
            for scope_id in servers[0].members(relationship):
                servers[0].pools[scope_id].advance(end)
            for server, state, counted in zip(servers, phase.states, before, strict=True):
                yield _value(state), server.counters - counted


@settings(max_examples=30)
@given(walk=WALKS)
def test_after_every_walk_a_repaired_pair_returns_to_normal(walk: Walk) -> None:
    clock = _Clock()
    pair = walk_pair(clock)
    for fault, which, seconds in walk:
        FAULTS[fault](pair, which)
        clock.time += seconds
    pair.unblock()
    for server in pair.servers:
        server.set_clock(0)
        server.power_on()
        server.start_service()
    clock.time += 1_000
    assert [states(each) for each in pair.relationships] == [("Normal", "Normal")] * 2
