"""A clock that a test moves, and pairs on it."""

from collections.abc import Callable

import pytest

from dhcp_failover_exporter.simulator.windows import Pace, Pair, Population, Setup, static_pair

POPULATION = Population(clients=20)


class FakeClock:
    """True time, as the test says."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pace() -> Pace:
    return Pace(contact=10, silence=30, mclt=120, state_switch=60)


@pytest.fixture
def make_pair(clock: FakeClock, pace: Pace) -> Callable[..., Pair]:
    def make(
        pace: Pace = pace, population: Population = POPULATION, balanced: int = 2, standing_by: int = 2
    ) -> Pair:
        return static_pair(
            clock,
            load_balance_scopes=balanced,
            hot_standby_scopes=standing_by,
            setup=Setup(pace=pace, population=population),
        )

    return make


@pytest.fixture
def pair(make_pair: Callable[..., Pair]) -> Pair:
    return make_pair()
