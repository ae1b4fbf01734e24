"""The servers that can reach each other: one clock, one lock, and what of TCP 647 gets through.

Nothing happens here by itself: whoever reads or changes something first plays the model up to the clock.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dhcp_failover_exporter.simulator.windows.failover import Relationship
    from dhcp_failover_exporter.simulator.windows.server import DhcpServer

FAILOVER_PORT = 647
_CONNECT_SECONDS = 0.002
_REFUSED_SECONDS = 1.5
_SILENCE_SECONDS = 21.0


class Clock(Protocol):
    """True time."""

    def now(self) -> float:
        """Seconds since 1970."""
        ...


class SystemClock:
    """The machine's own."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()


@dataclass(frozen=True)
class Connection:
    """What a bare connect to TCP 647 meets; `error` is Refused, TimedOut, NameNotFound or None."""

    seconds: float
    error: str | None


class Network:
    """Servers and relationships; `moment()` locks them and plays them up to now."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.servers: list[DhcpServer] = []
        self.relationships: list[Relationship] = []
        self._lock = threading.RLock()
        self._blocked: dict[tuple[DhcpServer, DhcpServer], bool] = {}

    @contextmanager
    def moment(self) -> Iterator[float]:
        """Hold everything still at now, with everything due until now done."""
        with self._lock:
            now = self.clock.now()
            for relationship in self.relationships:
                relationship.advance(now)
            yield now

    def server(self, name: str) -> "DhcpServer | None":
        """The server to which name resolution leads from `name`."""
        return next((server for server in self.servers if server.identity.answers_to(name)), None)

    # What gets through to TCP 647

    def block(self, source: "DhcpServer", destination: "DhcpServer", *, silently: bool = True) -> None:
        """A filter on the way drops (or, not silently, resets) what goes to the destination's TCP 647."""
        with self.moment():
            self._blocked[source, destination] = silently
            self.path_changed(destination, silently=silently)

    def unblock(self, source: "DhcpServer", destination: "DhcpServer") -> None:
        """The filter is gone."""
        with self.moment():
            self._blocked.pop((source, destination), None)
            self.path_changed(destination, silently=True)

    def path_open(self, source: "DhcpServer", destination: "DhcpServer") -> bool:
        """Whether packets to the destination's TCP 647 arrive."""
        hosts_up = source.host_up and destination.host_up
        return hosts_up and (source, destination) not in self._blocked and destination.admits(FAILOVER_PORT)

    def path_changed(self, destination: "DhcpServer", *, silently: bool) -> None:
        """Tell the relationships whose secondary this is; the caller holds the moment."""
        for relationship in self.relationships:
            if relationship.secondary.server is destination:
                relationship.path_changed(silently=silently)

    def connect(self, source: "DhcpServer", address: str) -> Connection:
        """A bare connect from `source` to TCP 647 of `address`."""
        with self.moment():
            destination = self.server(address)
            if destination is None:
                is_address = address.replace(".", "").isdigit()
                return (
                    Connection(_SILENCE_SECONDS, "TimedOut") if is_address else Connection(0, "NameNotFound")
                )
            if self._blocked.get((source, destination)) is False:
                return Connection(_REFUSED_SECONDS, "Refused")
            if not self.path_open(source, destination):
                return Connection(_SILENCE_SECONDS, "TimedOut")
            if not destination.serving:
                return Connection(_REFUSED_SECONDS, "Refused")
            return Connection(_CONNECT_SECONDS, None)
