"""The credential's gate: by itself, under threads, and before twenty servers with one wrong password."""

import itertools
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dhcp_failover_exporter.config import Credential
from dhcp_failover_exporter.engine.clock import SystemClock
from dhcp_failover_exporter.engine.gate import (
    LAST_SECONDS,
    PATIENCE_SECONDS,
    PAUSE_SECONDS,
    REFUSALS,
    WINDOW_SECONDS,
    Gate,
)
from dhcp_failover_exporter.errors import AuthError, SuspendedError, UnreachableError


@pytest.fixture
def credential(password_file: Path) -> Credential:
    return Credential(name="lab", username="lab", password_file=password_file)


@pytest.fixture
def gate(stage: Any) -> Gate:
    return Gate(stage.clock)


@pytest.fixture
def refuse(gate: Gate, credential: Credential) -> Callable[[], None]:
    def refused() -> None:
        with pytest.raises(AuthError), gate.logon(credential, "dhcp02"):
            raise AuthError("refused")

    return refused


@pytest.fixture
def succeed(gate: Gate, credential: Credential) -> Callable[[], None]:
    def proven() -> None:
        with gate.logon(credential, "dhcp01"):
            pass

    return proven


def test_a_refusal_shuts_the_gate_for_ten_minutes(
    stage: Any, gate: Gate, credential: Credential, refuse: Callable[[], None], succeed: Callable[[], None]
) -> None:
    refuse()
    stage.clock.advance(PAUSE_SECONDS - 1)
    assert not gate.is_open(credential, "dhcp01")
    with pytest.raises(SuspendedError, match="less than 10 minutes"):
        succeed()
    stage.clock.advance(1)
    succeed()


def test_three_refusals_shut_it_until_the_first_is_half_an_hour_old(
    stage: Any, gate: Gate, credential: Credential, refuse: Callable[[], None]
) -> None:
    for _ in range(REFUSALS):
        refuse()
        stage.clock.advance(PAUSE_SECONDS - 1)
        gate.ask_again()
    assert stage.clock.seconds < WINDOW_SECONDS
    assert not gate.is_open(credential, "dhcp01")
    stage.clock.seconds = WINDOW_SECONDS
    assert gate.is_open(credential, "dhcp01")


def test_a_new_secret_is_tried_at_once(
    gate: Gate,
    credential: Credential,
    password_file: Path,
    refuse: Callable[[], None],
    succeed: Callable[[], None],
) -> None:
    refuse()
    password_file.write_text("another")
    assert gate.is_open(credential, "dhcp01")
    succeed()


def test_the_old_secret_put_back_is_still_shut_out(
    gate: Gate, credential: Credential, password_file: Path, refuse: Callable[[], None]
) -> None:
    refuse()
    password_file.write_text("another")
    refuse()
    password_file.write_text("wrong")
    assert not gate.is_open(credential, "dhcp01")


def test_the_server_that_refused_is_tried_last(
    stage: Any, gate: Gate, credential: Credential, refuse: Callable[[], None]
) -> None:
    refuse()
    stage.clock.advance(PAUSE_SECONDS)
    assert gate.is_open(credential, "dhcp01")
    assert not gate.is_open(credential, "dhcp02")
    stage.clock.advance(LAST_SECONDS)
    assert gate.is_open(credential, "dhcp02")


def test_a_proof_makes_older_refusals_the_affair_of_the_servers_that_refused(
    stage: Any, gate: Gate, credential: Credential, refuse: Callable[[], None], succeed: Callable[[], None]
) -> None:
    refuse()
    stage.clock.advance(PAUSE_SECONDS)
    succeed()
    stage.clock.advance(LAST_SECONDS)
    for _ in range(REFUSALS - 1):
        gate.ask_again()
        refuse()
        stage.clock.advance(1)
    gate.ask_again()
    assert gate.is_open(credential, "dhcp01")
    assert not gate.is_open(credential, "dhcp02")


def test_one_server_that_refuses_a_right_password_costs_the_others_ten_minutes_at_most(
    stage: Any, password_file: Path
) -> None:
    password_file.write_text("right")
    credential = Credential(name="lab", username="lab", password_file=password_file)
    names = [f"dhcp{number:02}" for number in range(6)]
    workers = {
        name: stage.worker(name, start=index * 0.5, credential=credential) for index, name in enumerate(names)
    }
    stage.server("dhcp05").password = "another"
    stage.run(*workers.values(), seconds=3700)
    assert len(stage.server("dhcp05").refusals) >= REFUSALS
    assert _worst_half_hour(stage.server("dhcp05").refusals) <= REFUSALS
    for name in names[:5]:
        assert workers[name].entry.publication.health.failures == {}

    stage.server("dhcp00").restarts += 1
    stage.run(*workers.values(), seconds=PAUSE_SECONDS + 10)
    assert workers["dhcp00"].entry.publication.health.failure is None


def test_a_new_keytab_is_a_new_secret(gate: Gate, password_file: Path) -> None:
    credential = Credential(name="lab", keytab=password_file)
    with pytest.raises(AuthError), gate.logon(credential, "dhcp01"):
        raise AuthError("refused")
    assert not gate.is_open(credential, "dhcp01")
    password_file.touch()
    assert gate.is_open(credential, "dhcp01")


def test_a_reload_ends_the_pause_but_not_the_limit(
    gate: Gate, credential: Credential, stage: Any, refuse: Callable[[], None]
) -> None:
    for _ in range(REFUSALS):
        assert gate.is_open(credential, "dhcp01")
        refuse()
        stage.clock.advance(1)
        gate.ask_again()
    assert not gate.is_open(credential, "dhcp01")


def test_an_unreadable_secret_is_no_refusal(gate: Gate, credential: Credential, password_file: Path) -> None:
    password_file.unlink()
    assert not gate.is_open(credential, "dhcp01")
    with pytest.raises(AuthError), gate.logon(credential, "dhcp01"):
        pytest.fail("nothing may be tried")
    password_file.write_text("wrong")
    assert gate.is_open(credential, "dhcp01")


def test_a_server_that_is_away_says_nothing_about_the_credential(
    gate: Gate, credential: Credential, succeed: Callable[[], None]
) -> None:
    for _ in range(REFUSALS + 1):
        with pytest.raises(UnreachableError), gate.logon(credential, "dhcp01"):
            raise UnreachableError("away")
    succeed()


def test_workers_that_start_together_try_a_wrong_password_once(credential: Credential) -> None:
    """The first one is on trial until its verdict; the others wait for it and try nothing."""
    gate, inside, verdict, outcomes = Gate(SystemClock()), threading.Event(), threading.Event(), []

    def refuse() -> None:
        inside.set()
        verdict.wait(5)
        raise AuthError("refused")

    def work() -> None:
        with pytest.raises((AuthError, SuspendedError)) as outcome, gate.logon(credential, "dhcp01"):
            refuse()
        outcomes.append(outcome.value.reason)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    assert inside.wait(5)
    verdict.set()
    for thread in threads:
        thread.join(10)
    assert sorted(outcomes) == ["auth", *["suspended"] * 9]


def test_a_proof_lets_everybody_through_together(gate: Gate, credential: Credential, stage: Any) -> None:
    with gate.logon(credential, "dhcp01"):
        pass
    with (
        gate.logon(credential, "dhcp01"),
        gate.logon(credential, "dhcp01"),
        gate.logon(credential, "dhcp01"),
        gate.logon(credential, "dhcp01"),
    ):
        pass
    stage.clock.advance(3600)
    assert gate.is_open(credential, "dhcp01")


def test_a_refusal_ends_the_proof(
    gate: Gate,
    credential: Credential,
    stage: Any,
    refuse: Callable[[], None],
    succeed: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a reload the next logon is on trial again, however fresh the proof before the refusal was."""
    succeed()
    stage.clock.advance(1)
    refuse()
    stage.clock.advance(1)
    gate.ask_again()
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        stage.clock.advance(seconds)

    monkeypatch.setattr(gate._changed, "wait", wait)
    with gate.logon(credential, "dhcp01"), gate.logon(credential, "dhcp03"):
        assert sum(waited) == PATIENCE_SECONDS


def test_a_silent_server_does_not_keep_the_others_waiting(
    gate: Gate, credential: Credential, stage: Any, succeed: Callable[[], None]
) -> None:
    with gate.logon(credential, "dhcp01"):
        stage.clock.advance(2.0)
        succeed()


def test_no_more_are_on_trial_than_may_be_refused(credential: Credential, stage: Any) -> None:
    class Hurried:
        def now(self) -> float:
            return 0.0

        def monotonic(self) -> float:
            stage.clock.advance(3.0)
            return float(stage.clock.seconds)

    gate = Gate(Hurried())
    with ExitStack() as on_trial:
        for _ in range(REFUSALS):
            on_trial.enter_context(gate.logon(credential, "dhcp01"))
        with pytest.raises(SuspendedError, match="on trial"):
            on_trial.enter_context(gate.logon(credential, "dhcp01"))


def _worst_half_hour(refusals: list[float]) -> int:
    return max(sum(at - WINDOW_SECONDS < other <= at for other in refusals) for at in refusals)


def test_twenty_servers_with_one_wrong_password_are_refused_thrice_in_half_an_hour(
    stage: Any, password_file: Path
) -> None:
    credential = Credential(name="lab", username="lab", password_file=password_file)
    names = [f"dhcp{number:02}" for number in range(20)]
    servers = [stage.server(name, password="right") for name in names]
    workers = [
        stage.worker(name, start=index * 0.7, credential=credential) for index, name in enumerate(names)
    ]

    stage.run(*workers, seconds=3700)

    refusals = sorted(at for server in servers for at in server.refusals)
    assert len(refusals) == 2 * REFUSALS + 1
    assert _worst_half_hour(refusals) == REFUSALS
    assert all(later - earlier >= PAUSE_SECONDS for earlier, later in itertools.pairwise(refusals))
    for name, worker in zip(names, workers, strict=True):
        assert f'dhcp_failover_up{{server="{name}"}} 0' in stage.shown(worker)
    reasons = [worker.entry.publication.health.failure for worker in workers]
    assert reasons.count("suspended") >= 19


def test_a_changed_secret_file_brings_all_servers_back_within_seconds(
    stage: Any, password_file: Path
) -> None:
    credential = Credential(name="lab", username="lab", password_file=password_file)
    names = [f"dhcp{number:02}" for number in range(20)]
    servers = [stage.server(name, password="right") for name in names]
    workers = [
        stage.worker(name, start=index * 0.7, credential=credential) for index, name in enumerate(names)
    ]
    stage.run(*workers, seconds=300)
    assert sum(len(server.refusals) for server in servers) == 1

    password_file.write_text("right")
    stage.run(*workers, seconds=6)

    assert all(worker.entry.publication.health.failure is None for worker in workers)
    assert sum(len(server.refusals) for server in servers) == 1


def test_a_worker_that_is_shut_out_looks_at_the_gate_every_few_seconds(
    stage: Any, password_file: Path
) -> None:
    credential = Credential(name="lab", username="lab", password_file=password_file)
    server = stage.server(password="right")
    worker = stage.worker(credential=credential, intervals=stage.intervals(state_seconds=300.0))

    def mend() -> None:
        if stage.clock.seconds > 20:
            password_file.write_text("right")

    stage.run(worker, seconds=40, each=mend)
    assert server.refusals == [0.0]
    assert len(server.logons) == 2
