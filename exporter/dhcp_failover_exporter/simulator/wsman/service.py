"""WinRM: the listener with its shells, as one simulated Windows server has it.

`WinRM` is what tests and the demo hold: it starts and stops, breaks on request and counts.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from dhcp_failover_exporter.simulator.wsman.conversation import Conversation, Service
from dhcp_failover_exporter.simulator.wsman.faults import Faults
from dhcp_failover_exporter.simulator.wsman.listener import Handler, Listener, Peer, Tls
from dhcp_failover_exporter.simulator.wsman.logon import Authority
from dhcp_failover_exporter.simulator.wsman.machine import Account, Endpoint, Machine
from dhcp_failover_exporter.simulator.wsman.shells import Quotas, Shell, Shells


class WinRM:
    """A WinRM listener in front of a `Machine`.

    Args:
        machine: runs the commands.
        accounts: who may log on.
        endpoints: the session configurations.
        auth: schemes offered, of `negotiate`, `kerberos`, `basic` and `certificate` (the last with TLS).
        tls: serve HTTPS with this certificate; None serves HTTP with messages encrypted by the logon.
        host: address to listen on.
        port: port to listen on; 0 lets the system choose, `port` tells.
        allow_unencrypted: accept plain messages over HTTP, which Windows refuses by default.
        keytab: the service's Kerberos key; needs the gssapi package.
        quotas: the limits in force; assign `quotas` to change them.
        computer_name: as it appears in faults.
        idle_connection_seconds: when a connection without requests is closed, as http.sys does.
        gather_seconds: how long a Receive waits for more output after the first, so that a small answer comes
            with its end in one Receive, as recorded.
        clock: monotonic seconds, for the ages of shells.
    """

    def __init__(  # noqa: PLR0913 - the options of a WinRM service, all but three with Windows' defaults
        self,
        machine: Machine,
        accounts: Iterable[Account],
        endpoints: Iterable[Endpoint] = (Endpoint(),),
        *,
        auth: Sequence[str] = ("negotiate",),
        tls: Tls | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        allow_unencrypted: bool = False,
        keytab: Path | None = None,
        quotas: Quotas | None = None,
        computer_name: str = "WIN-SIMULATED",
        idle_connection_seconds: float = 120.0,
        gather_seconds: float = 0.25,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.faults = Faults()
        self._actions: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._authority = Authority(accounts, auth, keytab)
        self._shells = Shells(machine, quotas or Quotas(), gather_seconds, clock)
        self._service = Service(
            self._authority,
            self._shells,
            {endpoint.name.casefold(): endpoint for endpoint in endpoints},
            self.faults,
            allow_unencrypted,
            computer_name,
            self._count,
        )
        self._listener = Listener((host, port), tls, self._handler, self.faults, idle_connection_seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; returns when connections are accepted."""
        self._authority.open()
        self._listener.open()

    def stop(self) -> None:
        """Close the listener, every connection and every shell, and remove the secrets from disk."""
        self.go_down()
        self._authority.close()

    def go_down(self) -> None:
        """Lose the host: connections end, shells are gone, new connections are refused."""
        self._listener.close()
        self._shells.close()

    def come_back(self) -> None:
        """Bring the host back, on the same port."""
        self._listener.open()

    def restart(self, starting_seconds: float = 0.0) -> None:
        """Restart the service: shells gone, connections closed, HTTP 503 for `starting_seconds`."""
        if starting_seconds:
            self.faults.starting = True
            starting = threading.Timer(starting_seconds, self._started)
            starting.daemon = True
            starting.start()
        self._shells.close()
        self._listener.close_connections()

    def close_idle_connections(self) -> int:
        """Close the connections that wait for a request, as Windows does after a while; shells stay."""
        return self._listener.close_connections(idle_only=True)

    def close_connections(self) -> int:
        """Close every connection, in mid-answer too; shells stay."""
        return self._listener.close_connections()

    def replace_accounts(self, accounts: Iterable[Account]) -> None:
        """Change passwords and rights; they count from the next logon, as on Windows."""
        self._authority.replace(accounts)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._listener.port

    @property
    def quotas(self) -> Quotas:
        """The limits in force; assign a new object to change them."""
        return self._shells.quotas

    @quotas.setter
    def quotas(self, value: Quotas) -> None:
        self._shells.quotas = value

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts that exist now."""
        return self._authority.accounts

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return self._listener.connections

    @property
    def requests(self) -> int:
        """HTTP requests answered so far, the legs of logons included."""
        with self._lock:
            return self._actions.total()

    @property
    def actions(self) -> Mapping[str, int]:
        """The same by what they asked for: `Create`, `Command`, `Receive` ...; `Logon` for legs of logons."""
        with self._lock:
            return dict(self._actions)

    @property
    def logons(self) -> Mapping[str, int]:
        """Logons by account."""
        return dict(self._authority.logons)

    @property
    def refused_logons(self) -> Mapping[str, int]:
        """Refused logons by account, or by the name tried where there is no such account."""
        return dict(self._authority.refused)

    @property
    def shells(self) -> tuple[Shell, ...]:
        """The shells that are alive."""
        return self._shells.alive()

    @property
    def shells_opened(self) -> int:
        """Shells opened so far."""
        return self._shells.opened

    @property
    def most_shells(self) -> Mapping[str, int]:
        """Most shells at once, by account."""
        return dict(self._shells.most)

    @property
    def commands(self) -> int:
        """Commands started so far."""
        return self._shells.commands

    def _started(self) -> None:
        self.faults.starting = False

    def _handler(self, peer: Peer) -> Handler:
        return Conversation(self._service, peer)

    def _count(self, action: str) -> None:
        with self._lock:
            self._actions[action] += 1
