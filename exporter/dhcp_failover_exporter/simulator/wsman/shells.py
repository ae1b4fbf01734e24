"""The shells of a WinRM service: whose they are, how old they are, and the quotas.

Knows no envelopes; refuses with `WsmanFault`.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dhcp_failover_exporter.simulator.wsman import soap
from dhcp_failover_exporter.simulator.wsman.machine import Account, Caller, Endpoint, Machine
from dhcp_failover_exporter.simulator.wsman.psrp import Pool

DEFAULT_IDLE_SECONDS = 7200.0
SMALLEST_IDLE_SECONDS = 60.0
# A shell whose client is silent for about a minute shows as Disconnected, and serves the next request all the
# same (jborean93/pypsrp:tests/tests_pypsrp/responses/test_psrp_is_alive_state_disconnected.yml).
_DISCONNECTED_SECONDS = 60.0


@dataclass(frozen=True)
class Quotas:
    """Windows' limits, by their names; values as on Server 2016 and later."""

    max_shells_per_user: int = 30
    max_concurrent_users: int = 10
    max_concurrent_operations_per_user: int = 1500
    max_concurrent_commands_per_shell: int = 1000


@dataclass(eq=False)
class Shell:
    """A shell: one process on Windows, one runspace pool here. Times are the service's clock."""

    shell_id: str
    account: Account
    endpoint: Endpoint
    client: str
    idle_seconds: float
    pool: Pool = field(repr=False)
    process_id: int
    opened_at: float
    used_at: float
    operations: int = 0

    def is_idle(self, now: float) -> bool:
        """Whether nobody used it for its idle timeout, so that Windows deletes it."""
        return not self.operations and now - self.used_at >= self.idle_seconds

    def state(self, now: float) -> str:
        """Return the state that a WSMan Get reports."""
        silent = not self.operations and now - self.used_at >= _DISCONNECTED_SECONDS
        return "Disconnected" if silent else "Connected"


class Shells:
    """The shells that are alive, and the counts that the quotas look at. Thread-safe.

    Idle shells are deleted when somebody next looks: nothing can tell the difference.
    """

    def __init__(
        self, machine: Machine, quotas: Quotas, gather_seconds: float, clock: Callable[[], float]
    ) -> None:
        self.quotas = quotas
        self.clock = clock
        self.era = 0
        self.opened = 0
        self.commands = 0
        self.most: Counter[str] = Counter()
        self._machine = machine
        self._gather_seconds = gather_seconds
        self._alive: dict[str, Shell] = {}
        self._operations: Counter[str] = Counter()
        self._lock = threading.RLock()

    def alive(self) -> tuple[Shell, ...]:
        """Return the shells that are alive."""
        with self._lock:
            now = self.clock()
            for shell in [shell for shell in self._alive.values() if shell.is_idle(now)]:
                self._remove(shell)
            return tuple(self._alive.values())

    def open(
        self, shell_id: str, account: Account, endpoint: Endpoint, client: str, idle_seconds: float, era: int
    ) -> Shell:
        """Open a shell for a connection of this era.

        Raises WsmanFault if a quota or the endpoint's access list forbids it, ConnectionAbortedError if
        the service was restarted since the connection began.
        """
        with self._lock:
            if era != self.era:
                raise ConnectionAbortedError
            self._admit(account, endpoint)
            caller = Caller(account, endpoint, shell_id, threading.Event())
            pool = Pool(self._machine, caller, self._gather_seconds)
            now = self.clock()
            shell = Shell(
                shell_id, account, endpoint, client, idle_seconds, pool, _process_id(self.opened), now, now
            )
            self._alive[shell_id] = shell
            self.opened += 1
            self.most[account.username] = max(self.most[account.username], self._owned(account))
            return shell

    def delete(self, shell: Shell) -> None:
        """End a shell and what runs in it."""
        with self._lock:
            self._remove(shell)

    def close(self) -> None:
        """End every shell; connections that are older than this open no more."""
        with self._lock:
            self.era += 1
            for shell in tuple(self._alive.values()):
                self._remove(shell)

    @contextmanager
    def operation(self, account: Account) -> Iterator[None]:
        """Count an operation of the account while it runs. Raises WsmanFault over the quota."""
        with self._lock:
            most = self.quotas.max_concurrent_operations_per_user
            commands = sum(one.pool.commands for one in self._alive.values() if _same(one.account, account))
            if self._operations[account.username] + commands >= most:
                raise soap.too_many_operations(most)
            self._operations[account.username] += 1
        try:
            yield
        finally:
            with self._lock:
                self._operations[account.username] -= 1

    @contextmanager
    def using(self, shell_id: str, account: Account) -> Iterator[Shell]:
        """Find a shell and keep it from being idle.

        Raises WsmanFault if it is unknown or another account's.
        """
        with self._lock:
            shell = self.find(shell_id, account)
            shell.operations += 1
        try:
            yield shell
        finally:
            with self._lock:
                shell.operations -= 1
                shell.used_at = self.clock()

    def find(self, shell_id: str, account: Account) -> Shell:
        """Return a shell without using it. Raises WsmanFault as `using` does."""
        shell = next((one for one in self.alive() if one.shell_id == shell_id), None)
        if shell is None:
            raise soap.unknown_shell()
        if not _same(shell.account, account):
            raise soap.access_denied()
        return shell

    def count_command(self, shell: Shell) -> None:
        """Count a command. Raises WsmanFault if the shell has too many."""
        with self._lock:
            if shell.pool.commands >= self.quotas.max_concurrent_commands_per_shell:
                raise soap.too_many_commands()
            self.commands += 1

    def _admit(self, account: Account, endpoint: Endpoint) -> None:
        if not account.may_use(endpoint.name):
            raise soap.access_denied()
        users = {shell.account.username.casefold() for shell in self.alive()} | {account.username.casefold()}
        if len(users) > self.quotas.max_concurrent_users:
            raise soap.too_many_users(self.quotas.max_concurrent_users)
        if self._owned(account) >= self.quotas.max_shells_per_user:
            raise soap.too_many_shells(self.quotas.max_shells_per_user)

    def _owned(self, account: Account) -> int:
        return sum(_same(shell.account, account) for shell in self._alive.values())

    def _remove(self, shell: Shell) -> None:
        self._alive.pop(shell.shell_id, None)
        shell.pool.close()


def _same(one: Account, other: Account) -> bool:
    return one.username.casefold() == other.username.casefold()


def _process_id(number: int) -> int:
    """Return the process id of a shell; Windows' are multiples of four."""
    return 4096 + 4 * number
