"""A simulated WinRM host, certificates for it, and sessions on it."""

import datetime as dt
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dhcp_failover_exporter import config
from dhcp_failover_exporter.config import Credential, Intervals, ServerSettings
from dhcp_failover_exporter.session import PsrpSession
from dhcp_failover_exporter.simulator.wsman import Account, Caller, CommandError, Tls, WinRM

PASSWORD = "Gänse-7-fürs-Schloss"


@dataclass
class Machine:
    """Answers every command with what it was asked; `wait_seconds` and `error` spoil that."""

    documents: tuple[str, ...] = ('{"contract":1}',)
    wait_seconds: float = 0.0
    error: CommandError | None = None
    asked: list[Mapping[str, object]] = field(default_factory=list)

    def invoke(self, command: str, parameters: Mapping[str, object], caller: Caller) -> Iterator[str]:
        assert command == "Get-DhcpFailoverSnapshot"
        self.asked.append(dict(parameters))
        if self.wait_seconds:
            caller.stopped.wait(self.wait_seconds)
        if self.error:
            raise self.error
        yield from self.documents


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder."""

    folder: Path
    name: str

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}-ca.pem"

    def issue(self, name: str, *, address: str | None = None) -> tuple[Path, Path]:
        """Certificate and key for a name, signed by this authority."""
        ca = x509.load_pem_x509_certificate(self.file.read_bytes())
        signer = serialization.load_pem_private_key((self.folder / f"{self.name}-ca.key").read_bytes(), None)
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        if address:
            names.append(x509.IPAddress(ipaddress.ip_address(address)))
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(
            name, ca.subject, key.public_key(), x509.SubjectAlternativeName(names), signer
        )
        return _write(self.folder / f"{name}-by-{self.name}", certificate, key)


def _certificate(
    name: str, issuer: x509.Name | None, key: Any, extension: Any, signer: Any
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .sign(signer, hashes.SHA256())
    )


def _write(stem: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> tuple[Path, Path]:
    pem, key_file = stem.with_suffix(".pem"), stem.with_suffix(".key")
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return pem, key_file


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Authority]:
    def make(name: str) -> Authority:
        made = Authority(tmp_path_factory.mktemp(name), name)
        key = ec.generate_private_key(ec.SECP256R1())
        ca = _certificate(name, None, key.public_key(), x509.BasicConstraints(ca=True, path_length=0), key)
        _write(made.folder / f"{name}-ca", ca, key)
        return made

    return make


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def account() -> Account:
    return Account("LAB\\svc-monitor", PASSWORD, certificate="svc-monitor")


@pytest.fixture
def serve(machine: Machine, account: Account) -> Iterator[Callable[..., WinRM]]:
    """Start a host; options as `WinRM` takes them."""
    running: list[WinRM] = []

    def start(**options: Any) -> WinRM:
        host = WinRM(machine, options.pop("accounts", [account]), **options)
        host.start()
        running.append(host)
        return host

    yield start
    for host in running:
        host.faults.clear()
        host.stop()


@pytest.fixture
def winrm(serve: Callable[..., WinRM]) -> WinRM:
    """A host as it is by default: HTTP, Negotiate, messages encrypted."""
    return serve()


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n", encoding="utf-8")
    return path


@pytest.fixture
def settings(password_file: Path) -> Callable[..., ServerSettings]:
    """Settings for a host by its port; everything else can be overridden."""

    def make(port: int, **changes: Any) -> ServerSettings:
        credential = Credential(name="lab", username="LAB\\svc-monitor", password_file=password_file)
        values: dict[str, Any] = {
            "name": "dhcp01.lab.test",
            "address": "127.0.0.1",
            "scheme": "http",
            "auth": "ntlm",
            "credential": credential,
            "intervals": Intervals(state_seconds=15.0),
        }
        return ServerSettings(port=port, **{**values, **changes})

    return make


@dataclass
class Opened:
    """A session and what it reported."""

    session: PsrpSession
    reasons: list[str]
    closed: list[None]

    def collect(self, timeout_seconds: float = 5.0, **asked: Any) -> list[str]:
        return self.session.collect(["server"], timeout_seconds=timeout_seconds, **asked).documents


@pytest.fixture
def open_session(settings: Callable[..., ServerSettings]) -> Iterator[Callable[..., Opened]]:
    made: list[PsrpSession] = []

    def make(host: WinRM | int, *, logon: Any = None, **changes: Any) -> Opened:
        port = host if isinstance(host, int) else host.port
        reasons: list[str] = []
        closed: list[None] = []
        more = {"logon": logon} if logon else {}
        session = PsrpSession(settings(port, **changes), reasons.append, lambda: closed.append(None), **more)
        made.append(session)
        return Opened(session, reasons, closed)

    yield make
    for session in made:
        session.close()


@pytest.fixture
def https(authority: Callable[[str], Authority]) -> tuple[Tls, dict[str, Any]]:
    """A listener's certificate for the server's name, and the settings that trust it."""
    lab = authority("lab")
    return Tls(*lab.issue("dhcp01.lab.test")), {
        "scheme": "https",
        "auth": "ntlm",
        "tls": config.Tls(ca_file=lab.file),
    }


@pytest.fixture
def http_host(winrm: WinRM) -> tuple[WinRM, dict[str, Any]]:
    return winrm, {}


@pytest.fixture
def https_host(
    serve: Callable[..., WinRM], https: tuple[Tls, dict[str, Any]]
) -> tuple[WinRM, dict[str, Any]]:
    return serve(tls=https[0]), https[1]


@pytest.fixture
def listening() -> Iterator[Callable[[bytes], int]]:
    """Listen on a port, read what comes and answer every connection's every message with the same bytes."""
    sockets: list[socket.socket] = []

    def answer(connection: socket.socket, data: bytes) -> None:
        with connection, suppress(OSError):
            while connection.recv(65536):
                connection.sendall(data)

    def accept(server: socket.socket, data: bytes) -> None:
        with suppress(OSError):
            while True:
                connection = server.accept()[0]
                sockets.append(connection)
                threading.Thread(target=answer, args=(connection, data), daemon=True).start()

    def listen(data: bytes) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        sockets.append(server)
        threading.Thread(target=accept, args=(server, data), daemon=True).start()
        port: int = server.getsockname()[1]
        return port

    yield listen
    for sock in sockets:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


@pytest.fixture
def full() -> Iterator[int]:
    """A port whose queue is full, so that a connection is neither accepted nor refused."""
    with socket.socket() as server, ExitStack() as waiting:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port: int = server.getsockname()[1]
        for _ in range(3):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        yield port


@pytest.fixture
def in_thread() -> Iterator[Callable[..., Future[Any]]]:
    """Run something beside the test and give its future."""
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit
