"""A clock that a test moves, and pairs on it."""

from collections.abc import Callable

import pytest

from dhcp_failover_exporter.simulator.windows import Pace, Pair, Population, Setup, static_pair


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
    def make(**changes) -> Pair:
        setup = Setup(
            pace=changes.pop("pace", pace), population=changes.pop("population", Population(clients=20))
        )
        return static_pair(
            clock, **{"load_balance_scopes": 2, "hot_standby_scopes": 2, "setup": setup, **changes}
        )

    return make


@pytest.fixture
def pair(make_pair) -> Pair:
    return make_pair()
