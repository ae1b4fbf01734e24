"""The simulated WinRM, with the real pypsrp as its client."""

import base64
import datetime as dt
import ipaddress
import itertools
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import spnego
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pypsrp.complex_objects import PSInvocationState
from pypsrp.exceptions import AuthenticationError, WinRMTransportError, WSManFaultError
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.shell import SignalCode
from pypsrp.wsman import WSMan

from dhcp_failover_exporter.simulator.wsman import (
    Account,
    Caller,
    CommandError,
    Endpoint,
    Quotas,
    Tls,
    WinRM,
)
from dhcp_failover_exporter.simulator.wsman.shells import Shells

pytestmark = pytest.mark.wire

SVC = Account(r"LAB\svc", "pass word")
OTHER = Account(r"LAB\other", "other word")
DEFINE = "function Get-Thing {\n  function Inner {}\n}\n"
JEA = Endpoint("Jea", "NoLanguage", frozenset({"Get-Thing"}))
ENDPOINTS = (Endpoint(), JEA)


class Machine:
    """Answers Get-Thing with what a test sets, and remembers what it was asked."""

    def __init__(self) -> None:
        self.texts: Iterable[str] = ["ready"]
        self.pause = 0.0
        self.error: Exception | None = None
        self.asked: list[tuple[str, Mapping[str, object], Caller]] = []
        self.release = threading.Event()
        self.release.set()
        self.running = threading.Semaphore(0)
        self.ended = threading.Event()

    def invoke(self, command: str, parameters: Mapping[str, object], caller: Caller) -> Iterator[str]:
        self.asked.append((command, parameters, caller))
        self.running.release()
        try:
            for text in self.texts:
                yield text
                time.sleep(self.pause)
        finally:
            self.ended.set()
        while not (self.release.wait(0.01) or caller.stopped.is_set()):
            pass
        if self.error is not None:
            raise self.error


class Clock:
    """Monotonic seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.release.set()


@pytest.fixture
def serve(machine: Machine) -> Iterator[Callable[..., WinRM]]:
    started: list[WinRM] = []

    def start(**options: Any) -> WinRM:
        options = {"accounts": (SVC, OTHER), "endpoints": ENDPOINTS, **options}
        winrm = WinRM(machine, options.pop("accounts"), options.pop("endpoints"), **options)
        started.append(winrm)
        winrm.start()
        return winrm

    yield start
    for winrm in started:
        winrm.stop()


@pytest.fixture
def winrm(serve: Callable[..., WinRM]) -> WinRM:
    return serve()


def client(winrm: WinRM, account: Account = SVC, **options: Any) -> WSMan:
    options = {"ssl": False, "auth": "ntlm", "port": winrm.port, **options}
    return WSMan(
        "127.0.0.1",
        username=account.username,
        password=account.password,
        no_proxy=True,
        reconnection_backoff=0,
        **options,
    )


@contextmanager
def pool_of(wsman: WSMan, **options: Any) -> Iterator[RunspacePool]:
    pool = RunspacePool(wsman, **options)
    try:
        pool.open()
        yield pool
        pool.close()
    finally:
        wsman.close()


@contextmanager
def open_pool(
    winrm: WinRM, account: Account = SVC, *, define: bool = True, **options: Any
) -> Iterator[RunspacePool]:
    name = options.pop("configuration_name", "Microsoft.PowerShell")
    with pool_of(client(winrm, account, **options), configuration_name=name) as pool:
        if define:
            assert run(pool, script=DEFINE).state == PSInvocationState.COMPLETED
        yield pool


def run(
    pool: RunspacePool, command: str = "Get-Thing", *, script: str = "", **parameters: object
) -> PowerShell:
    ps = PowerShell(pool)
    _ = ps.add_script(script) if script else ps.add_cmdlet(command).add_parameters(parameters)
    ps.invoke()
    ps.close()
    return ps


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.005)


def fault_of(call: Callable[[], object]) -> object:
    with pytest.raises(WSManFaultError) as caught:
        call()
    return caught.value.code


class Wiretap:
    """Relays to a port and keeps every byte that passes."""

    def __init__(self, port: int) -> None:
        self.heard = bytearray()
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        near, _ = self._listening.accept()
        far = socket.create_connection(("127.0.0.1", self._target))
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._relay, args=(source, sink), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        with source:
            while data := source.recv(65536):
                self.heard += data
                sink.sendall(data)


class TestSessions:
    @pytest.mark.parametrize("auth", ["ntlm", "negotiate"])
    def test_a_command_answers_with_its_strings(self, winrm: WinRM, machine: Machine, auth: str) -> None:
        machine.texts = ["one", "zwölf \u2603"]
        with open_pool(winrm, auth=auth) as pool:
            ps = run(pool)
        assert (ps.output, ps.state) == (["one", "zwölf \u2603"], PSInvocationState.COMPLETED)
        assert winrm.logons == {SVC.username: 1}
        assert winrm.shells == ()

    @pytest.mark.parametrize(("name", "receives"), [("Microsoft.PowerShell", 2), ("Jea", 3)])
    def test_a_pool_opens_in_as_many_receives_as_recorded(
        self, winrm: WinRM, name: str, receives: int
    ) -> None:
        with open_pool(winrm, define=False, configuration_name=name):
            assert winrm.actions == {"Logon": 3, "Create": 1, "Receive": receives}

    def test_a_call_on_a_kept_session_costs_three_requests(self, winrm: WinRM) -> None:
        with open_pool(winrm) as pool:
            before = winrm.requests
            for _ in range(10):
                assert run(pool).output == ["ready"]
            assert winrm.requests - before == 30
            assert (winrm.shells_opened, winrm.commands, winrm.connections) == (1, 11, 1)

    def test_what_is_written_at_short_intervals_comes_in_one_receive(
        self, winrm: WinRM, machine: Machine
    ) -> None:
        machine.texts, machine.pause = ["a", "b", "c"], 0.01
        with open_pool(winrm) as pool:
            before = winrm.requests
            assert run(pool).output == ["a", "b", "c"]
            assert winrm.requests - before == 3

    def test_parameters_arrive_as_plain_values(self, winrm: WinRM, machine: Machine) -> None:
        with open_pool(winrm) as pool:
            run(pool, Section=["state", "pools"], AfterEvent=5, Flag=True, Text="x")
        _, parameters, caller = machine.asked[0]
        assert parameters == {"Section": ["state", "pools"], "AfterEvent": 5, "Flag": True, "Text": "x"}
        assert [type(value) for value in parameters.values()] == [list, int, bool, str]
        assert (caller.account, caller.endpoint.name) == (SVC, "Microsoft.PowerShell")

    def test_a_progress_record_comes_before_the_first_output_of_a_shell(self, winrm: WinRM) -> None:
        with open_pool(winrm) as pool:
            first, second = run(pool), run(pool)
        assert [record.activity for record in first.streams.progress] == ["Preparing modules for first use."]
        assert second.streams.progress == []

    def test_a_large_string_comes_in_receives_of_four_fragments(self, winrm: WinRM, machine: Machine) -> None:
        machine.texts = ["x" * 400_000]
        with open_pool(winrm) as pool:
            run(pool)
            before = winrm.actions["Receive"]
            ps = PowerShell(pool).add_cmdlet("Get-Thing")
            ps.begin_invoke()
            sizes = []
            while ps.state == PSInvocationState.RUNNING:
                state, _, buffer = pool.shell.receive("stdout", command_id=ps.id)
                sizes.append(len(buffer["stdout"]))
                pool._parse_responses(buffer["stdout"], ps)
            ps.close()
        assert sizes[:-1] == [131_072] * 3
        assert state == "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState/Done"
        assert winrm.actions["Receive"] - before == 4

    def test_a_large_script_arrives_in_several_fragments(self, winrm: WinRM) -> None:
        with open_pool(winrm, define=False) as pool:
            script = DEFINE + "# " + "x" * 500_000
            assert run(pool, script=script).state == PSInvocationState.COMPLETED
            assert run(pool).output == ["ready"]
        assert winrm.actions["Send"] >= 1

    def test_pipelines_of_a_pool_queue_for_its_one_runspace(self, winrm: WinRM, machine: Machine) -> None:
        machine.release.clear()
        with open_pool(winrm, operation_timeout=5) as pool:
            first, second = PowerShell(pool), PowerShell(pool)
            for ps in (first, second):
                ps.add_cmdlet("Get-Thing").begin_invoke()
            assert machine.running.acquire(timeout=5)
            assert not machine.running.acquire(timeout=0.1)
            machine.release.set()
            assert (first.end_invoke(), second.end_invoke()) == (["ready"], ["ready"])
            first.close()
            second.close()

    def test_output_of_a_long_command_comes_as_it_is_written(self, winrm: WinRM, machine: Machine) -> None:
        machine.release.clear()
        with open_pool(winrm) as pool:
            ps = PowerShell(pool).add_cmdlet("Get-Thing")
            ps.begin_invoke()
            ps.poll_invoke(timeout=5)
            assert (ps.output, ps.state) == (["ready"], PSInvocationState.RUNNING)
            machine.release.set()
            ps.end_invoke()
            ps.close()

    def test_nothing_within_the_operation_timeout_is_a_fault_and_no_end(
        self, winrm: WinRM, machine: Machine
    ) -> None:
        machine.release.clear()
        machine.texts = []
        with open_pool(winrm, operation_timeout=1) as pool:
            ps = PowerShell(pool).add_cmdlet("Get-Thing")
            ps.begin_invoke()
            pool.shell.receive("stdout", command_id=ps.id)  # the progress record
            started = time.monotonic()
            assert fault_of(lambda: pool.shell.receive("stdout", command_id=ps.id)) == 2150858793
            assert 0.9 < time.monotonic() - started < 3
            machine.release.set()
            assert ps.end_invoke() == []
            assert ps.state == PSInvocationState.COMPLETED
            ps.close()


class TestFailedPipelines:
    def test_a_function_unknown_in_that_shell_fails(self, winrm: WinRM) -> None:
        with open_pool(winrm) as pool, open_pool(winrm, define=False) as stranger:
            assert run(pool).state == PSInvocationState.COMPLETED
            ps = run(stranger)
        assert (ps.output, ps.state) == ([], PSInvocationState.FAILED)
        [error] = ps.streams.error
        assert (error.fq_error, error.category) == ("CommandNotFoundException", 13)
        assert "'Get-Thing' is not recognized" in str(error)

    def test_a_nested_function_is_no_command(self, winrm: WinRM) -> None:
        with open_pool(winrm) as pool:
            assert run(pool, "Inner").streams.error[0].fq_error == "CommandNotFoundException"

    def test_a_function_defined_in_a_local_scope_is_lost(self, winrm: WinRM) -> None:
        with open_pool(winrm, define=False) as pool:
            ps = PowerShell(pool).add_script(DEFINE, use_local_scope=True)
            ps.invoke()
            ps.close()
            assert run(pool).state == PSInvocationState.FAILED

    def test_names_of_commands_ignore_case(self, winrm: WinRM) -> None:
        with open_pool(winrm) as pool:
            assert run(pool, "get-thing").output == ["ready"]

    def test_a_script_is_refused_on_a_nolanguage_endpoint(self, winrm: WinRM, machine: Machine) -> None:
        with open_pool(winrm, define=False, configuration_name="Jea") as pool:
            ps = run(pool, script=DEFINE)
            assert (ps.output, ps.state) == ([], PSInvocationState.FAILED)
            [error] = ps.streams.error
            assert (error.fq_error, error.category) == ("ScriptsNotAllowed", 17)
            assert run(pool).output == ["ready"]
        assert machine.asked[0][2].endpoint == JEA

    def test_what_the_machine_raises_is_the_error_record(self, winrm: WinRM, machine: Machine) -> None:
        machine.error = CommandError("WIN32 5,Get-Thing", "PermissionDenied", "Zugriff verweigert")
        with open_pool(winrm) as pool:
            ps = run(pool)
        assert (ps.output, ps.state) == (["ready"], PSInvocationState.FAILED)
        [error] = ps.streams.error
        assert (error.fq_error, error.category, str(error)) == ("WIN32 5,Get-Thing", 18, "Zugriff verweigert")

    def test_any_other_exception_fails_the_pipeline_too(self, winrm: WinRM, machine: Machine) -> None:
        machine.error = ZeroDivisionError("by zero")
        with open_pool(winrm) as pool:
            ps = run(pool)
            machine.error = None
            assert run(pool).state == PSInvocationState.COMPLETED
        assert (ps.state, str(ps.streams.error[0])) == (PSInvocationState.FAILED, "by zero")

    def test_stop_ends_the_command_and_frees_the_runspace(self, winrm: WinRM, machine: Machine) -> None:
        machine.release.clear()
        with open_pool(winrm) as pool:
            ps = PowerShell(pool).add_cmdlet("Get-Thing")
            ps.begin_invoke()
            assert machine.running.acquire(timeout=5)
            ps.stop()
            assert machine.asked[0][2].stopped.wait(5)
            machine.release.set()
            assert run(pool).output == ["ready"]

    def test_terminate_forgets_a_running_command(self, winrm: WinRM, machine: Machine) -> None:
        machine.release.clear()
        with open_pool(winrm) as pool:
            ps = PowerShell(pool).add_cmdlet("Get-Thing")
            ps.begin_invoke()
            pool.shell.signal(SignalCode.TERMINATE, ps.id)
            assert fault_of(lambda: pool.shell.receive("stdout", command_id=ps.id)) == 2150858843


class TestLogons:
    def test_a_wrong_password_is_refused_and_counted_for_the_account(self, winrm: WinRM) -> None:
        wrong = Account(SVC.username, "wrong")
        with pytest.raises(AuthenticationError):
            open_pool(winrm, wrong).__enter__()
        assert (winrm.refused_logons, winrm.logons, winrm.shells_opened) == ({SVC.username: 1}, {}, 0)

    def test_an_unknown_account_is_counted_by_the_name_tried(self, winrm: WinRM) -> None:
        with pytest.raises(AuthenticationError):
            open_pool(winrm, Account(r"LAB\nobody", "x"), auth="negotiate").__enter__()
        assert winrm.refused_logons == {r"LAB\nobody": 1}

    def test_names_ignore_case_and_may_be_principals(self, serve: Callable[..., WinRM]) -> None:
        winrm = serve(accounts=(Account(r"LAB\svc", "pw", principal="svc@lab.test"),))
        for name in (r"lab\SVC", "SVC@LAB.TEST"):
            with open_pool(winrm, Account(name, "pw")):
                pass
        assert winrm.logons == {r"LAB\svc": 2}

    def test_two_listeners_know_one_account_by_different_passwords(self, serve: Callable[..., WinRM]) -> None:
        one, two = serve(), serve(accounts=(Account(SVC.username, "second"),))
        with open_pool(one), open_pool(two, Account(SVC.username, "second")):
            pass
        with pytest.raises(AuthenticationError):
            open_pool(two).__enter__()

    def test_passwords_and_rights_change_with_the_next_logon(self, winrm: WinRM) -> None:
        changed = Account(SVC.username, "changed", endpoints=frozenset({"Jea"}))
        with open_pool(winrm) as pool:
            winrm.replace_accounts([changed])
            assert run(pool).output == ["ready"]
        with pytest.raises(AuthenticationError):
            open_pool(winrm).__enter__()
        assert fault_of(lambda: open_pool(winrm, changed).__enter__()) == 5
        with open_pool(winrm, changed, define=False, configuration_name="Jea") as pool:
            assert run(pool).output == ["ready"]

    def test_messages_are_encrypted_on_the_wire(self, serve: Callable[..., WinRM], machine: Machine) -> None:
        machine.texts = ["a secret answer"]
        winrm = serve(allow_unencrypted=True)
        heard = {}
        for encryption in ("auto", "never"):
            tap = Wiretap(winrm.port)
            with open_pool(winrm, port=tap.port, encryption=encryption) as pool:
                assert run(pool).output == ["a secret answer"]
            heard[encryption] = bytes(tap.heard)
            tap.close()
        assert b"Envelope" in heard["never"]
        assert b"application/HTTP-SPNEGO-session-encrypted" in heard["auto"]
        for plain in (b"Envelope", b"ShellId", b"powershell", SVC.password.encode()):
            assert plain not in heard["auto"]

    def test_a_plain_message_over_http_is_refused(self, winrm: WinRM) -> None:
        with pytest.raises(WinRMTransportError) as caught:
            open_pool(winrm, encryption="never").__enter__()
        assert (caught.value.code, winrm.shells_opened) == (500, 0)

    def test_basic_is_refused_unless_it_is_offered(self, serve: Callable[..., WinRM]) -> None:
        plain: dict[str, Any] = {"auth": "basic", "encryption": "never"}
        with pytest.raises(AuthenticationError):
            open_pool(serve(allow_unencrypted=True), **plain).__enter__()
        offered = serve(auth=("negotiate", "basic"), allow_unencrypted=True)
        with open_pool(offered, **plain) as pool:
            assert run(pool).output == ["ready"]
        with pytest.raises(AuthenticationError):
            open_pool(offered, Account(SVC.username, "wrong"), **plain).__enter__()
        assert (offered.logons, offered.refused_logons) == ({SVC.username: 1}, {SVC.username: 1})

    def test_negotiate_is_refused_where_only_basic_is_offered(self, serve: Callable[..., WinRM]) -> None:
        with pytest.raises(AuthenticationError):
            open_pool(serve(auth=("basic",))).__enter__()

    @pytest.mark.parametrize("password", [SVC.password, "wrong"])
    def test_the_second_half_of_a_lost_handshake_is_no_refusal(self, winrm: WinRM, password: str) -> None:
        url = f"http://127.0.0.1:{winrm.port}/wsman"
        context = spnego.client(SVC.username, password, protocol="ntlm")
        token: bytes | None = None
        for _ in range(2):
            header = "Negotiate " + base64.b64encode(context.step(token) or b"").decode()
            answer = requests.post(url, headers={"Authorization": header}, timeout=5)  # a connection each
            assert answer.status_code == 401
            token = base64.b64decode(answer.headers["www-authenticate"].partition(" ")[2])
        assert (winrm.logons, winrm.refused_logons) == ({}, {})

    def test_a_token_that_is_none_is_refused(self, serve: Callable[..., WinRM]) -> None:
        winrm = serve(auth=("negotiate", "kerberos", "basic"), keytab=Path("/nonexistent"))
        for header in (
            "Negotiate AAAA",
            "Kerberos AAAA",
            "Negotiate %%",
            "Basic %%",
            "Digest x",
            "Negotiate",
        ):
            answer = requests.post(
                f"http://127.0.0.1:{winrm.port}/wsman", headers={"Authorization": header}, timeout=5
            )
            assert answer.status_code == 401, header
        assert winrm.logons == {}

    def test_the_challenge_names_what_is_offered(self, serve: Callable[..., WinRM]) -> None:
        winrm = serve(auth=("negotiate", "kerberos", "basic"))
        answer = requests.post(f"http://127.0.0.1:{winrm.port}/wsman", timeout=5)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Negotiate, Kerberos, Basic realm="WSMAN"'
        assert requests.get(f"http://127.0.0.1:{winrm.port}/", timeout=5).status_code == 404


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate authority's folder with `server` and `client` certificates."""
    folder = tmp_path_factory.mktemp("ca")
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    for name in ("ca", "server", "client"):
        key = ca_key if name == "ca" else ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        subject = (
            ca_name if name == "ca" else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"the {name}")])
        )
        addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .add_extension(addresses, critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        (folder / f"{name}.key").write_bytes(key.private_bytes(pem, pkcs8, plain))
    return folder


class TestHttps:
    def serve(self, serve: Callable[..., WinRM], authority: Path, **options: Any) -> WinRM:
        tls = Tls(authority / "server.pem", authority / "server.key", authority / "ca.pem")
        return serve(tls=tls, **options)

    @pytest.mark.parametrize(
        ("auth", "encryption"), [("ntlm", "auto"), ("ntlm", "always"), ("basic", "auto")]
    )
    def test_logons_over_tls(
        self, serve: Callable[..., WinRM], authority: Path, auth: str, encryption: str
    ) -> None:
        winrm = self.serve(serve, authority, auth=("negotiate", "basic"))
        options: dict[str, Any] = {"ssl": True, "cert_validation": str(authority / "ca.pem")}
        with open_pool(winrm, auth=auth, encryption=encryption, **options) as pool:
            assert run(pool).output == ["ready"]

    def test_a_client_certificate_is_a_logon(self, serve: Callable[..., WinRM], authority: Path) -> None:
        account = Account(r"LAB\cert", "unused", certificate="the client")
        winrm = self.serve(serve, authority, accounts=(account,), auth=("certificate",))
        options: dict[str, Any] = {
            "ssl": True,
            "auth": "certificate",
            "cert_validation": str(authority / "ca.pem"),
            "certificate_pem": str(authority / "client.pem"),
            "certificate_key_pem": str(authority / "client.key"),
        }
        with open_pool(winrm, account, **options) as pool:
            assert run(pool).output == ["ready"]
        winrm.replace_accounts([SVC])
        with pytest.raises(AuthenticationError):
            open_pool(winrm, account, **options).__enter__()
        assert (winrm.logons, winrm.refused_logons) == ({account.username: 1}, {"the client": 1})

    def test_a_plain_client_and_an_untrusting_one_get_nowhere(
        self, serve: Callable[..., WinRM], authority: Path
    ) -> None:
        winrm = self.serve(serve, authority)
        with pytest.raises(requests.ConnectionError):
            open_pool(winrm).__enter__()
        with pytest.raises(requests.exceptions.SSLError):
            open_pool(winrm, ssl=True, cert_validation=True).__enter__()


class TestFaultCodes:
    def test_shells_per_user(self, serve: Callable[..., WinRM]) -> None:
        winrm = serve(quotas=Quotas(max_shells_per_user=2))
        with open_pool(winrm), open_pool(winrm):
            assert fault_of(lambda: open_pool(winrm).__enter__()) == 2150859173
            with open_pool(winrm, OTHER):
                pass
        with open_pool(winrm):
            pass
        assert winrm.most_shells == {SVC.username: 2, OTHER.username: 1}

    def test_concurrent_users(self, winrm: WinRM) -> None:
        winrm.quotas = Quotas(max_concurrent_users=1)
        with open_pool(winrm):
            assert fault_of(lambda: open_pool(winrm, OTHER).__enter__()) == 2150859179
        with open_pool(winrm, OTHER):
            pass

    def test_concurrent_operations(self, winrm: WinRM) -> None:
        with open_pool(winrm) as pool:
            for _ in range(2):
                PowerShell(pool).add_cmdlet("Get-Thing").invoke()  # never closed: the commands stay
            winrm.quotas = Quotas(max_concurrent_operations_per_user=2)
            assert fault_of(lambda: run(pool)) == 2150859174
        assert winrm.shells == ()

    def test_commands_per_shell(self, winrm: WinRM) -> None:
        winrm.quotas = Quotas(max_concurrent_commands_per_shell=2)
        with open_pool(winrm) as pool:
            for _ in range(2):
                PowerShell(pool).add_cmdlet("Get-Thing").invoke()
            assert fault_of(lambda: run(pool)) == "w:InternalError"

    def test_unknown_shell_and_unknown_command_share_a_code(self, winrm: WinRM) -> None:
        with open_pool(winrm) as pool:
            unknown = str(uuid.uuid4()).upper()
            assert fault_of(lambda: pool.shell.receive("stdout", command_id=unknown)) == 2150858843
            assert fault_of(lambda: pool.shell.signal(SignalCode.TERMINATE, unknown)) == 2150858843
            known = pool.shell._selector_set
            pool.shell._selector_set = None
            assert fault_of(lambda: pool.shell.receive("stdout")) == 2150858843
            pool.shell._selector_set = known

    def test_another_accounts_shell_is_denied(self, winrm: WinRM) -> None:
        with open_pool(winrm) as pool, open_pool(winrm, OTHER) as theirs:
            theirs.shell._selector_set, own = pool.shell._selector_set, theirs.shell._selector_set
            assert fault_of(lambda: run(theirs)) == 5
            theirs.shell._selector_set = own

    def test_an_endpoint_that_the_account_may_not_use(self, serve: Callable[..., WinRM]) -> None:
        winrm = serve(accounts=(Account("local", "pw", endpoints=frozenset()),))
        assert fault_of(lambda: open_pool(winrm, winrm.accounts[0]).__enter__()) == 5
        assert (winrm.logons, winrm.refused_logons) == ({"local": 1}, {})

    def test_an_endpoint_that_does_not_exist(self, winrm: WinRM) -> None:
        assert fault_of(lambda: open_pool(winrm, configuration_name="Nope").__enter__()) == 2150858811

    def test_winrm_that_starts_answers_503(self, winrm: WinRM) -> None:
        winrm.faults.starting = True
        with pytest.raises(WinRMTransportError) as caught:
            open_pool(winrm).__enter__()
        assert caught.value.code == 503
        winrm.faults.starting = False
        with open_pool(winrm):
            pass

    def test_an_encrypted_body_on_a_new_connection_is_401_and_then_400(self, winrm: WinRM) -> None:
        wsman = client(winrm)
        with pool_of(wsman) as pool:
            run(pool, script=DEFINE)
            assert winrm.close_idle_connections() == 1
            before = winrm.actions["Logon"]
            with pytest.raises(WinRMTransportError) as caught:
                run(pool)
            assert (caught.value.code, winrm.actions["Logon"] - before) == (400, 2)
            wsman.transport.close()
            wsman.transport.session = wsman.transport.encryption = None
            assert run(pool).output == ["ready"]
        assert winrm.shells_opened == 1

    @pytest.mark.parametrize(("seconds", "code"), [(59, 2150859250), (60, None)])
    def test_idle_timeouts_below_a_minute(self, winrm: WinRM, seconds: int, code: int | None) -> None:
        def start() -> None:
            with pool_of(client(winrm), idle_timeout=seconds):
                assert [shell.idle_seconds for shell in winrm.shells] == [seconds]

        if code:
            assert fault_of(start) == code
        else:
            start()

    def test_a_negative_operation_timeout(self, winrm: WinRM) -> None:
        with open_pool(winrm) as pool:
            assert fault_of(lambda: pool.shell.receive("stdout", timeout=-1)) == 2150858767

    def test_an_action_that_is_not_simulated(self, winrm: WinRM) -> None:
        with open_pool(winrm) as pool:
            assert fault_of(pool.disconnect) == 2150858753


class TestAges:
    def test_an_idle_shell_is_deleted(self, serve: Callable[..., WinRM]) -> None:
        clock = Clock()
        winrm = serve(clock=clock)
        with pool_of(client(winrm), idle_timeout=60) as pool:
            run(pool, script=DEFINE)
            clock.now += 59
            run(pool)
            clock.now += 59
            still_there = winrm.shells
            assert len(still_there) == 1
            clock.now += 1
            assert winrm.shells == ()
            assert fault_of(lambda: run(pool)) == 2150858843
            pool.shell.opened = False

    def test_a_silent_shell_is_disconnected_and_still_serves(self, serve: Callable[..., WinRM]) -> None:
        clock = Clock()
        winrm = serve(clock=clock)
        with open_pool(winrm) as pool:
            clock.now += 62
            shell = pool.shell._get_shell()
            assert (shell["State"], shell["ShellInactivity"]) == ("Disconnected", "P0DT0H1M2S")
            assert shell["MemoryUsed"] in {"57MB", "58MB"}
            assert run(pool).output == ["ready"]
            assert pool.shell._get_shell()["State"] == "Connected"


class TestWireFaults:
    def test_a_restart_ends_shells_and_connections(self, winrm: WinRM) -> None:
        with open_pool(winrm, define=False) as pool:
            winrm.restart(starting_seconds=0.3)
            assert winrm.shells == ()
            with pytest.raises(WinRMTransportError) as caught:
                open_pool(winrm).__enter__()
            assert caught.value.code == 503
            wait_until(lambda: not winrm.faults.starting)
            pool.connection.transport.session = pool.connection.transport.encryption = None
            assert fault_of(lambda: run(pool)) == 2150858843
            pool.shell.opened = False
        with open_pool(winrm):
            assert winrm.shells_opened == 2

    def test_a_deleted_shell_aborts_the_receive_that_waits(self, winrm: WinRM, machine: Machine) -> None:
        machine.release.clear()
        machine.texts = []
        with open_pool(winrm) as pool:
            ps = PowerShell(pool).add_cmdlet("Get-Thing")
            ps.begin_invoke()
            pool.shell.receive("stdout", command_id=ps.id)  # the progress record
            other = client(winrm)

            def delete_while_it_waits() -> None:
                wait_until(lambda: winrm.shells[0].operations == 1)
                other.delete(pool.shell.resource_uri, selector_set=pool.shell._selector_set)

            deleting = threading.Thread(target=delete_while_it_waits)
            deleting.start()
            assert fault_of(lambda: pool.shell.receive("stdout", command_id=ps.id)) == 995
            deleting.join()
            other.close()
            assert machine.asked[0][2].stopped.is_set()
            pool.shell.opened = False

    def test_output_goes_to_the_client_that_came_back(self, winrm: WinRM, machine: Machine) -> None:
        machine.release.clear()
        machine.texts = []
        wsman = client(winrm)
        with pool_of(wsman) as pool:
            run(pool, script=DEFINE)
            ps = PowerShell(pool).add_cmdlet("Get-Thing")
            ps.begin_invoke()
            pool.shell.receive("stdout", command_id=ps.id)  # the progress record

            def poll_until_lost() -> None:
                with pytest.raises(requests.ConnectionError):
                    ps.poll_invoke()

            lost = threading.Thread(target=poll_until_lost)
            lost.start()
            wait_until(lambda: winrm.shells[0].operations == 1)
            winrm.close_connections()
            lost.join()
            wsman.transport.close()
            wsman.transport.session = wsman.transport.encryption = None
            before = winrm.actions["Receive"]
            receiving = threading.Thread(target=ps.end_invoke)
            receiving.start()
            wait_until(lambda: winrm.actions["Receive"] == before + 1)  # the lost one gives up
            machine.release.set()
            receiving.join()
            assert ps.state == PSInvocationState.COMPLETED
            ps.close()

    def test_stop_leaves_no_thread(self, serve: Callable[..., WinRM]) -> None:
        before = set(threading.enumerate())
        winrm = serve()
        with open_pool(winrm) as pool:
            winrm.stop()
            pool.shell.opened = False
        wait_until(lambda: set(threading.enumerate()) <= before)

    def test_a_deleted_shell_stops_what_runs_in_it(self, winrm: WinRM, machine: Machine) -> None:
        machine.texts, machine.pause = itertools.repeat("on and on"), 0.001
        with open_pool(winrm) as pool:
            PowerShell(pool).add_cmdlet("Get-Thing").begin_invoke()
            assert machine.running.acquire(timeout=5)
        assert machine.ended.wait(5)

    def test_a_deleted_shell_starts_nothing_that_queues(self, winrm: WinRM, machine: Machine) -> None:
        machine.release.clear()
        with open_pool(winrm) as pool:
            for _ in range(2):
                PowerShell(pool).add_cmdlet("Get-Thing").begin_invoke()
            assert machine.running.acquire(timeout=5)
        wait_until(lambda: not [one for one in threading.enumerate() if one.name == f"runspace {pool.id}"])
        assert len(machine.asked) == 1

    def test_a_connection_that_waits_for_its_answer_is_not_idle(self, winrm: WinRM, machine: Machine) -> None:
        machine.release.clear()
        with open_pool(winrm) as pool:
            ps = PowerShell(pool).add_cmdlet("Get-Thing")
            ps.begin_invoke()
            ps.poll_invoke(timeout=5)
            receiving = threading.Thread(target=ps.end_invoke)
            receiving.start()
            wait_until(lambda: winrm.shells[0].operations == 1)
            assert winrm.close_idle_connections() == 0
            machine.release.set()
            receiving.join()
            assert ps.state == PSInvocationState.COMPLETED
            ps.close()
            assert winrm.close_idle_connections() == 1
            pool.shell.opened = False

    @pytest.mark.parametrize("at", [0, 10, 300, None])
    def test_an_answer_is_cut_and_the_shell_stays(self, winrm: WinRM, at: int | None) -> None:
        wsman = client(winrm)
        with pool_of(wsman) as pool:
            run(pool, script=DEFINE)
            winrm.faults.cut_next_answer(at, action="Receive")
            before = winrm.requests
            with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
                run(pool)
            assert winrm.requests - before == 2
            assert len(winrm.shells) == 1
            wsman.transport.close()
            wsman.transport.session = wsman.transport.encryption = None
            assert run(pool).output == ["ready"]

    def test_a_dropped_connection(self, winrm: WinRM) -> None:
        winrm.faults.drop = True
        with pytest.raises(requests.ConnectionError):
            open_pool(winrm).__enter__()
        winrm.faults.clear()
        with open_pool(winrm):
            pass

    def test_a_hung_service_never_answers_and_forgets_who_left(self, winrm: WinRM) -> None:
        with open_pool(winrm) as pool:
            winrm.faults.hang = True
            before = winrm.requests
            pool.connection.transport.read_timeout = 0.2  # type: ignore[assignment]  # requests takes fractions
            with pytest.raises(requests.ReadTimeout):
                run(pool)
            pool.connection.transport.close()
            winrm.faults.clear()
            wait_until(lambda: winrm.connections == 0)
            assert winrm.requests == before
            pool.connection.transport.session = pool.connection.transport.encryption = None
            pool.connection.transport.read_timeout = 5
            assert run(pool).output == ["ready"]

    def test_stop_does_not_wait_for_hung_requests(self, serve: Callable[..., WinRM]) -> None:
        winrm = serve()
        winrm.faults.hang = True
        with socket.create_connection(("127.0.0.1", winrm.port)) as peer:
            peer.sendall(b"POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            wait_until(lambda: winrm.connections == 1)
            winrm.stop()
            wait_until(lambda: winrm.connections == 0)

    def test_a_dripping_service_outlives_socket_timeouts(self, winrm: WinRM) -> None:
        winrm.faults.drip_seconds = 0.012
        started = time.monotonic()
        answer = requests.post(f"http://127.0.0.1:{winrm.port}/wsman", timeout=0.8)
        assert answer.status_code == 401
        assert time.monotonic() - started > 1

    def test_a_drip_that_heals_sends_the_rest_at_once(self, winrm: WinRM) -> None:
        winrm.faults.drip_seconds = 0.05
        healing = threading.Timer(0.2, winrm.faults.clear)
        healing.start()
        started = time.monotonic()
        assert requests.post(f"http://127.0.0.1:{winrm.port}/wsman", timeout=5).status_code == 401
        assert time.monotonic() - started < 3
        healing.join()

    def test_a_delay(self, winrm: WinRM) -> None:
        winrm.faults.delay_seconds = 0.2
        started = time.monotonic()
        assert requests.post(f"http://127.0.0.1:{winrm.port}/wsman", timeout=5).status_code == 401
        assert time.monotonic() - started > 0.2

    def test_a_host_goes_down_and_comes_back_on_its_port(self, winrm: WinRM) -> None:
        with open_pool(winrm, define=False) as pool:
            port = winrm.port
            winrm.go_down()
            with pytest.raises(requests.ConnectionError):
                open_pool(winrm).__enter__()
            assert winrm.shells == ()
            wait_until(lambda: winrm.connections == 0)
            winrm.come_back()
            assert winrm.port == port
            pool.shell.opened = False
        with open_pool(winrm) as pool:
            assert run(pool).output == ["ready"]

    def test_an_idle_connection_is_closed_after_a_while(self, serve: Callable[..., WinRM]) -> None:
        winrm = serve(idle_connection_seconds=1.0)
        with open_pool(winrm) as pool:
            wait_until(lambda: winrm.connections == 0)
            assert len(winrm.shells) == 1
            pool.connection.transport.session = pool.connection.transport.encryption = None
            assert run(pool).output == ["ready"]

    def test_a_request_that_a_restart_overtook_opens_no_shell(self, machine: Machine) -> None:
        shells = Shells(machine, Quotas(), 0.05, Clock())
        era = shells.era
        shells.close()
        with pytest.raises(ConnectionAbortedError):
            shells.open("id", SVC, Endpoint(), "127.0.0.1", 60, era)
        assert shells.alive() == ()

    def test_a_listener_starts_again_after_a_stop(self, serve: Callable[..., WinRM]) -> None:
        winrm = serve()
        winrm.stop()
        winrm.start()
        with open_pool(winrm) as pool:
            assert run(pool).output == ["ready"]

    def test_closed_connections_leave_the_shells(self, winrm: WinRM) -> None:
        with open_pool(winrm) as pool:
            assert winrm.close_connections() == 1
            wait_until(lambda: winrm.connections == 0)
            assert len(winrm.shells) == 1
            pool.connection.transport.session = pool.connection.transport.encryption = None
            assert run(pool).output == ["ready"]


class TestCost:
    def test_idle_listeners_take_no_cpu(self, serve: Callable[..., WinRM]) -> None:
        listeners = [serve() for _ in range(20)]
        with open_pool(listeners[0]):
            before = time.process_time()
            time.sleep(0.3)
            assert time.process_time() - before < 0.05

    def test_fifty_calls_are_quick(self, winrm: WinRM) -> None:
        with open_pool(winrm) as pool:
            run(pool)
            before = time.process_time()
            for _ in range(50):
                run(pool)
            assert time.process_time() - before < 50 * 0.04
