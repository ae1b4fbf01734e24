"""One connection to one server, the logon that it carries, and the deadline that ends it.

Stands in for pypsrp's transport: everything that pypsrp sends goes through `Wire.send`. Knows sockets and
time, knows nothing of shells and pipelines.

Four habits of the libraries are undone here. pypsrp repeats a Receive five times after a read timeout:
here every message is sent once. urllib3 replaces a connection that the server has closed without a word:
here that is an error, because the new connection is not logged on and an encrypted message cannot be read
on it. Timeouts count from read to read, so that a peer which drips outlives them: here a timer shuts the
socket down. http.client takes an answer whose head was cut for one with fewer headers, so that half a logon
looks like a refused one: here it is a lost connection.

One thing cannot be bounded from here: libkrb5 while it waits for a KDC that swallows its questions.
"""

import functools
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO

from pypsrp.exceptions import WinRMTransportError
from pypsrp.negotiate import HTTPNegotiateAuth
from pypsrp.wsman import WSMan
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from dhcp_failover_exporter.config import ServerSettings
from dhcp_failover_exporter.errors import DeadlineError, UnreachableError
from dhcp_failover_exporter.session.faults import ConnectionGone, mapped
from dhcp_failover_exporter.session.logon import http_session

# WinRM sends its faults with this status, to clients that have logged on.
HTTP_SERVER_ERROR = 500

Guard = Callable[[], AbstractContextManager[object]]


class Wire:
    """pypsrp's way to one server; `wsman` is what shells are opened on.

    Owned by one thread; `interrupt` may be called from another.

    Args:
        settings: the server.
        guard: entered around every logon, left with AuthError if it was refused; whatever it raises itself
            forbids the logon.
    """

    def __init__(self, settings: ServerSettings, guard: Guard = nullcontext) -> None:
        self.server = settings.name
        self.auth: str = settings.auth
        self.logged_on = False
        self._settings = settings
        self._guard = guard
        self._guarded = False
        self._ends = 0.0
        self._interrupted = False
        self._connections: set[_Http] = set()
        # Reentrant: urllib3 may close a forgotten connection from the garbage collector, at any place.
        self._lock = threading.RLock()
        self.wsman = WSMan(
            settings.address,
            port=settings.port,
            ssl=settings.scheme == "https",
            auth=settings.auth,
            encryption="auto",
            no_proxy=True,
        )
        self._inner = self.wsman.transport
        self.endpoint = self._inner.endpoint
        self.wsman.transport = self  # type: ignore[assignment]  # the part of the interface that WSMan uses

    @property
    def expired(self) -> bool:
        """The deadline of the running call has passed."""
        return time.monotonic() >= self._ends

    def remaining(self) -> float:
        """Seconds left for the running call.

        Raises:
            DeadlineError: none are left.
            UnreachableError: the session is being closed.
        """
        if self._interrupted:
            raise UnreachableError(f"{self.server}: the session is being closed")
        if self.expired:
            raise DeadlineError(f"{self.server}: no whole answer before the deadline")
        return self._ends - time.monotonic()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Bound everything that is sent in the block; at its end of time the socket is shut down."""
        self._ends = time.monotonic() + seconds
        timer = threading.Timer(seconds, self._cut_if_due)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def send(
        self,
        message: bytes,
        *,
        retries_on_read_timeout: int = 0,  # noqa: ARG002 - pypsrp asks for five; the caller decides instead
        timeout: float | None = None,
    ) -> bytes:
        """Send one message, once, and return the answer's body; called by WSMan."""
        remaining = self.remaining()
        timeouts = (remaining, min(timeout or remaining, remaining))
        if self._inner.session is None:
            self._inner.session = http_session(self._settings, _Adapter(self))
        if self.logged_on:
            return self._inner.send(message, timeout=timeouts)
        with nullcontext() if self._guarded else self._guard():
            answer = self._log_on(message, timeouts)
        if isinstance(answer, WinRMTransportError):
            raise answer
        return answer

    @contextmanager
    def fresh_logon(self) -> Iterator[None]:
        """Let the block log on anew; where the guard forbids that, the old connection is still there."""
        with self._guard():
            self.reset()
            self._guarded = True
            try:
                yield
            finally:
                self._guarded = False

    def reset(self) -> None:
        """Drop the connection; the next message makes a new one and logs on."""
        self.close()
        self._inner.session = None
        self._inner.encryption = None
        self.logged_on = False

    def close(self) -> None:
        """Close the connection, also one that a library has lost sight of after an error."""
        self._inner.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.close()

    def interrupt(self) -> None:
        """End the running call now; `resume` allows the next one.

        While a name is resolved or a socket connects there is no connection to shut down: the call then ends
        as soon as that does, at its deadline at the latest, and sends nothing. Whoever waits for it must
        bound the wait.
        """
        self._interrupted = True
        self._cut()

    def resume(self) -> None:
        """Allow calls again after an interruption."""
        self._interrupted = False

    def connect(self, connection: "_Http", host: str) -> socket.socket:
        """Open a socket to the first address that answers, each with its share of the time that is left.

        Raises:
            ConnectionGone: the connection before was logged on, and this one would not be.
        """
        if self.logged_on:
            raise ConnectionGone
        addresses = _addresses(host, self.remaining())
        for left in range(len(addresses), 1, -1):
            with suppress(NewConnectionError, ConnectTimeoutError):
                return connection.connected_to(addresses[-left], self.remaining() / left)
        return connection.connected_to(addresses[-1], self.remaining())

    def connected(self, connection: "_Http") -> None:
        """Watch a new connection."""
        with self._lock:
            self._connections.add(connection)
        if self._interrupted or self.expired:
            self._cut()

    def disconnected(self, connection: "_Http") -> None:
        """Watch it no longer."""
        with self._lock:
            self._connections.discard(connection)
            connection.let_go()

    def _log_on(self, message: bytes, timeouts: tuple[float, float]) -> bytes | WinRMTransportError:
        """Send the message that carries the logon; a fault in the answer proves the credential as well."""
        answer: bytes | WinRMTransportError
        with mapped(self):
            try:
                answer = self._inner.send(message, timeout=timeouts)
            except WinRMTransportError as fault:
                if fault.code != HTTP_SERVER_ERROR:
                    raise
                answer = fault
        self.logged_on = True
        self.auth = self._negotiated()
        self._log_on_no_more()
        return answer

    def _log_on_no_more(self) -> None:
        """Let a 401 on this connection be a lost logon; the library would log on past the guard."""
        if self._inner.session and isinstance(self._inner.session.auth, HTTPNegotiateAuth):
            self._inner.session.auth = None

    def _cut_if_due(self) -> None:
        # A timer that was cancelled too late must not cut the next call short.
        if self.expired:
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            for connection in tuple(self._connections):
                connection.shut_down()

    def _negotiated(self) -> str:
        contexts = getattr(self._inner.session.auth, "contexts", {}) if self._inner.session else {}
        return next((c.negotiated_protocol for c in contexts.values() if c.negotiated_protocol), self.auth)


def _addresses(host: str, seconds: float) -> list[str]:
    """The addresses of a name, in the resolver's order. It knows no timeout, so a thread waits for it."""
    found: SimpleQueue[list[str] | OSError] = SimpleQueue()
    threading.Thread(target=_resolve, args=(host, found), daemon=True).start()
    try:
        result = found.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if isinstance(result, OSError):
        raise result
    return result


def _resolve(host: str, found: SimpleQueue[list[str] | OSError]) -> None:
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        found.put(error)
    else:
        found.put(list(dict.fromkeys(str(address[0]) for *_, address in infos)))


class _Head:
    """Lines of an HTTP head; one without its end was cut."""

    def __init__(self, lines: BinaryIO) -> None:
        self._lines = lines

    def readline(self, limit: int) -> bytes:
        line = self._lines.readline(limit)
        if not line.endswith(b"\n"):
            raise http.client.RemoteDisconnected("Remote end closed connection within the head")
        return line


class _Answer(http.client.HTTPResponse):
    """An HTTP answer whose head must be whole."""

    def begin(self) -> None:
        """Called by http.client: read the head."""
        stream = self.fp
        self.fp = _Head(stream)  # type: ignore[assignment]  # the head is read line by line
        try:
            super().begin()
        finally:
            self.fp = stream


class _Http(HTTPConnection):
    """A connection that its wire can shut down at any time, also while TLS shakes hands."""

    wire: Wire
    response_class = _Answer
    # A duplicate, because TLS takes the socket itself over.
    _handle: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        sock = self.wire.connect(self, self.host)
        self._handle = sock.dup()
        self.wire.connected(self)
        return sock

    def connected_to(self, address: str, seconds: float) -> socket.socket:
        """Open a socket to one address; the name stays what TLS verifies."""
        self.host, self.timeout = address, seconds
        return super()._new_conn()

    def shut_down(self) -> None:
        """End it for both sides; whoever reads from it sees the end."""
        if self._handle:
            with suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)

    def let_go(self) -> None:
        """Close the duplicate: as long as it is open, the other side does not see the end."""
        if self._handle:
            self._handle.close()
            self._handle = None

    def close(self) -> None:
        """Called by urllib3, and by the wire."""
        super().close()
        self.wire.disconnected(self)


class _Https(_Http, HTTPSConnection):
    """The same over TLS."""


class _Adapter(HTTPAdapter):
    """requests' way to one server: its own connections, verified against the server's name."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Called by requests: whatever the address, the certificate must be the configured name's."""
        super().init_poolmanager(*args, server_hostname=self._wire.server, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": functools.partial(_pool, self._wire, HTTPConnectionPool, _Http),
            "https": functools.partial(_pool, self._wire, HTTPSConnectionPool, _Https),
        }


def _pool(
    wire: Wire, kind: type[HTTPConnectionPool], connection: type[_Http], *args: Any, **kwargs: Any
) -> HTTPConnectionPool:
    def connect(*args: Any, **kwargs: Any) -> _Http:
        made = connection(*args, **kwargs)
        made.wire = wire
        return made

    pool = kind(*args, **kwargs)
    pool.ConnectionCls = connect  # type: ignore[assignment]  # urllib3 only calls it
    return pool
