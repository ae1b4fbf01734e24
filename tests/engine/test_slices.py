"""Slices: every scope once, no slice longer than its time, the pace learnt."""

from hypothesis import given
from hypothesis import strategies as st

from dhcp_failover_exporter.engine.slices import Estimate, Round, scopes_in
from dhcp_failover_exporter.snapshot import ScopeStatistics, Section, SectionError


def _answer(scopes: tuple[str, ...]) -> Section:
    return Section("statistics", tuple(ScopeStatistics(scope) for scope in scopes), elapsed_seconds=0.5)


@given(st.lists(st.text(min_size=1), min_size=1, unique=True), st.lists(st.integers(1, 7), min_size=1))
def test_slices_name_every_scope_once_and_in_order(scopes: list[str], sizes: list[int]) -> None:
    round_ = Round(0.0, scopes)
    asked: list[str] = []
    while not round_.done:
        size = sizes[len(round_.pieces) % len(sizes)]
        slice_ = round_.take(size)
        assert len(slice_) <= size
        asked += slice_ or scopes
        round_.add(_answer(slice_ or tuple(scopes)), len(slice_))
    assert asked == scopes
    assert len(round_.merged().records) == len(scopes)
    assert round_.merged().elapsed_seconds == 0.5 * len(round_.pieces)


def test_what_fits_is_asked_for_whole_without_a_list() -> None:
    assert Round(0.0, ["a", "b"]).take(2) == ()
    assert Round(0.0, ["a", "b"]).take(1) == ("a",)


def test_what_is_only_a_part_of_the_servers_scopes_is_always_listed() -> None:
    assert Round(0.0, ["a", "b"], listed=True).take(2) == ("a", "b")


def test_unknown_scopes_are_asked_for_whole() -> None:
    round_ = Round(0.0)
    assert round_.take(1) == ()
    round_.add(_answer(("a", "b")), 0)
    assert round_.done


def test_spread_slices_start_evenly() -> None:
    round_ = Round(100.0, list("abcd"), spread_seconds=40.0)
    starts = []
    while not round_.done:
        starts.append(round_.due)
        round_.add(_answer(round_.take(1)), 1)
    assert starts == [100.0, 110.0, 120.0, 130.0]


def test_a_failed_slice_fails_the_section() -> None:
    round_ = Round(0.0, ["a", "b"])
    round_.add(_answer(("a",)), 1)
    failure = SectionError(None, "WIN32 1722", "NotSpecified", "gone")
    round_.add(Section("statistics", failure=failure), 1)
    assert round_.merged().failure == failure
    assert round_.merged().records == ()


@given(st.floats(1e-6, 100), st.floats(0.01, 100))
def test_as_many_scopes_are_taken_as_fit_and_one_at_least(pace: float, seconds: float) -> None:
    count = scopes_in(seconds, pace)
    assert count >= 1
    assert count == 1 or count * pace <= seconds * 1.000001
    assert (count + 1) * pace >= seconds * 0.999999


def test_a_server_that_needs_no_time_is_asked_for_everything() -> None:
    assert scopes_in(1.0, 0.0) > 1_000_000


def test_a_slower_server_is_believed_at_once_a_faster_one_by_halves() -> None:
    pace = Estimate(0.01)
    pace.learn(0.08)
    assert pace.seconds == 0.08
    pace.learn(0.04)
    assert pace.seconds == 0.06
