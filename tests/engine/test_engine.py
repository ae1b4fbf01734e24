"""All workers with their threads: reload, probes, stop. Sessions are fake, threads and events are real."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dhcp_failover_exporter.config import Credential, Settings
from dhcp_failover_exporter.engine import Engine
from dhcp_failover_exporter.engine.runner import Runner

SECONDS = 5.0


@pytest.fixture
def engine_of(stage: Any) -> Iterator[Callable[..., Engine]]:
    """Makes engines over the stage and stops them at the end."""
    engines: list[Engine] = []

    def build(*names: str, polling: bool = True, **changes: Any) -> Engine:
        engine: Engine = stage.engine(*(stage.settings(name, **changes) for name in names), polling=polling)
        engines.append(engine)
        return engine

    yield build
    for server in stage.servers.values():
        if server.hang:
            server.hang.set()
    for engine in engines:
        engine.stop(SECONDS)


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    ends = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < ends, "it did not happen"
        threading.Event().wait(0.005)


def all_polled(engine: Engine) -> None:
    for server in engine.settings.servers:
        engine.probe(server.name).result(SECONDS)


# --- start and stop -------------------------------------------------------------------------------------------


def test_every_server_is_polled_and_the_board_keeps_the_files_order(engine_of: Callable[..., Engine]) -> None:
    engine = engine_of("dhcp03", "dhcp01", "dhcp02")
    assert not engine.ready()
    engine.start()
    eventually(engine.ready)
    assert list(engine.publications()) == ["dhcp03", "dhcp01", "dhcp02"]


@pytest.mark.parametrize(("servers", "seconds"), [(1, 0.1), (50, 5.0), (400, 15.0)])
def test_starts_are_spread_by_the_number_of_servers(stage: Any, servers: int, seconds: float) -> None:
    spans: list[float] = []

    def jitter(span: float) -> float:
        spans.append(span)
        return 0.0

    settings = Settings(servers=tuple(stage.settings(f"dhcp{number:03}") for number in range(servers)))
    Engine(settings, stage.registry, stage.open_session, stage.clock, jitter)
    assert spans == [pytest.approx(seconds)] * servers


def test_a_server_is_on_the_board_before_it_was_ever_polled(
    engine_of: Callable[..., Engine], stage: Any
) -> None:
    publication = engine_of("dhcp01").publications()["dhcp01"]
    assert not publication.health.up(stage.clock.monotonic())
    assert publication.health.polls == 0


def test_ready_needs_a_result_of_every_server_not_a_good_one(
    engine_of: Callable[..., Engine], stage: Any, password_file: Path
) -> None:
    stage.server("dhcp02", password="right")
    credential = Credential(name="lab", username="lab", password_file=password_file)
    engine = engine_of("dhcp01", "dhcp02", credential=credential)
    engine.start()
    eventually(engine.ready)


def test_ready_stays_once_it_was_reached(engine_of: Callable[..., Engine], stage: Any) -> None:
    engine = engine_of("dhcp01")
    engine.start()
    eventually(engine.ready)
    stage.server("dhcp02").hang = threading.Event()
    engine.reload(Settings(servers=(stage.settings("dhcp01"), stage.settings("dhcp02"))))
    assert engine.ready()


def test_stop_closes_every_session(engine_of: Callable[..., Engine], stage: Any) -> None:
    engine = engine_of(*(f"dhcp{number:02}" for number in range(20)))
    engine.start()
    all_polled(engine)
    gauge = "dhcp_failover_exporter_sessions_open"
    assert stage.registry.get_sample_value(gauge) == 20
    assert engine.stop(SECONDS)
    assert [server.closed for server in stage.servers.values()] == [1] * 20
    assert stage.registry.get_sample_value(gauge) == 0


def test_stop_cuts_running_calls_short(engine_of: Callable[..., Engine], stage: Any) -> None:
    server = stage.server("dhcp01")
    server.hang = threading.Event()
    engine = engine_of("dhcp01")
    engine.start()
    assert server.entered.wait(SECONDS)
    assert engine.stop(SECONDS)
    assert server.closed == 1
    assert engine.entries()["dhcp01"].publication.health.failures == {}


def test_stop_waits_for_nobody_longer_than_it_may(engine_of: Callable[..., Engine], stage: Any) -> None:
    stuck = stage.server("dhcp01")
    stuck.hang, stuck.deaf = threading.Event(), True
    engine = engine_of("dhcp01", "dhcp02")
    engine.start()
    assert stuck.entered.wait(SECONDS)
    engine.probe("dhcp02").result(SECONDS)
    before = time.monotonic()
    assert not engine.stop(0.2)
    assert time.monotonic() - before < 1.0
    assert stage.server("dhcp02").closed == 1


def test_a_mistake_of_ours_does_not_end_the_watch(
    engine_of: Callable[..., Engine], stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dhcp_failover_exporter.engine import worker  # noqa: PLC0415 - patched below

    engine = engine_of("dhcp01")
    with monkeypatch.context() as broken:
        failed = threading.Event()

        def parse(*_: object) -> None:
            failed.set()
            raise ZeroDivisionError

        broken.setattr(worker, "parse", parse)
        engine.start()
        assert failed.wait(SECONDS)
    assert engine.probe("dhcp01").result(SECONDS).publication.health.up(stage.clock.monotonic())


# --- probes ---------------------------------------------------------------------------------------------------


def test_probes_join_the_poll_in_flight(engine_of: Callable[..., Engine], stage: Any) -> None:
    server = stage.server("dhcp01")
    server.hang = threading.Event()
    engine = engine_of("dhcp01")
    engine.start()
    assert server.entered.wait(SECONDS)
    probes = [engine.probe("dhcp01") for _ in range(100)]
    assert not any(probe.done() for probe in probes)
    server.hang.set()
    entries = [probe.result(SECONDS) for probe in probes]
    assert all(entry.publication.health.polls == 1 for entry in entries)
    assert len(server.times("relationships")) == 1


def test_a_hundred_probes_of_hung_servers_do_not_delay_a_healthy_one(
    engine_of: Callable[..., Engine], stage: Any
) -> None:
    hung = [f"hung{number:03}" for number in range(100)]
    engine = engine_of(*hung, "healthy", polling=False)
    engine.probe("healthy").result(SECONDS)
    for name in hung:
        stage.server(name).hang = threading.Event()
    waiting = [engine.probe(name) for name in hung]
    stage.clock.advance(15)
    before = time.monotonic()
    assert engine.probe("healthy").result(SECONDS).publication.health.polls == 2
    assert time.monotonic() - before < 1.0
    assert not any(probe.done() for probe in waiting)


def test_a_cancelled_probe_costs_nobody_anything(engine_of: Callable[..., Engine], stage: Any) -> None:
    server = stage.server("dhcp01")
    server.hang = threading.Event()
    engine = engine_of("dhcp01")
    engine.start()
    assert server.entered.wait(SECONDS)
    impatient, patient = engine.probe("dhcp01"), engine.probe("dhcp01")
    impatient.cancel()
    server.hang.set()
    assert patient.result(SECONDS).publication.health.polls == 1


def test_an_unknown_server_is_not_probed(engine_of: Callable[..., Engine]) -> None:
    engine = engine_of("dhcp01", polling=False)
    with pytest.raises(KeyError):
        engine.probe("dhcp02")
    assert engine.probe("DHCP01").result(SECONDS).publication.server == "dhcp01"


def test_without_polling_a_server_is_on_the_board_while_somebody_asks(
    engine_of: Callable[..., Engine], stage: Any
) -> None:
    engine = engine_of("dhcp01", "dhcp02", polling=False)
    engine.start()
    assert engine.ready()
    assert engine.entries() == {}
    engine.probe("dhcp02").result(SECONDS)
    assert list(engine.entries()) == ["dhcp02"]
    eventually(lambda: bool(stage.server("dhcp02").times("configuration")))
    stage.clock.advance(601)
    engine._fleet.runners["dhcp02"].wake()
    eventually(lambda: not engine.entries())
    assert stage.server("dhcp02").closed == 1
    assert engine.probe("dhcp02").result(SECONDS).publication.health.polls == 2


def test_a_probe_that_comes_while_the_thread_is_about_to_end_keeps_it(stage: Any) -> None:
    runner = Runner(stage.worker(polling=False))
    runner.wake()
    assert not runner._ended(math.inf)


# --- reload ---------------------------------------------------------------------------------------------------


def test_a_reload_with_one_of_fifty_changed_keeps_forty_nine_sessions(
    engine_of: Callable[..., Engine], stage: Any
) -> None:
    names = [f"dhcp{number:02}" for number in range(50)]
    engine = engine_of(*names)
    engine.start()
    all_polled(engine)
    replaced = engine._fleet.runners["dhcp07"]

    changed = [stage.settings(name, timeout_seconds=5.0 if name == "dhcp07" else 10.0) for name in names]
    engine.reload(Settings(servers=tuple(changed)))

    assert replaced.join(SECONDS)
    eventually(lambda: stage.server("dhcp07").opened == 2)
    all_polled(engine)
    assert [name for name in names if stage.server(name).opened != 1] == ["dhcp07"]
    assert [name for name in names if stage.server(name).closed] == ["dhcp07"]
    assert list(engine.publications()) == names


def test_a_removed_server_is_closed_and_gone_a_new_one_is_polled(
    engine_of: Callable[..., Engine], stage: Any
) -> None:
    engine = engine_of("dhcp01", "dhcp02")
    engine.start()
    all_polled(engine)
    removed = engine._fleet.runners["dhcp01"]
    stage.server("dhcp03")
    engine.reload(Settings(servers=(stage.settings("dhcp03"), stage.settings("dhcp02"))))
    assert list(engine.publications()) == ["dhcp03", "dhcp02"]
    assert removed.join(SECONDS)
    assert stage.server("dhcp01").closed == 1
    eventually(lambda: stage.server("dhcp03").opened == 1)


def test_a_server_that_hangs_does_not_hold_up_a_reload(engine_of: Callable[..., Engine], stage: Any) -> None:
    stage.server("dhcp01").hang = threading.Event()
    engine = engine_of("dhcp01")
    engine.start()
    assert stage.server("dhcp01").entered.wait(SECONDS)
    before = time.monotonic()
    engine.reload(Settings(servers=(stage.settings("dhcp02"),)))
    assert time.monotonic() - before < 1.0


def test_stop_also_waits_for_servers_that_a_reload_removed(
    engine_of: Callable[..., Engine], stage: Any
) -> None:
    stuck = stage.server("dhcp01")
    stuck.hang, stuck.deaf = threading.Event(), True
    engine = engine_of("dhcp01")
    engine.start()
    assert stuck.entered.wait(SECONDS)
    engine.reload(Settings(servers=(stage.settings("dhcp02"),)))
    assert not engine.stop(0.1)
    stuck.hang.set()
    assert engine.stop(SECONDS)
    assert stuck.closed == 1


def test_a_session_that_is_being_closed_is_not_interrupted_again(
    engine_of: Callable[..., Engine], stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = stage.server("dhcp01")
    stuck.hang, stuck.deaf = threading.Event(), True
    engine = engine_of("dhcp01")
    engine.start()
    assert stuck.entered.wait(SECONDS)
    interrupted: list[str] = []
    worker = engine._fleet.runners["dhcp01"].worker
    monkeypatch.setattr(worker, "interrupt", lambda: interrupted.append("once"))
    engine.reload(Settings(servers=(stage.settings("dhcp02"),)))
    engine.stop(0.1)
    assert interrupted == ["once"]
    stuck.hang.set()


def test_a_server_that_was_dismissed_before_its_first_probe_is_never_started(
    engine_of: Callable[..., Engine], stage: Any
) -> None:
    engine = engine_of("dhcp01", polling=False)
    dismissed = engine._fleet.runners["dhcp01"]
    engine.reload(Settings(servers=(stage.settings("dhcp02"),), polling_enabled=False))
    dismissed.probe()
    assert not dismissed.running


def test_a_kept_server_learns_new_names(engine_of: Callable[..., Engine], stage: Any) -> None:
    engine = engine_of("dhcp01")
    engine.start()
    all_polled(engine)
    assert not engine.entries()["dhcp01"].topology.links[0].partner_configured

    stage.server("dhcp02.lab.local")
    engine.reload(Settings(servers=(stage.settings("dhcp01"), stage.settings("dhcp02.lab.local"))))
    stage.clock.advance(15)
    entry = engine.probe("dhcp01").result(SECONDS)

    assert entry.topology.links[0].partner == "dhcp02.lab.local"
    assert entry.topology.links[0].partner_configured
    assert stage.server("dhcp01").opened == 1


def test_a_reload_asks_a_refused_credential_again(
    engine_of: Callable[..., Engine], stage: Any, password_file: Path
) -> None:
    server = stage.server("dhcp01", password="right")
    credential = Credential(name="lab", username="lab", password_file=password_file)
    engine = engine_of("dhcp01", credential=credential)
    engine.start()
    all_polled(engine)
    assert len(server.refusals) == 1
    server.password = "wrong"  # the account's password was set back on the server: the file stays as it is
    engine.reload(engine.settings)
    eventually(lambda: server.opened == 1)


def test_polling_may_be_switched_off_and_on_by_a_reload(engine_of: Callable[..., Engine], stage: Any) -> None:
    engine = engine_of("dhcp01")
    engine.start()
    all_polled(engine)
    engine.reload(Settings(servers=engine.settings.servers, polling_enabled=False))
    assert engine.entries() == {}
    eventually(lambda: stage.server("dhcp01").closed == 1)
    engine.reload(Settings(servers=engine.settings.servers))
    eventually(lambda: stage.server("dhcp01").opened == 2)
