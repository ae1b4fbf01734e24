"""States, names and pairs, and what one server's answers say over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhcp_failover_exporter.failover import (
    EVENT_KINDS,
    STATES,
    Change,
    EventLog,
    History,
    Naming,
    StateChange,
    Topology,
    clock_offset,
    firewall,
    state_named,
    topology,
)
from dhcp_failover_exporter.snapshot import Event, Events, FirewallRule, Relationship


@dataclass(frozen=True)
class Configured:
    name: str
    address: str = ""


DHCP01, DHCP02 = Configured("dhcp01.lab.local", "10.0.0.1"), Configured("dhcp02.lab.local", "10.0.0.2")
NAMING = Naming([DHCP01, DHCP02], {"dhcp-b": "dhcp02.lab.local"})


def relationship(partner: str = "dhcp02.lab.local", state: str = "Normal", **fields: Any) -> Relationship:
    return Relationship(**{"name": "r", "partner_server": partner, "state": state, "scope_id": ()} | fields)


def seen_by_dhcp01(*relationships: Relationship, naming: Naming = NAMING) -> Topology:
    return topology(relationships, naming, DHCP01.name)


class TestStates:
    def test_there_are_twelve(self) -> None:
        assert len(set(STATES)) == 12

    @pytest.mark.parametrize("state", STATES)
    @pytest.mark.parametrize("spell", [str, str.lower, str.upper])
    def test_every_spelling_is_folded(self, state: str, spell: Any) -> None:
        words = "".join(f" {letter}" if letter.isupper() else letter for letter in state).strip()
        for separator in ("", " ", "-", "_"):
            assert state_named(spell(words.replace(" ", separator))) == state

    def test_an_unknown_state_stays_as_it_came(self) -> None:
        assert state_named("Deep Sleep") == "Deep Sleep"


class TestPartner:
    @pytest.mark.parametrize(
        "spelling",
        [
            "dhcp02.lab.local",
            "DHCP02.LAB.LOCAL",
            "dhcp02.lab.local.",
            "DHCP02",
            "10.0.0.2",
            "dhcp-b",
            " Dhcp-B ",
        ],
    )
    def test_every_spelling_of_a_configured_server_means_it(self, spelling: str) -> None:
        assert NAMING.partner_of(relationship(spelling)) == DHCP02.name
        assert seen_by_dhcp01(relationship(spelling)).links[0].partner_configured

    @pytest.mark.parametrize("spelling", ["DHCP03", "dhcp02.other.local", "10.0.0.20", "10"])
    def test_an_unconfigured_partner_is_named_as_windows_does_in_lower_case(self, spelling: str) -> None:
        (link,) = seen_by_dhcp01(relationship(spelling)).links
        assert (link.partner, link.partner_configured) == (spelling.lower(), False)

    def test_a_configured_short_name_matches_the_full_one(self) -> None:
        assert Naming([Configured("DHCP02", "DHCP02")]).server("dhcp02.lab.local") == "DHCP02"

    def test_a_first_label_that_two_servers_share_means_neither(self) -> None:
        naming = Naming([Configured("dhcp.a.local"), Configured("dhcp.b.local")])
        assert naming.server("dhcp") is None
        assert naming.server("DHCP.B.local") == "dhcp.b.local"

    def test_an_address_that_is_configured_nowhere_is_found_by_the_names_windows_gives_too(self) -> None:
        nat = relationship(
            "192.168.7.7",
            server_type="SecondaryServer",
            primary_server_name="dhcp02.lab.local",
            secondary_server_name="dhcp01.lab.local",
        )
        assert NAMING.partner_of(nat) == DHCP02.name

    def test_the_asker_is_never_its_own_partner(self) -> None:
        unknown = relationship("x", server_type="PrimaryServer", primary_server_name=DHCP01.name)
        assert NAMING.partner_of(unknown) == "x"


NAMES = {"primary_server_name": "DHCP02.lab.local", "secondary_server_name": "dhcp01.LAB.local"}
ADDRESSES = {"primary_server_ip": "10.0.0.2", "secondary_server_ip": "10.0.0.1"}


class TestPair:
    def test_names_count_before_addresses(self) -> None:
        pair = Naming().pair_of(relationship(**NAMES, **ADDRESSES), "x")
        assert pair == "dhcp01.lab.local|dhcp02.lab.local"

    def test_without_names_the_addresses_count(self) -> None:
        assert Naming().pair_of(relationship(**ADDRESSES), "x") == "10.0.0.1|10.0.0.2"

    def test_half_a_set_is_none(self) -> None:
        half = relationship(primary_server_name="only", **ADDRESSES)
        assert Naming().pair_of(half, "x") == "10.0.0.1|10.0.0.2"

    def test_without_either_server_and_partner_count(self) -> None:
        assert NAMING.pair_of(relationship("DHCP02"), DHCP01.name) == "dhcp01.lab.local|dhcp02.lab.local"

    def test_aliases_apply(self) -> None:
        naming = Naming([], {"10.0.0.2": "b", "10.0.0.1": "A"})
        assert naming.pair_of(relationship(**ADDRESSES), "x") == "a|b"

    @given(
        spelled=st.tuples(
            *[st.sampled_from(["dhcp02", "DHCP02.lab.local", "10.0.0.2", "dhcp01", "stranger"])] * 2
        ),
        primary_configured=st.booleans(),
    )
    def test_both_partners_give_the_same_even_from_different_exporters(
        self, spelled: tuple[str, str], *, primary_configured: bool
    ) -> None:
        both = NAMES | ADDRESSES
        first = Naming([DHCP02] if primary_configured else []).pair_of(
            relationship(spelled[0], **both), DHCP02.name
        )
        second = Naming([DHCP01]).pair_of(relationship(spelled[1], **both), DHCP01.name)
        assert first == second


class TestTopology:
    def test_membership(self) -> None:
        view = seen_by_dhcp01(
            relationship(name="a", scope_id=("10.0.0.0", "10.1.0.0")),
            relationship(name="b", scope_id=("10.2.0.0",)),
        )
        assert view.membership == {"10.0.0.0": "a", "10.1.0.0": "a", "10.2.0.0": "b"}

    def test_the_asker_is_primary_where_it_is_so_in_any_relationship_with_that_partner(self) -> None:
        view = seen_by_dhcp01(
            relationship("DHCP02", name="a", server_type="SecondaryServer"),
            relationship("DHCP02", name="b", server_type="PrimaryServer"),
            relationship("DHCP02", name="d", server_type="SecondaryServer"),
            relationship("x", name="c", server_type="SecondaryServer"),
        )
        assert view.partner_spelled("dhcp02") == (DHCP02.name, "primary")
        assert view.partner_spelled("X") == ("x", "secondary")
        assert view.partner_spelled("stranger") == ("stranger", "")

    def test_a_change_of_state_keeps_the_members_a_change_of_scopes_does_not(self) -> None:
        before = seen_by_dhcp01(relationship(scope_id=("10.0.0.0",)))
        assert before.same_members(seen_by_dhcp01(relationship(state="PartnerDown", scope_id=("10.0.0.0",))))
        assert not before.same_members(seen_by_dhcp01(relationship(scope_id=("10.1.0.0",))))
        assert not before.same_members(
            seen_by_dhcp01(relationship(server_type="PrimaryServer", scope_id=("10.0.0.0",)))
        )


def change(at: float, new: str, *, who: str = "DHCP01", which: str = "r", number: int = 1) -> Event:
    return Event(record_id=number, id=20251, properties=(who, which, "Normal", new), time_created=at)


def known(history: History) -> Change:
    """How "r" came into its state; somebody knows by now."""
    found = history.change_of("r")
    assert found
    return found


def log(*events: Event) -> Events:
    return Events(newest_record_id=len(events), events=events)


class TestHistory:
    NORMAL = seen_by_dhcp01(relationship())
    DOWN = seen_by_dhcp01(relationship(state="PartnerDown"))

    def test_at_first_nobody_knows_since_when(self) -> None:
        history = History().observed(self.NORMAL, 100)
        assert history.change_of("r") is None
        assert history.observed(self.NORMAL, 115).change_of("r") is None

    def test_a_change_between_polls_is_observed_and_stays(self) -> None:
        history = History().observed(self.NORMAL, 100)
        assert history.changes(self.DOWN) == [StateChange("r", DHCP02.name, "Normal", "PartnerDown")]
        history = history.observed(self.DOWN, 115)
        assert history.changes(self.DOWN) == []
        later = history.observed(self.DOWN, 130)
        assert known(history) == known(later) == Change(115, "observed")

    def test_an_event_dates_the_state_found_at_the_start(self) -> None:
        history = (
            History().observed(self.DOWN, 1000).dated(log(change(400, "PARTNER-DOWN")), NAMING, DHCP01.name)
        )
        assert known(history) == Change(400, "event")

    def test_the_newest_event_counts(self) -> None:
        events = log(change(300, "PartnerDown"), change(500, "PartnerDown"), change(400, "Normal"))
        history = History().observed(self.DOWN, 1000).dated(events, NAMING, DHCP01.name)
        assert known(history).at == 500

    @pytest.mark.parametrize(
        "event",
        [
            change(400, "PartnerDown", who="DHCP02"),
            change(400, "PartnerDown", which="other"),
            change(400, "Recover"),
            Event(1, 20254, ("DHCP01", "r", "x", "PartnerDown"), 400),
            Event(1, 20251, ("DHCP01", "r"), 400),
            Event(1, 20251, ("DHCP01", "r", "Normal", "PartnerDown"), None),
        ],
        ids=["partner's", "other relationship", "other state", "other kind", "cut off", "undated"],
    )
    def test_what_is_not_about_this_servers_state_dates_nothing(self, event: Event) -> None:
        history = History().observed(self.DOWN, 1000).dated(log(event), NAMING, DHCP01.name)
        assert history.change_of("r") is None

    @pytest.mark.parametrize("who", ["DHCP01", "dhcp01.lab.local", "10.0.0.1", "WIN-7"])
    def test_the_server_is_known_by_all_its_names(self, who: str) -> None:
        events = log(change(400, "PartnerDown", who=who))
        assert History().observed(self.DOWN, 1000).dated(events, NAMING, DHCP01.name, "WIN-7").change_of("r")

    def test_an_event_from_before_the_observed_change_does_not_explain_it(self) -> None:
        history = History().observed(self.NORMAL, 10_000).observed(self.DOWN, 10_015)
        too_old = history.dated(log(change(400, "PartnerDown")), NAMING, DHCP01.name)
        assert known(too_old).source == "observed"
        dated = history.dated(log(change(9_950, "PartnerDown")), NAMING, DHCP01.name)
        assert known(dated) == Change(9_950, "event")

    def test_an_event_without_the_old_state(self) -> None:
        event = Event(1, 20259, ("DHCP01", "r", "PartnerDown"), 400)
        assert known(History().observed(self.DOWN, 1000).dated(log(event), NAMING, DHCP01.name)).at == 400

    def test_a_relationship_that_is_gone_is_forgotten(self) -> None:
        history = History().observed(self.NORMAL, 1).observed(self.DOWN, 2).observed(Topology(), 3)
        assert history.observed(self.DOWN, 4).change_of("r") is None

    def test_a_relationship_that_could_not_be_read_is_not_forgotten(self) -> None:
        history = History().observed(self.NORMAL, 100).observed(Topology(complete=False), 115)
        assert history.changes(self.DOWN) == [StateChange("r", DHCP02.name, "Normal", "PartnerDown")]
        assert known(history.observed(self.DOWN, 130)) == Change(130, "observed")


def rule(name: str, **fields: Any) -> FirewallRule:
    given: dict[str, Any] = {
        "present": True,
        "enabled": True,
        "direction": "Inbound",
        "action": "Allow",
    } | fields
    return FirewallRule(name=name, **given)


class TestFirewall:
    """Inbound TCP 647 as Windows decides: a Block rule wins, one Allow rule is enough, nothing else lets it in."""

    IN, OUT = "Microsoft-Windows-DHCP-Failover-TCP-In", "Microsoft-Windows-DHCP-Failover-TCP-Out"
    ABSENT = FirewallRule(name=IN, present=False)

    @pytest.mark.parametrize(
        ("rules", "blocking", "off"),
        [
            ((), [], []),
            ([rule("own")], [], []),
            ([rule("own", enabled=False)], [], ["own"]),
            ([ABSENT], [], [IN]),
            ([ABSENT, rule("own")], [], []),
            ([rule(IN, enabled=False), rule("own", enabled=False)], [], [IN, "own"]),
            ([rule("own"), rule("wall", action="Block")], ["wall"], []),
            ([rule("own", enabled=False), rule("wall", action="block")], ["wall"], ["own"]),
            ([rule("own"), rule("wall", action="Block", enabled=False)], [], []),
            ([rule("out", direction="Outbound", action="Block"), rule("own")], [], []),
            ([FirewallRule(name=OUT, present=False)], [], []),
            ([rule("out", direction="outbound")], [], []),
        ],
    )
    def test_what_keeps_the_port_shut(
        self, rules: Sequence[FirewallRule], blocking: list[str], off: list[str]
    ) -> None:
        judged = firewall(rules)
        assert ([it.name for it in judged.blocking], [it.name for it in judged.off]) == (blocking, off)


class TestEventLog:
    TOPOLOGY = seen_by_dhcp01(relationship(scope_id=("10.0.0.0",)))

    @pytest.mark.parametrize(
        ("identity", "properties", "counted"),
        [
            (20253, ("b", "r", "75"), ("r", "time_out_of_sync")),
            (20254, ("b", "r"), ("r", "link_up")),
            (20255, ("b", "r"), ("r", "link_down")),
            (20256, ("b", "r"), ("r", "authentication_failed")),
            (20284, ("b", "r"), ("r", "authentication_failed")),
            (20286, ("10.0.0.9", "b", "r"), ("r", "update_dropped")),
            (20287, ("client", "10.0.0.0"), ("r", "pool_exhausted")),
            (20287, ("client", "superscope"), ("", "pool_exhausted")),
            (20291, ("7", "10.0.0.9", "1", "b", "r"), ("r", "ack_rejected")),
            (20292, ("7", "10.0.0.9", "1", "b", "r"), ("r", "ack_reject_received")),
            (20292, (), ("", "ack_reject_received")),
            (20251, ("a", "r", "Normal", "PartnerDown"), None),
            (20285, ("SHA512",), None),
        ],
    )
    def test_events_by_kind(self, identity: int, properties: tuple[str, ...], counted: Any) -> None:
        events = Events(newest_record_id=5, events=(Event(5, identity, properties),))
        assert EventLog(4).read(events, self.TOPOLOGY).counts == ({counted: 1} if counted else {})

    def test_all_kinds(self) -> None:
        assert len(EVENT_KINDS) == 8

    def test_what_happened_before_the_first_read_is_not_counted(self) -> None:
        first = EventLog().read(
            Events(newest_record_id=5, events=(Event(5, 20254, ("b", "r")),)), self.TOPOLOGY
        )
        assert (first.watermark, first.counts) == (5, {})

    def test_a_repeated_event_counts_once(self) -> None:
        events = Events(newest_record_id=6, events=(Event(5, 20254, ("b", "r")), Event(6, 20254, ("b", "r"))))
        once = EventLog(4).read(events, self.TOPOLOGY)
        assert once.read(events, self.TOPOLOGY).counts == once.counts == {("r", "link_up"): 2}

    def test_more_is_asked_for_after_the_last_one_delivered(self) -> None:
        events = Events(newest_record_id=900, more=True, events=(Event(5, 20254, ("b", "r")),))
        assert EventLog(4).read(events, self.TOPOLOGY).watermark == 5

    def test_records_of_other_kinds_are_not_asked_for_again(self) -> None:
        assert EventLog(4).read(Events(newest_record_id=900), self.TOPOLOGY).watermark == 900

    @pytest.mark.parametrize("newest", [None, 2])
    def test_a_cleared_log_starts_anew_and_keeps_the_counts(self, newest: int | None) -> None:
        cleared = EventLog(4, {("r", "link_up"): 3}).read(Events(newest_record_id=newest), self.TOPOLOGY)
        assert (cleared.watermark, cleared.counts) == (0, {("r", "link_up"): 3})
        again = cleared.read(Events(newest_record_id=2, events=(Event(1, 20254, ("b", "r")),)), self.TOPOLOGY)
        assert (again.watermark, again.counts) == (2, {("r", "link_up"): 4})

    @pytest.mark.parametrize(
        ("before", "now", "cleared"),
        [
            ((1, 50.0), (1, 90.0), True),
            ((7, 50.0), (1, 90.0), True),
            ((1, 50.0), (1, 50.0), False),
            ((1, 50.0), (3, 60.0), False),
        ],
        ids=[
            "its first record is another",
            "it counts from one again",
            "the same",
            "the oldest were overwritten",
        ],
    )
    def test_a_log_cleared_and_grown_past_the_watermark_is_told_by_its_oldest_record(
        self, before: tuple[int, float], now: tuple[int, float], cleared: bool
    ) -> None:
        log = EventLog(8).read(Events(9, *before), self.TOPOLOGY)
        assert log.read(Events(12, *now), self.TOPOLOGY).watermark == (0 if cleared else 12)

    def test_a_collector_that_does_not_tell_the_oldest_time_clears_nothing(self) -> None:
        log = EventLog(8).read(Events(9, 1), self.TOPOLOGY)
        assert log.read(Events(12, 1), self.TOPOLOGY).watermark == 12


class TestClock:
    def test_the_offset_and_its_bound(self) -> None:
        offset = clock_offset(sent=100, entered=190.2, written=190.7, received=101)
        assert offset
        assert (offset.seconds, offset.uncertainty_seconds) == pytest.approx((89.95, 0.25))

    @given(
        offset=st.floats(-1e5, 1e5),
        there=st.floats(0.001, 4),
        busy=st.floats(0, 60),
        back=st.floats(0.001, 4),
    )
    def test_the_truth_is_within_the_bound(
        self, offset: float, there: float, busy: float, back: float
    ) -> None:
        entered = there + offset
        found = clock_offset(0, entered, entered + busy, there + busy + back)
        assert found is not None
        assert abs(found.seconds - offset) <= found.uncertainty_seconds + 1e-6

    @pytest.mark.parametrize(
        "moments",
        [(0, 6, 6, 11), (0, 0, 5, 1), (0, 5, 4, 8)],
        ids=["too long on the way", "longer on the server than in all", "written before entered"],
    )
    def test_no_offset_where_the_bound_says_nothing(self, moments: tuple[float, float, float, float]) -> None:
        assert clock_offset(*moments) is None
