"""The session against a simulated WinRM host: what a poll costs, what it survives, what it says when it fails."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from dhcp_failover_exporter import errors
from dhcp_failover_exporter.session import psrp
from dhcp_failover_exporter.simulator.wsman import (
    Account,
    CommandError,
    Endpoint,
    Quotas,
    WinRM,
)
from dhcp_failover_exporter.simulator.wsman.logon import Logon, LogonRefusedError

pytestmark = pytest.mark.wire

JEA = Endpoint("DhcpFailoverExporter", "NoLanguage", frozenset({"Get-DhcpFailoverSnapshot"}))
Open = Callable[..., Any]


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.005)
    return True


def close_idle(winrm: WinRM) -> None:
    """The client has an answer a moment before the host waits for the next request."""
    assert eventually(lambda: winrm.close_idle_connections() >= 1)


# What a poll costs


def test_a_hundred_polls_cost_three_requests_each_and_one_shell(winrm: WinRM, open_session: Open) -> None:
    opened = open_session(winrm)
    opened.collect()
    for _ in range(100):
        before = winrm.requests
        opened.collect()
        assert winrm.requests - before <= 3
    assert winrm.shells_opened == 1
    assert winrm.logons == {"LAB\\svc-monitor": 1}
    assert opened.reasons == ["first"]


def test_the_collector_is_sent_once_per_shell(winrm: WinRM, open_session: Open) -> None:
    opened = open_session(winrm)
    opened.collect()
    assert winrm.commands == 2
    opened.collect()
    assert winrm.commands == 3


def test_a_jea_endpoint_gets_only_the_command(serve: Open, open_session: Open) -> None:
    winrm = serve(endpoints=[JEA])
    opened = open_session(winrm, configuration_name="DhcpFailoverExporter")
    assert opened.collect() == ['{"contract":1}']
    assert winrm.commands == 1


def test_no_command_is_left_behind_in_the_shell(winrm: WinRM, open_session: Open) -> None:
    opened = open_session(winrm)
    for _ in range(5):
        opened.collect()
    assert winrm.shells[0].pool.commands == 0


def test_parameters_arrive_as_lists_and_a_wide_number(winrm: WinRM, machine: Any, open_session: Open) -> None:
    open_session(winrm).session.collect(
        ("scopes", "events"), ("10.0.1.0", "10.0.2.0"), 5_000_000_000, timeout_seconds=5
    )
    assert machine.asked == [
        {"Section": ["scopes", "events"], "ScopeId": ["10.0.1.0", "10.0.2.0"], "AfterEvent": 5_000_000_000}
    ]


def test_what_is_not_asked_is_not_sent(winrm: WinRM, machine: Any, open_session: Open) -> None:
    open_session(winrm).collect()
    assert machine.asked == [{"Section": ["server"]}]


def test_a_large_answer_arrives_whole(winrm: WinRM, machine: Any, open_session: Open) -> None:
    machine.documents = tuple(f'["{letter * 200_000}"]' for letter in "abcde")
    assert tuple(open_session(winrm).collect()) == machine.documents


def test_the_times_are_of_the_call_alone(winrm: WinRM, open_session: Open) -> None:
    session = open_session(winrm).session
    first = session.collect(["server"], timeout_seconds=5)
    before = time.time()
    second = session.collect(["server"], timeout_seconds=5)
    assert (first.opened, second.opened) == (True, False)
    assert before <= second.sent <= second.received <= time.time()


# What a poll survives


def idle_connection_closed(winrm: WinRM, _random: Random) -> None:
    close_idle(winrm)


def winrm_restarted(winrm: WinRM, _random: Random) -> None:
    winrm.restart()


def answer_cut(winrm: WinRM, random: Random) -> None:
    action = random.choice(["Command", "Receive", "Receive", "Signal"])
    winrm.faults.cut_next_answer(random.choice([None, 0, 1, 40, 400]), action=action)


@pytest.mark.parametrize(
    ("spoil", "reasons"),
    [(idle_connection_closed, set()), (winrm_restarted, {"expired"}), (answer_cut, {"lost"})],
)
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_fifty_interruptions_fail_no_poll(
    spoil: Callable[[WinRM, Random], None], reasons: set[str], tls: bool, request: pytest.FixtureRequest
) -> None:
    winrm, options = request.getfixturevalue("https_host" if tls else "http_host")
    opened = request.getfixturevalue("open_session")(winrm, **options)
    opened.collect()
    for round_ in range(50):
        spoil(winrm, Random(round_))  # noqa: S311 - the same cuts in every run
        began = time.monotonic()
        assert opened.collect(timeout_seconds=5) == ['{"contract":1}']
        assert time.monotonic() - began < 5
        assert len(winrm.shells) == 1
    assert max(winrm.most_shells.values()) <= 2
    assert set(opened.reasons) == {"first", *reasons}
    assert len(opened.reasons) - len(opened.closed) == 1
    opened.session.close()
    assert winrm.shells == ()
    assert eventually(lambda: winrm.connections == 0)


def test_a_closed_connection_keeps_its_shell(winrm: WinRM, open_session: Open) -> None:
    opened = open_session(winrm)
    opened.collect()
    before = winrm.requests
    close_idle(winrm)
    answer = opened.session.collect(["server"], timeout_seconds=5)
    assert answer.opened
    assert winrm.shells_opened == 1
    assert winrm.requests - before == 6  # three for the logon, three for the call


def test_every_loss_in_one_call_is_survived_once(winrm: WinRM, open_session: Open) -> None:
    opened = open_session(winrm)
    opened.collect()
    winrm.restart()
    winrm.faults.cut_next_answer(action="Receive")
    assert opened.collect() == ['{"contract":1}']
    assert len(winrm.shells) == 1


def test_a_connection_that_is_always_cut_is_given_up(winrm: WinRM, open_session: Open) -> None:
    opened = open_session(winrm)
    winrm.faults.cut_next_answer(action="Receive", times=100)
    for _ in range(4):
        with pytest.raises(errors.UnreachableError):
            opened.collect()
    assert max(winrm.most_shells.values()) <= 2
    winrm.faults.clear()
    assert opened.collect()
    assert len(winrm.shells) == 1


def test_a_shell_whose_opening_was_cut_is_deleted(winrm: WinRM, open_session: Open) -> None:
    opened = open_session(winrm)
    winrm.faults.cut_next_answer(action="Create")
    opened.collect()
    assert winrm.shells_opened == 2
    assert len(winrm.shells) == 1


# A shell that was given up and cannot be deleted


@pytest.fixture
def undeletable(winrm: WinRM, open_session: Open, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A session that has just answered although it lost a shell, on a host where Delete hangs."""
    monkeypatch.setattr(psrp, "CLOSE_SECONDS", 0.3)
    opened = open_session(winrm)
    opened.collect()
    winrm.faults.hang_action = "Delete"
    winrm.faults.cut_next_answer(action="Receive")
    began = time.monotonic()
    assert opened.collect(timeout_seconds=5) == ['{"contract":1}']
    assert time.monotonic() - began < 2
    assert len(winrm.shells) == 2
    return opened


def test_a_hung_deletion_holds_no_answer_until_the_deadline(winrm: WinRM, undeletable: Any) -> None:
    requests = winrm.requests
    for _ in range(3):
        undeletable.collect(timeout_seconds=5)
    assert winrm.requests - requests == 12  # three for a new logon, three for each call: no Delete in between
    assert max(winrm.most_shells.values()) == 2


def test_a_deletion_that_hung_is_tried_again_later(
    winrm: WinRM, undeletable: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psrp, "DELETE_AGAIN_SECONDS", 0.0)
    began = time.monotonic()
    monkeypatch.setattr(undeletable.session, "_no_deletion_before", began)
    undeletable.collect(timeout_seconds=5)
    assert 0.3 <= time.monotonic() - began < 2
    winrm.faults.hang_action = None
    undeletable.collect()
    assert len(winrm.shells) == 1
    assert max(winrm.most_shells.values()) == 2


def test_a_second_shell_lost_meanwhile_is_no_third(winrm: WinRM, undeletable: Any) -> None:
    winrm.faults.cut_next_answer(action="Receive", times=100)
    for _ in range(3):
        with pytest.raises(errors.PollError):
            undeletable.collect(timeout_seconds=0.5)
    assert max(winrm.most_shells.values()) == 2
    winrm.faults.clear()
    assert undeletable.collect() == ['{"contract":1}']
    undeletable.session.close()
    assert winrm.shells == ()


def test_closing_deletes_what_was_put_off(winrm: WinRM, undeletable: Any) -> None:
    winrm.faults.hang_action = None
    undeletable.session.close()
    assert winrm.shells == ()


# Deadlines


def hang(winrm: WinRM, _machine: Any) -> None:
    winrm.faults.hang = True


def drip(winrm: WinRM, _machine: Any) -> None:
    winrm.faults.drip_seconds = 0.05


def slow_command(_winrm: WinRM, machine: Any) -> None:
    machine.wait_seconds = 30.0


@pytest.mark.parametrize("spoil", [hang, drip, slow_command])
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "new"])
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_the_deadline_holds(
    spoil: Callable[[WinRM, Any], None], kept: bool, tls: bool, machine: Any, request: pytest.FixtureRequest
) -> None:
    winrm, options = request.getfixturevalue("https_host" if tls else "http_host")
    opened = request.getfixturevalue("open_session")(winrm, **options)
    if kept:
        opened.collect()
    spoil(winrm, machine)
    began = time.monotonic()
    with pytest.raises(errors.DeadlineError):
        opened.collect(timeout_seconds=0.6)
    assert 0.5 < time.monotonic() - began < 1.6
    winrm.faults.clear()
    machine.wait_seconds = 0.0
    assert opened.collect() == ['{"contract":1}']
    assert len(winrm.shells) == 1
    assert max(winrm.most_shells.values()) <= 2


def test_calls_that_hang_on_the_server_never_hold_more_than_two_shells(
    winrm: WinRM, machine: Any, open_session: Open
) -> None:
    opened = open_session(winrm)
    machine.wait_seconds = 60.0
    for _ in range(5):
        with pytest.raises(errors.DeadlineError):
            opened.collect(timeout_seconds=0.3)
        assert len(winrm.shells) <= 2
    assert max(winrm.most_shells.values()) == 2
    machine.wait_seconds = 0.0
    opened.collect()
    assert len(winrm.shells) == 1


def test_a_tls_handshake_that_never_ends_is_cut(listening: Any, open_session: Open) -> None:
    opened = open_session(listening(b""), scheme="https")
    began = time.monotonic()
    with pytest.raises(errors.DeadlineError):
        opened.collect(timeout_seconds=0.4)
    assert time.monotonic() - began < 1.4


def test_an_interruption_ends_a_running_call_and_refuses_the_next(
    winrm: WinRM, machine: Any, open_session: Open, in_thread: Any
) -> None:
    opened = open_session(winrm)
    opened.collect()
    machine.wait_seconds = 30.0
    commands = winrm.commands
    running = in_thread(opened.collect, timeout_seconds=30.0)
    assert eventually(lambda: winrm.commands > commands)
    opened.session.interrupt()
    with pytest.raises(errors.UnreachableError, match="being closed"):
        running.result(timeout=1.0)
    with pytest.raises(errors.UnreachableError, match="being closed"):
        opened.collect()
    opened.session.close()
    assert winrm.shells == ()


def test_closing_deletes_the_shell_and_disconnects(winrm: WinRM, open_session: Open) -> None:
    opened = open_session(winrm)
    opened.collect()
    close_idle(winrm)
    opened.session.close()
    assert winrm.shells == ()
    assert len(opened.closed) == 1
    assert eventually(lambda: winrm.connections == 0)


def test_closing_on_a_hung_host_takes_two_seconds_at_most(
    winrm: WinRM, open_session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psrp, "CLOSE_SECONDS", 0.4)
    opened = open_session(winrm)
    opened.collect()
    winrm.faults.hang = True
    began = time.monotonic()
    opened.session.close()
    assert time.monotonic() - began < 1.4


# Renewal


@pytest.mark.parametrize(
    ("constant", "limit"), [("RENEW_AFTER_CALLS", 1), ("RENEW_AFTER_SECONDS", 0.0)], ids=["calls", "age"]
)
def test_a_session_is_renewed_with_a_new_logon(
    constant: str, limit: float, winrm: WinRM, open_session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_session(winrm)
    opened.collect()
    monkeypatch.setattr(psrp, constant, limit)
    assert opened.session.collect(["server"], timeout_seconds=5).opened
    assert opened.reasons == ["first", "renewed"]
    assert winrm.logons == {"LAB\\svc-monitor": 2}
    assert len(winrm.shells) == 1
    assert max(winrm.most_shells.values()) == 2


@pytest.fixture
def renewable(winrm: WinRM, open_session: Open, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A session that has answered once and is to be renewed after every call."""
    monkeypatch.setattr(psrp, "CLOSE_SECONDS", 0.3)
    opened = open_session(winrm)
    opened.collect()
    monkeypatch.setattr(psrp, "RENEW_AFTER_CALLS", 1)
    return opened


def test_a_deletion_that_hangs_costs_a_renewal_no_poll(winrm: WinRM, renewable: Any) -> None:
    winrm.faults.hang_action = "Delete"
    for _ in range(3):
        assert renewable.collect(timeout_seconds=2) == ['{"contract":1}']
    assert renewable.reasons == ["first", "renewed"]
    assert max(winrm.most_shells.values()) == 2
    winrm.faults.hang_action = None
    renewable.session.close()
    assert winrm.shells == ()


def test_a_host_with_no_room_for_a_second_shell_keeps_the_first(winrm: WinRM, renewable: Any) -> None:
    winrm.quotas = Quotas(max_shells_per_user=1)
    for _ in range(3):
        assert renewable.collect() == ['{"contract":1}']
    assert renewable.reasons == ["first"]
    assert winrm.logons == {"LAB\\svc-monitor": 2}  # a renewal is not tried again at once


def test_a_renewal_that_is_cut_leaves_the_old_shell_to_answer(winrm: WinRM, renewable: Any) -> None:
    winrm.faults.cut_next_answer(action="Create")
    assert renewable.collect() == ['{"contract":1}']
    assert renewable.reasons == ["first"]
    assert max(winrm.most_shells.values()) == 2
    assert len(winrm.shells) == 1


def test_a_renewal_that_hangs_leaves_the_old_shell_for_the_next_poll(winrm: WinRM, renewable: Any) -> None:
    winrm.faults.hang_action = "Create"
    with pytest.raises(errors.DeadlineError):
        renewable.collect(timeout_seconds=0.5)
    for _ in range(3):
        assert renewable.collect() == ['{"contract":1}']
    assert renewable.reasons == ["first"]
    assert len(renewable.closed) == 0


def test_a_missing_permission_renews_at_a_measured_pace(
    winrm: WinRM, open_session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_session(winrm)
    opened.collect()
    opened.session.renew()
    opened.collect()
    assert opened.reasons == ["first"]
    monkeypatch.setattr(psrp, "RENEW_AT_WISH_SECONDS", 0.0)
    opened.collect()
    opened.collect()
    assert opened.reasons == ["first", "permission"]


def test_a_suspended_renewal_leaves_the_old_session_alone(
    winrm: WinRM, open_session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    opened = open_session(winrm, logon=gate)
    opened.collect()
    gate.shut = True
    monkeypatch.setattr(psrp, "RENEW_AFTER_CALLS", 1)
    for _ in range(3):
        assert opened.collect() == ['{"contract":1}']
    assert winrm.logons == {"LAB\\svc-monitor": 1}
    assert opened.reasons == ["first"]


# The gate


class Gate:
    """Counts logons as the engine's gate does."""

    def __init__(self) -> None:
        self.shut = False
        self.seen: list[str] = []

    def __call__(self) -> AbstractContextManager[None]:
        return self._logon()

    @contextmanager
    def _logon(self) -> Iterator[None]:
        if self.shut:
            raise errors.SuspendedError("suspended")
        try:
            yield
        except errors.AuthError:
            self.seen.append("refused")
            raise
        self.seen.append("proven")


def test_every_logon_passes_the_gate(winrm: WinRM, open_session: Open) -> None:
    gate = Gate()
    opened = open_session(winrm, logon=gate)
    opened.collect()
    close_idle(winrm)
    opened.collect()
    winrm.restart()
    opened.collect()
    assert gate.seen == ["proven"] * 3
    assert winrm.logons == {"LAB\\svc-monitor": 3}


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_logon_that_the_host_forgot_passes_the_gate_again(
    tls: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    winrm, options = request.getfixturevalue("https_host" if tls else "http_host")
    opened = request.getfixturevalue("open_session")(winrm, logon=gate, **options)
    opened.collect()
    real, forgotten = Logon.authenticate, [True]

    def forget_once(logon: Logon, message: Any) -> Any:
        if forgotten:
            forgotten.pop()
            raise LogonRefusedError("forgotten")
        return real(logon, message)

    monkeypatch.setattr(Logon, "authenticate", forget_once)
    assert opened.collect() == ['{"contract":1}']
    assert gate.seen == ["proven"] * 2
    assert winrm.shells_opened == 1


def test_a_shut_gate_lets_no_credential_out(winrm: WinRM, open_session: Open) -> None:
    gate = Gate()
    gate.shut = True
    with pytest.raises(errors.SuspendedError):
        open_session(winrm, logon=gate).collect()
    assert winrm.requests == 0


def test_a_refusal_is_told_to_the_gate_once_and_not_repeated(
    winrm: WinRM, open_session: Open, password_file: Path
) -> None:
    gate = Gate()
    opened = open_session(winrm, logon=gate)
    password_file.write_text("not the password")
    with pytest.raises(errors.AuthError):
        opened.collect()
    opened.session.close()
    assert gate.seen == ["refused"]
    assert sum(winrm.refused_logons.values()) == 1


def test_closing_after_a_refusal_is_no_second_refusal(
    winrm: WinRM, open_session: Open, account: Account
) -> None:
    opened = open_session(winrm)
    opened.collect()
    winrm.replace_accounts([Account(account.username, "changed")])
    close_idle(winrm)
    with pytest.raises(errors.AuthError):
        opened.collect()
    opened.session.close()
    assert winrm.refused_logons == {account.username: 1}


def test_a_quota_fault_proves_the_credential(serve: Open, open_session: Open) -> None:
    gate = Gate()
    with pytest.raises(errors.QuotaError):
        open_session(serve(quotas=Quotas(max_shells_per_user=0)), logon=gate).collect()
    assert gate.seen == ["proven"]


def test_a_changed_password_file_counts_at_once(
    winrm: WinRM, open_session: Open, password_file: Path, account: Account
) -> None:
    opened = open_session(winrm)
    opened.collect()
    winrm.replace_accounts([Account(account.username, "new")])
    close_idle(winrm)
    with pytest.raises(errors.AuthError):
        opened.collect()
    password_file.write_text("new\n")
    assert opened.collect() == ['{"contract":1}']
    assert winrm.shells_opened == 1


# What it says when it fails


@pytest.mark.parametrize(
    ("quotas", "text"),
    [
        (Quotas(max_shells_per_user=0), "MaxShellsPerUser"),
        (Quotas(max_concurrent_operations_per_user=0), "operations"),
        (Quotas(max_concurrent_users=0), "MaxConcurrentUsers"),
    ],
)
def test_quotas(quotas: Quotas, text: str, serve: Open, open_session: Open) -> None:
    winrm = serve(quotas=quotas)
    opened = open_session(winrm)
    for _ in range(2):
        with pytest.raises(errors.QuotaError, match=text):
            opened.collect()
    assert winrm.logons == {"LAB\\svc-monitor": 1}
    winrm.quotas = Quotas()
    assert opened.collect()


def test_too_many_commands_in_a_shell_end_with_a_new_shell(winrm: WinRM, open_session: Open) -> None:
    opened = open_session(winrm)
    opened.collect()
    winrm.quotas = Quotas(max_concurrent_commands_per_shell=0)
    with pytest.raises(errors.ProtocolError):
        opened.collect()
    winrm.quotas = Quotas()
    assert opened.collect()
    assert winrm.shells_opened == 2
    assert len(winrm.shells) == 1


def test_an_endpoint_that_the_account_may_not_use(serve: Open, open_session: Open, account: Account) -> None:
    barred = Account(account.username, account.password, endpoints=frozenset({"other"}))
    winrm = serve(accounts=[barred])
    opened = open_session(winrm)
    with pytest.raises(errors.EndpointDeniedError):
        opened.collect()
    winrm.replace_accounts([account])
    assert opened.collect()
    assert winrm.logons == {account.username: 2}  # rights count from the logon


def test_an_endpoint_that_does_not_exist(winrm: WinRM, open_session: Open) -> None:
    with pytest.raises(errors.ProtocolError, match="Nowhere"):
        open_session(winrm, configuration_name="Nowhere").collect()


def test_a_jea_endpoint_without_the_function(serve: Open, open_session: Open) -> None:
    winrm = serve(endpoints=[Endpoint("Bare", "NoLanguage")])
    with pytest.raises(
        errors.ContractError, match=r"does not know Get-DhcpFailoverSnapshot.*CommandNotFound"
    ):
        open_session(winrm, configuration_name="Bare").collect()


def test_a_default_endpoint_that_takes_no_scripts(serve: Open, open_session: Open) -> None:
    winrm = serve(endpoints=[Endpoint(language="NoLanguage")])
    with pytest.raises(
        errors.ContractError, match=r"takes no scripts.*configuration_name.*ScriptsNotAllowed"
    ):
        open_session(winrm).collect()


def test_a_pipeline_that_fails_after_writing(winrm: WinRM, machine: Any, open_session: Open) -> None:
    machine.error = CommandError("WIN32 5,Get-DhcpServerv4Failover", "PermissionDenied", "Access is denied")
    with pytest.raises(errors.ContractError, match="WIN32 5"):
        open_session(winrm).collect()
    assert len(winrm.shells) == 1


def test_a_command_that_writes_nothing(winrm: WinRM, machine: Any, open_session: Open) -> None:
    machine.documents = ()
    with pytest.raises(errors.ContractError, match="wrote 0 objects"):
        open_session(winrm).collect()


def test_a_missing_secret_is_no_refused_logon(winrm: WinRM, open_session: Open, password_file: Path) -> None:
    gate = Gate()
    password_file.unlink()
    with pytest.raises(errors.AuthError, match="cannot be read"):
        open_session(winrm, logon=gate).collect()
    assert gate.seen == []
    assert winrm.requests == 0


def test_winrm_that_is_starting(winrm: WinRM, open_session: Open) -> None:
    winrm.faults.starting = True
    with pytest.raises(errors.UnreachableError, match="503"):
        open_session(winrm).collect()


def test_a_scheme_that_is_not_offered_sends_no_credential(serve: Open, open_session: Open) -> None:
    winrm = serve(auth=("kerberos",))
    with pytest.raises(errors.ProtocolError):
        open_session(winrm, auth="ntlm").collect()
    assert winrm.refused_logons == {}


def test_a_port_where_nobody_listens(winrm: WinRM, open_session: Open) -> None:
    winrm.go_down()
    opened = open_session(winrm)
    with pytest.raises(errors.UnreachableError, match="refused"):
        opened.collect()
    winrm.come_back()
    assert opened.collect()


def test_a_name_that_does_not_resolve(winrm: WinRM, open_session: Open) -> None:
    with pytest.raises(errors.UnreachableError, match="does not resolve"):
        open_session(winrm, address="nowhere.invalid").collect()
