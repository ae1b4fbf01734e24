"""HTTP on sockets: a thread per connection, kept alive, with the wire's faults applied.

Knows neither logons nor WSMan; h11 speaks the protocol. What a connection has to remember (its security
context) is the business of the `Handler` that is made for it.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import h11
from cryptography import x509
from cryptography.x509.oid import NameOID

from dhcp_failover_exporter.simulator.wsman.faults import Faults

_CHUNK_BYTES = 65_536
_BACKLOG = 128
_SENDING_SECONDS = 1.0


@dataclass(frozen=True)
class Tls:
    """The listener's certificate; with `client_ca_file` clients may present one of that authority."""

    certificate_file: Path
    key_file: Path
    client_ca_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return the server's context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate_file, self.key_file)
        if self.client_ca_file is not None:
            context.load_verify_locations(self.client_ca_file)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context


@dataclass(frozen=True)
class HttpRequest:
    """One request; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class HttpAnswer:
    """One answer; `action` says what it answers, for faults that are meant for one kind only."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    action: str = ""
    closes: bool = False


@dataclass(frozen=True)
class Peer:
    """Who is at the other end: its address and, over TLS, the common name of its certificate.

    `closed()` says whether this side has ended the connection.
    """

    address: str
    encrypted: bool
    closed: Callable[[], bool]
    common_name: str | None = field(default=None)


class Handler(Protocol):
    """Answers the requests of one connection, in order."""

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Return the answer to one request."""
        ...


class Listener:
    """A listening socket and its connections."""

    def __init__(
        self,
        address: tuple[str, int],
        tls: Tls | None,
        make_handler: Callable[[Peer], Handler],
        faults: Faults,
        idle_seconds: float,
    ) -> None:
        self._address = address
        self._tls = None if tls is None else tls.context()
        self._make_handler = make_handler
        self._faults = faults
        self._idle_seconds = idle_seconds
        self._socket: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._connections: set[_Connection] = set()
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        """The port it listens on, kept over close and open."""
        return self._address[1]

    @property
    def connections(self) -> int:
        """Number of connections."""
        with self._lock:
            return len(self._connections)

    def open(self) -> None:
        """Start to accept connections; the first call settles the port."""
        listening = socket.create_server(self._address, backlog=_BACKLOG)
        self._address = (self._address[0], listening.getsockname()[1])
        self._socket = listening
        name = f"WinRM listener {self.port}"
        self._accepting = threading.Thread(target=self._accept, args=(listening,), name=name, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Refuse new connections and end the ones that are open."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None
        if self._accepting is not None:
            self._accepting.join()
            self._accepting = None
        self.close_connections()

    def close_connections(self, *, idle_only: bool = False) -> int:
        """End connections, or those that wait for a request; return how many."""
        with self._lock:
            connections = tuple(self._connections)
        closed = sum(one.close_if_idle() if idle_only else one.close() for one in connections)
        self._faults.wake()
        return closed

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                accepted, address = listening.accept()
            except OSError:
                return
            connection = _Connection(accepted, address[0], self._faults)
            with self._lock:
                self._connections.add(connection)
            name = f"WinRM connection {self.port}"
            threading.Thread(target=self._serve, args=(connection,), name=name, daemon=True).start()

    def _serve(self, connection: "_Connection") -> None:
        try:
            peer = connection.start(self._tls, self._idle_seconds)
            connection.serve(self._make_handler(peer))
        except (OSError, h11.ProtocolError):
            pass  # the peer went away, or was sent away
        finally:
            connection.close()
            connection.release()
            with self._lock:
                self._connections.discard(connection)


class _Connection:
    """One TCP connection."""

    def __init__(self, accepted: socket.socket, address: str, faults: Faults) -> None:
        self._busy = False
        self._sending = threading.Lock()
        self._socket = accepted
        self._address = address
        self._faults = faults
        self._closed = threading.Event()
        self._http = h11.Connection(h11.SERVER)

    def start(self, tls: ssl.SSLContext | None, idle_seconds: float) -> Peer:
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(idle_seconds)
        if tls is None:
            return Peer(self._address, encrypted=False, closed=self._closed.is_set)
        encrypted = tls.wrap_socket(self._socket, server_side=True)
        self._socket = encrypted
        common_name = _common_name(encrypted)
        return Peer(self._address, encrypted=True, closed=self._closed.is_set, common_name=common_name)

    def serve(self, handler: Handler) -> None:
        while (request := self._read()) is not None:
            self._hold()
            self._write(handler.answer(request))
            if self._http.our_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    def close(self) -> bool:
        """End it for both sides; its own thread wakes up from whatever it waits for."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        return True

    def release(self) -> None:
        """Give the descriptor back: by its own thread, or that would wait on the next owner of the number."""
        self._socket.close()

    def close_if_idle(self) -> bool:
        """Close unless a request is in work; whoever has its answer whole may count on being idle."""
        if self._busy or not self._sending.acquire(timeout=_SENDING_SECONDS):
            return False
        try:
            return self.close()
        finally:
            self._sending.release()

    def _read(self) -> HttpRequest | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                data = self._socket.recv(_CHUNK_BYTES)
                self._busy = True
                self._http.receive_data(data)
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
                return HttpRequest(head.method.decode(), head.target.decode(), headers, bytes(body))
            else:
                return None

    def _hold(self) -> None:
        """Keep the request waiting, as the faults say; a peer that left meanwhile is not served."""
        delay, hang = self._faults.delay_seconds, self._faults.hang
        if delay:
            self._closed.wait(delay)
        if hang:
            self._faults.wait_while_hung(self._closed.is_set)
        if self._faults.drop or self._closed.is_set() or ((delay or hang) and self._has_left()):
            raise ConnectionAbortedError

    def _has_left(self) -> bool:
        timeout = self._socket.gettimeout()
        self._socket.settimeout(0)
        try:
            early = self._socket.recv(_CHUNK_BYTES)
            self._http.receive_data(early)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        finally:
            self._socket.settimeout(timeout)
        return not early

    def _write(self, answer: HttpAnswer) -> None:
        headers = [
            ("Server", "Microsoft-HTTPAPI/2.0"),
            *answer.headers,
            ("Content-Length", str(len(answer.body))),
        ]
        if answer.closes:
            headers.append(("Connection", "close"))
        events = [
            h11.Response(status_code=answer.status, headers=headers),
            h11.Data(answer.body),
            h11.EndOfMessage(),
        ]
        data = b"".join(self._http.send(event) or b"" for event in events)
        cut = self._faults.take_cut(answer.action)
        if cut is not None:
            self._socket.sendall(data[: len(data) // 2 if cut.at is None else cut.at])
            raise ConnectionAbortedError
        with self._sending:
            self._busy = False
            self._send(data)

    def _send(self, data: bytes) -> None:
        sent = 0
        while (pause := self._faults.drip_seconds) and sent < len(data):
            self._socket.sendall(data[sent : sent + 1])
            sent += 1
            if self._closed.wait(pause):
                raise ConnectionAbortedError
        self._socket.sendall(data[sent:])


def _common_name(encrypted: ssl.SSLSocket) -> str | None:
    certificate = encrypted.getpeercert(binary_form=True)
    if not certificate:
        return None
    names = x509.load_der_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else None
