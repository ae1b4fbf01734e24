"""The way to a server, step by step, and every section in a call of its own: measured, not judged.

Takes the steps that the exporter itself takes, with the same session and the same account, so that what works
here works there. Every logon passes the credential's gate: an account is never tried at one server after
another once it was refused.
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from typing import Final

from dhcp_failover_exporter.check.measurement import Asked, Measurement, Step
from dhcp_failover_exporter.config import ServerSettings, Settings
from dhcp_failover_exporter.engine.clock import SystemClock
from dhcp_failover_exporter.engine.gate import Gate
from dhcp_failover_exporter.errors import (
    AuthError,
    ContractError,
    PollError,
    QuotaError,
    SuspendedError,
    UnreachableError,
)
from dhcp_failover_exporter.failover import ClockOffset, Naming, Topology, clock_offset, topology
from dhcp_failover_exporter.session import Answer, PsrpSession
from dhcp_failover_exporter.snapshot import SECTIONS, Relationship, Section, Server, parse

FAILOVER_PORT: Final = 647
CONFIGURATION_SAMPLE: Final = 10
"""Scopes whose configuration is read: enough for rights and a time per scope, no burden on the server."""
_SERVERS_AT_ONCE: Final = 16
_NOT_WORTH_ASKING_ON: Final = (AuthError, SuspendedError, UnreachableError, QuotaError)

# Verification results of OpenSSL (x509_vfy.h): which mistake it is, because each has its own remedy.
_CERTIFICATE_FAILURES: Final[Mapping[int, str]] = {
    9: "not_yet_valid",
    10: "expired",
    18: "untrusted",
    19: "untrusted",
    20: "untrusted",
    21: "untrusted",
    62: "other_name",
    64: "other_name",
}
# PowerShell's word on a whole call: the function or the script is what was refused.
_CALL_FAILURES: Final[Mapping[str, str]] = {
    "CommandNotFoundException": "function_missing",
    "ScriptsNotAllowed": "scripts_refused",
}


def measure_all(settings: Settings, servers: tuple[ServerSettings, ...]) -> list[Measurement]:
    """Measure servers side by side; answers in their order."""
    naming = Naming(settings.servers, settings.aliases)
    gates = {server.credential.name: Gate(SystemClock()) for server in servers}
    with ThreadPoolExecutor(_SERVERS_AT_ONCE) as workers:
        return list(workers.map(lambda it: measure(it, naming, gates[it.credential.name]), servers))


def measure(server: ServerSettings, naming: Naming, gate: Gate) -> Measurement:
    """Measure one server, as far as one gets."""
    steps, certificate_seconds = _way(server)
    reached = Measurement(server, tuple(steps), server.auth, certificate_seconds)
    if steps[-1].failure:
        return reached
    session = PsrpSession(server, logon=lambda: gate.logon(server.credential, server.name))
    with closing(session):
        return _on_the_server(reached, session, naming)


# --- the way ----------------------------------------------------------------------------------------------


class _Failed(Exception):  # noqa: N818 - carries a step's failure to where steps are made
    def __init__(self, failure: str, detail: str, error_id: str | None = None) -> None:
        super().__init__(detail)
        self.failure, self.error_id = failure, error_id


def _step(name: str, take: Callable[[], str]) -> Step:
    started = time.monotonic()
    try:
        failure, detail, error_id = None, take(), None
    except _Failed as failed:
        failure, detail, error_id = failed.failure, str(failed), failed.error_id
    return Step(name, time.monotonic() - started, failure, detail, error_id)


def _way(server: ServerSettings) -> tuple[list[Step], float | None]:
    """Name, TCP and TLS, up to the first that fails; and how long the certificate is still valid."""
    steps: list[Step] = []
    valid: list[float] = []
    todo: list[tuple[str, Callable[[], str]]] = [
        ("name", lambda: _resolve(server)),
        ("tcp", lambda: _connect(server.address, server.port, server.timeout_seconds)),
    ]
    if server.scheme == "https":
        todo.append(("tls", lambda: _shake_hands(server, valid)))
    for name, take in todo:
        steps.append(_step(name, take))
        if steps[-1].failure:
            break
    return steps, valid[0] if valid else None


def _resolve(server: ServerSettings) -> str:
    try:
        found = socket.getaddrinfo(server.address, server.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _Failed("unresolved", error.strerror or "no such name") from None
    return ", ".join(dict.fromkeys(str(address[0]) for *_, address in found))


def _connect(host: str, port: int, seconds: float) -> str:
    try:
        socket.create_connection((host, port), seconds).close()
    except ConnectionRefusedError:
        raise _Failed("refused", "connection refused") from None
    except TimeoutError:
        raise _Failed("silent", f"no answer within {seconds:g} s") from None
    except OSError as error:
        raise _Failed("no_route", error.strerror or "no route") from None
    return f"port {port} is open"


def _shake_hands(server: ServerSettings, valid: list[float]) -> str:
    try:
        context = ssl.create_default_context(cafile=server.tls.ca_file)
    except (OSError, ssl.SSLError):
        raise _Failed("ca_file", f"{server.tls.ca_file} holds no certificates that can be read") from None
    try:
        with (
            socket.create_connection((server.address, server.port), server.timeout_seconds) as connection,
            context.wrap_socket(connection, server_hostname=server.name) as secured,
        ):
            return _certificate(secured, valid)
    except ssl.SSLCertVerificationError as refused:
        failure = _CERTIFICATE_FAILURES.get(refused.verify_code, "handshake")
        raise _Failed(failure, refused.verify_message) from None
    except TimeoutError:
        raise _Failed("silent", f"no answer within {server.timeout_seconds:g} s") from None
    except OSError as error:
        raise _Failed("handshake", getattr(error, "reason", None) or "the handshake was broken off") from None


def _certificate(secured: ssl.SSLSocket, valid: list[float]) -> str:
    expires = str((secured.getpeercert() or {}).get("notAfter", ""))
    if expires:
        valid.append(ssl.cert_time_to_seconds(expires) - time.time())
    return f"{secured.version()}, certificate valid until {expires}"


# --- on the server ----------------------------------------------------------------------------------------


def _on_the_server(reached: Measurement, session: PsrpSession, naming: Naming) -> Measurement:
    call = _Calls(session, reached.server.timeout_seconds)
    logon = _step("logon", lambda: _log_on(call, session))
    reached = replace(reached, steps=(*reached.steps, logon), auth=session.auth, asked=dict(call.asked))
    if logon.failure:
        return reached
    _ask_all(reached.server, call, naming)
    with suppress(PollError):
        reached = replace(reached, memory_megabytes=session.memory_megabytes())
    known = call.topology(naming, reached.server.name)
    return replace(
        reached,
        steps=(*reached.steps, *_failover_port(reached.server)),
        asked=dict(call.asked),
        topology=known,
        clock=call.clock,
    )


def _log_on(call: "_Calls", session: PsrpSession) -> str:
    """The first call logs on, opens a shell, brings the function there and runs it."""
    try:
        call.ask("server")
    except ContractError as error:
        name = error.error_id or ""
        failure = next((word for part, word in _CALL_FAILURES.items() if part in name), error.reason)
        raise _Failed(failure, str(error), error.error_id) from None
    except PollError as error:
        raise _Failed(error.reason, str(error)) from None
    return session.auth


def _ask_all(server: ServerSettings, call: "_Calls", naming: Naming) -> None:
    """Ask for each section that is switched on, the server's own again: now its timing tells the clock."""
    for name in SECTIONS:
        if name not in server.sections | {"server", "relationships"}:
            continue
        scopes = _sample(call.topology(naming, server.name)) if name == "configuration" else ()
        try:
            call.ask(name, scopes)
        except _NOT_WORTH_ASKING_ON:
            return
        except PollError:
            continue  # noted with the section


def _sample(known: Topology) -> tuple[str, ...]:
    return tuple(known.membership)[:CONFIGURATION_SAMPLE]


def _failover_port(server: ServerSettings) -> Iterator[Step]:
    """The failover port from here: information, since only the partner has to reach it."""
    if "ports" in server.sections:
        yield _step("647", lambda: _connect(server.address, FAILOVER_PORT, min(4.0, server.timeout_seconds)))


class _Calls:
    """Calls on one session, and what came of them."""

    def __init__(self, session: PsrpSession, timeout_seconds: float) -> None:
        self._session, self._timeout_seconds = session, timeout_seconds
        self.asked: dict[str, Asked] = {}
        self.clock: ClockOffset | None = None

    def ask(self, section: str, scopes: tuple[str, ...] = ()) -> None:
        """Ask for one section; a failure is noted as the section's and raised."""
        started = time.monotonic()
        try:
            answer = self._session.collect([section], scopes, timeout_seconds=self._timeout_seconds)
            read = parse(answer.documents, [section])[section]
        except PollError as error:
            self.asked[section] = Asked(Section.failed(section, error), time.monotonic() - started)
            raise
        seconds = time.monotonic() - started
        self.asked[section] = Asked(read, seconds, sum(map(len, answer.documents)), len(scopes))
        self.clock = _offset(answer, read) or self.clock

    def topology(self, naming: Naming, server: str) -> Topology:
        """The relationships that were read."""
        asked = self.asked.get("relationships")
        records = asked.section.records if asked else ()
        return topology((it for it in records if isinstance(it, Relationship)), naming, server)


def _offset(answer: Answer, section: Section) -> ClockOffset | None:
    server = next((record for record in section.records if isinstance(record, Server)), None)
    if answer.opened or server is None or server.utc_now is None or section.written is None:
        return None
    return clock_offset(answer.sent, server.utc_now, section.written, answer.received)
