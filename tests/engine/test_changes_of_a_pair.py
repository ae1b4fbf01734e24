"""Two workers and a simulated pair, in process: what is changed on one partner shows long before the next audit."""

from typing import Any

import pytest

from dhcp_failover_exporter.simulator.windows import Option, Reservation, Rights
from dhcp_failover_exporter.simulator.windows.events import ADMIN, OPERATIONAL
from engine.pair import ACCOUNT, Watched

TWO_POOLS_SECONDS = 120.0
RESERVATION = Reservation("10.16.1.77", "00-15-5d-00-00-77")


@pytest.fixture
def watched(stage: Any) -> Watched:
    watched = Watched(stage)
    watched.wait(300.0)
    assert watched.drifted() == set()
    for server in watched.pair.servers:
        watched.audited(server)
    return watched


def test_a_reservation_on_one_partner_shows_soon_and_is_gone_soon_after_replication(watched: Watched) -> None:
    primary, secondary = watched.pair.servers
    primary.add_reservation("10.16.1.0", RESERVATION)
    watched.wait(TWO_POOLS_SECONDS)
    assert watched.drifted() == {("10.16.1.0", "reservations")}
    assert (watched.audited(primary), watched.audited(secondary)) == ([("10.16.1.0",)], [])
    primary.replicate("HQ")
    watched.wait(TWO_POOLS_SECONDS)
    assert watched.drifted() == set()
    assert (watched.audited(primary), watched.audited(secondary)) == ([], [("10.16.1.0",)])


def test_a_log_that_was_cleared_in_between_hides_no_later_change(watched: Watched) -> None:
    primary = watched.pair.primary
    primary.set_lease_duration("10.16.0.0", 3600.0)
    watched.wait(TWO_POOLS_SECONDS)
    primary.logs[OPERATIONAL].clear()
    watched.wait(TWO_POOLS_SECONDS)
    primary.add_reservation("10.16.1.0", RESERVATION)
    watched.wait(TWO_POOLS_SECONDS)
    assert watched.drifted() == {("10.16.0.0", "properties"), ("10.16.1.0", "reservations")}


def test_an_option_of_the_server_waits_for_whatever_audit_comes_next(watched: Watched) -> None:
    primary = watched.pair.primary
    primary.set_option(Option(6, ("10.0.0.53",)))
    watched.wait(TWO_POOLS_SECONDS)
    assert watched.audited(primary) == []


def test_where_the_channel_is_closed_the_next_audit_shows_it_and_nothing_is_called_missing(
    watched: Watched,
) -> None:
    primary = watched.pair.primary
    primary.grant(ACCOUNT, Rights(closed=frozenset({OPERATIONAL})))
    primary.add_reservation("10.16.1.0", RESERVATION)
    watched.wait(TWO_POOLS_SECONDS)
    assert watched.drifted() == set()
    events = watched.workers[0].entry.publication.health.sections["events"]
    assert (events.collected, events.reason) == (True, None)
    watched.wait(2 * 3600.0)
    assert watched.drifted() == {("10.16.1.0", "reservations")}


def test_a_log_that_was_cleared_and_grew_past_its_watermark_loses_no_event(watched: Watched) -> None:
    primary, secondary = watched.pair.servers
    for lost in (4, 7):
        primary.logs[ADMIN].clear()
        for _ in range(lost):
            primary.log(watched.stage.clock.now(), 20255, 2, secondary.fqdn, "HQ")
        watched.wait(TWO_POOLS_SECONDS)
    (counted,) = (line for line in watched.shown(watched.workers[0]) if 'event="link_down"' in line)
    assert counted.endswith(" 11")
