"""Pools, leases and clients: who owns what, and that it adds up."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhcp_failover_exporter.simulator.windows import (
    Pace,
    Pair,
    Pool,
    Population,
    Setup,
    Statistics,
    static_pair,
)
from dhcp_failover_exporter.simulator.windows.events import ADMIN

if TYPE_CHECKING:
    from simulator.windows.conftest import FakeClock

BUSY = Population(clients=60, stay_seconds=600, away_seconds=200)
CROWD = Population(clients=400, stay_seconds=600, away_seconds=50)


def pools(pair: Pair, mode: str) -> list[Pool]:
    (relationship,) = [each for each in pair.relationships if mode in each.name]
    return [pool for pool in pair.primary.pools.values() if pool.relationship is relationship]


def seen(pair: Pair, pool: Pool) -> tuple[Statistics, Statistics]:
    """The scope as primary and secondary see it."""
    with pair.network.moment() as now:
        return pool.statistics(pair.primary, now), pool.statistics(pair.secondary, now)


def mirrored(one: Statistics, other: Statistics) -> bool:
    return (one.free_on_this, one.in_use_on_this) == (other.free_on_partner, other.in_use_on_partner)


def test_load_balance_shares_the_free_addresses_by_half(pair: Pair) -> None:
    for pool in pools(pair, "load"):
        primary, secondary = seen(pair, pool)
        assert abs(primary.free_on_this - primary.free_on_partner) <= 5
        assert secondary.free_on_this > 0


def test_standby_has_its_reserve(pair: Pair) -> None:
    primary, secondary = seen(pair, pools(pair, "standby")[0])
    assert secondary.free_on_this == pytest.approx(0.05 * primary.free, abs=2)
    assert secondary.in_use_on_this == 0


def test_partners_of_a_healthy_pair_see_the_same(make_pair: Callable[..., Pair], clock: "FakeClock") -> None:
    pair = make_pair(population=BUSY)
    for _ in range(50):
        clock.sleep(97)
        for pool in pair.primary.pools.values():
            primary, secondary = seen(pair, pool)
            if not primary.offered and not secondary.offered:
                assert mirrored(primary, secondary)


def test_clients_come_and_go(make_pair: Callable[..., Pair], clock: "FakeClock") -> None:
    pair = make_pair(population=BUSY)
    counts = set()
    for _ in range(30):
        clock.sleep(300)
        counts.add(seen(pair, pools(pair, "load")[0])[0].in_use)
    assert len(counts) > 5
    assert pair.primary.counters["Releases"] > 0


def test_same_seed_same_history(clock: "FakeClock") -> None:
    one, other = (
        static_pair(clock, setup=Setup(population=BUSY), load_balance_scopes=1, hot_standby_scopes=1)
        for _ in range(2)
    )
    clock.sleep(5_000)
    assert seen(one, pools(one, "load")[0]) == seen(other, pools(other, "load")[0])


def test_interrupted_servers_lease_from_their_own_share_only(
    make_pair: Callable[..., Pair], clock: "FakeClock"
) -> None:
    half_there = Population(clients=100, stay_seconds=3_000, away_seconds=3_000)
    pair = make_pair(pace=Pace(contact=10, silence=30, mclt=7_200), population=half_there)
    pool = pools(pair, "standby")[0]
    pair.block_into_secondary(silently=False)
    clock.sleep(1_800)
    primary, standby = seen(pair, pool)
    assert (standby.free_on_this, standby.free_on_partner > 100) == (0, True)
    assert primary.free_on_this > 100
    assert not mirrored(primary, standby)


def test_partner_down_takes_the_whole_pool_after_one_mclt(
    make_pair: Callable[..., Pair], clock: "FakeClock"
) -> None:
    pair = make_pair()
    pool = pools(pair, "load")[0]
    pair.secondary.power_off()
    clock.sleep(30 + 60 + 119)
    assert seen(pair, pool)[0].free_on_partner > 0
    clock.sleep(2)
    assert seen(pair, pool)[0].free_on_partner == 0


def test_shares_are_back_after_recovery(make_pair: Callable[..., Pair], clock: "FakeClock") -> None:
    pair = make_pair(population=BUSY)
    pair.secondary.power_off()
    clock.sleep(1_000)
    pair.secondary.power_on()
    clock.sleep(1_000)
    primary, secondary = seen(pair, pools(pair, "load")[0])
    assert abs(primary.free_on_this - primary.free_on_partner) <= 15
    assert mirrored(primary, secondary) or primary.offered or secondary.offered


def lasting(pair: Pair) -> list[float]:
    """How long the leases last that the primary knows of."""
    with pair.network.moment() as now:
        pair.primary.catch_up(now)
        views = [pool.views[0] for pool in pair.primary.pools.values()]
        return [lease.expires - now for view in views for lease in view.leases.values()]


def test_new_lease_lasts_mclt(make_pair: Callable[..., Pair], clock: "FakeClock") -> None:
    pair = make_pair(population=Population(clients=60, stay_seconds=600, away_seconds=600))
    assert min(lasting(pair)) > 1_000
    clock.sleep(55)
    assert 0 < min(lasting(pair)) <= 120


def test_lease_is_prolonged_at_its_renewal(make_pair: Callable[..., Pair], clock: "FakeClock") -> None:
    pair = make_pair(population=Population(clients=60, stay_seconds=1e7, away_seconds=50))
    clock.sleep(3_600)
    assert min(lasting(pair)) > 28_800 / 4


def test_clocks_apart_stop_the_exchange_of_bindings(
    make_pair: Callable[..., Pair], clock: "FakeClock"
) -> None:
    pair = make_pair(population=BUSY)
    pair.secondary.set_clock(61)
    clock.sleep(600)
    pool = pools(pair, "load")[0]
    assert not mirrored(*seen(pair, pool))
    assert pair.primary.outbound_updates > 0
    pair.secondary.set_clock(0)
    clock.sleep(20)
    primary, secondary = seen(pair, pool)
    assert abs(primary.in_use - secondary.in_use) <= 1
    with pair.network.moment() as now:
        pair.primary.catch_up(now)
    assert pair.primary.outbound_updates == 0


def test_exhausted_pool_is_logged(make_pair: Callable[..., Pair], clock: "FakeClock") -> None:
    pair = make_pair(population=CROWD, balanced=1, standing_by=0)
    clock.sleep(600)
    seen(pair, pools(pair, "load")[0])
    logged = [e for log in (pair.primary, pair.secondary) for e in log.logs[ADMIN].read() if e.id == 20287]
    assert logged
    assert logged[0].properties[1] == "10.16.0.0"


def test_full_outbound_queue_drops_updates_and_logs_them(
    make_pair: Callable[..., Pair], clock: "FakeClock"
) -> None:
    pair = make_pair(population=BUSY)
    pair.primary.outbound_limit = 5
    pair.block_into_secondary(silently=False)
    clock.sleep(600)
    seen(pair, pools(pair, "load")[0])
    assert pair.primary.outbound_updates == 5
    assert pair.primary.counters["BndUpdDropped"] > 0
    assert (
        next(e for e in pair.primary.logs[ADMIN].read() if e.id == 20286).properties[1] == "dhcp02.lab.local"
    )


def test_refused_updates_are_logged_on_both_sides(make_pair: Callable[..., Pair], clock: "FakeClock") -> None:
    pair = make_pair(population=BUSY, balanced=1, standing_by=0)
    pool = pools(pair, "load")[0]
    pool.refuses_updates = "Address not in any pool."
    clock.sleep(600)
    seen(pair, pool)
    ids = [{e.id for e in server.logs[ADMIN].read()} for server in pair.servers]
    assert ids == [{20291, 20292}, {20291, 20292}]
    assert not mirrored(*seen(pair, pool))


def test_counters_begin_again_with_the_service(make_pair: Callable[..., Pair], clock: "FakeClock") -> None:
    pair = make_pair(population=BUSY)
    clock.sleep(600)
    seen(pair, pools(pair, "load")[0])
    assert pair.primary.counters["Acks"] > 0
    assert pair.primary.counters["BndUpdSent"] > 0
    pair.primary.restart_service()
    assert pair.primary.counters["Acks"] == 0
    assert pair.primary.started_at == clock.now()


def test_unauthorised_server_leases_nothing(make_pair: Callable[..., Pair], clock: "FakeClock") -> None:
    pair = make_pair(population=BUSY, balanced=0, standing_by=1)
    pair.primary.set_authorized(authorized=False)
    with pair.network.moment() as now:
        before = pair.primary.counters["Acks"]
        pair.primary.catch_up(now + 1)
    clock.sleep(600)
    with pair.network.moment() as now:
        pair.primary.catch_up(now)
    assert pair.primary.counters["Acks"] == before


@settings(max_examples=20)
@given(
    steps=st.lists(st.tuples(st.sampled_from("bun"), st.floats(0, 500)), max_size=8),
    percent=st.integers(0, 100),
)
def test_no_address_is_leased_twice_while_nobody_is_declared_dead(
    steps: list[tuple[str, float]], percent: int
) -> None:
    clock = _Clock()
    setup = Setup(
        pace=Pace(contact=10, silence=30, mclt=120),
        population=Population(clients=100, stay_seconds=900, away_seconds=300),
    )
    pair = static_pair(clock, load_balance_scopes=1, hot_standby_scopes=0, setup=setup)
    for server in pair.servers:
        server.set_failover_parameters(pair.relationships[0].name, load_balance_percent=percent)
    pool = pools(pair, "load")[0]
    for step, seconds in steps:
        if step == "b":
            pair.block_into_secondary()
        elif step == "u":
            pair.unblock()
        clock.time += seconds
        seen(pair, pool)
        granted = [
            {address: lease.client for address, lease in view.leases.items() if lease.owner == index}
            for index, view in enumerate(pool.views)
        ]
        twice = granted[0].keys() & granted[1].keys()
        assert {address for address in twice if granted[0][address] != granted[1][address]} == set()


class _Clock:
    time = 1_800_000_000.0

    def now(self) -> float:
        return self.time
