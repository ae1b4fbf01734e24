"""The engine: one worker per server, polled by our own clock, and what is known of all servers at any moment.

    clock      where every moment comes from
    slices     how a long section is cut                        pure
    schedule   what to ask one server for next, and when        pure
    dossier    what is known about one server                   pure
    gate       when a credential may be tried
    worker     one server: session, agenda, dossier; no thread
    runner     a thread for a worker
    telemetry  the engine's figures about itself

Workers share nothing but the credential's gate. The board is made of their entries: each is frozen and
replaced by one assignment, so that readers wait for nobody and see the old one or the new one.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry

from dhcp_failover_exporter.config import ServerSettings, Settings
from dhcp_failover_exporter.engine.clock import Clock, SystemClock
from dhcp_failover_exporter.engine.dossier import Entry
from dhcp_failover_exporter.engine.gate import Gate
from dhcp_failover_exporter.engine.runner import Runner
from dhcp_failover_exporter.engine.schedule import Agenda
from dhcp_failover_exporter.engine.telemetry import Telemetry
from dhcp_failover_exporter.engine.worker import Hooks, OpenSession, Surroundings, Worker
from dhcp_failover_exporter.exposition import Publication
from dhcp_failover_exporter.failover import Naming
from dhcp_failover_exporter.session import PsrpSession, Session

__all__ = ["Clock", "Engine", "Entry", "Hooks", "OpenSession", "SystemClock"]

# Workers that start together are spread, because each logs on and opens a shell: so much for each of them, up
# to a quarter of a minute or an interval.
_START_SECONDS_PER_SERVER = 0.1
_LONGEST_START_SECONDS = 15.0


def open_psrp(settings: ServerSettings, hooks: Hooks) -> Session:
    """A session over WinRM."""
    return PsrpSession(settings, logon=hooks.logon, opened=hooks.opened, closed=hooks.closed)


def spread(seconds: float) -> float:
    """A moment within so many seconds."""
    return random.uniform(0.0, seconds)  # noqa: S311 - spreads load, guards nothing


@dataclass(frozen=True)
class _Fleet:
    """The settings in force and who carries them out; replaced together, so that nobody reads half of it."""

    settings: Settings
    runners: Mapping[str, Runner]


class Engine:
    """All workers. `start`, `reload` and `stop` belong to one thread, the rest to anybody.

    Args:
        settings: what to poll.
        registry: where the engine's figures about itself go.
        open_session: how a server is reached.
        clock: where every moment comes from.
        jitter: picks a moment within so many seconds, for the starts.
    """

    def __init__(
        self,
        settings: Settings,
        registry: CollectorRegistry,
        open_session: OpenSession = open_psrp,
        clock: Clock | None = None,
        jitter: Callable[[float], float] = spread,
    ) -> None:
        self._clock = clock or SystemClock()
        self._shared = Surroundings(open_session, self._clock, Telemetry(registry))
        self._jitter = jitter
        self._gates: dict[str, Gate] = {}
        self._started = self._ready = False
        self._leaving: list[Runner] = []
        self._fleet = _Fleet(settings, self._hire(settings, settings.servers))

    # --- what is known ------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._fleet.settings

    def entries(self) -> Mapping[str, Entry]:
        """The board, in the file's order; without polling only the servers that somebody asks for."""
        fleet = self._fleet
        return {
            name: runner.worker.entry
            for name, runner in fleet.runners.items()
            if fleet.settings.polling_enabled or runner.running
        }

    def publications(self) -> Mapping[str, Publication]:
        """What is shown of each server on the board."""
        return {name: entry.publication for name, entry in self.entries().items()}

    def ready(self) -> bool:
        """Whether every server was polled once, answered or not; from then on for good."""
        fleet = self._fleet
        polled = not fleet.settings.polling_enabled or all(
            runner.worker.polled for runner in fleet.runners.values()
        )
        self._ready = self._ready or polled
        return self._ready

    def probe(self, server: str) -> Future[Entry]:
        """The next state result of a server, woken up for it; nobody has to wait for it to come.

        Raises:
            KeyError: no such server in the configuration (letter case ignored).
        """
        fleet = self._fleet
        settings = fleet.settings.server(server)
        if settings is None:
            raise KeyError(server)
        return fleet.runners[settings.name].probe()

    # --- its life -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to poll, if the configuration says so."""
        self._started = True
        self._start(self._fleet.runners.values())

    def reload(self, settings: Settings) -> None:
        """Go over to new settings; servers whose own settings are the same keep their session and history."""
        before = self._fleet.runners
        kept = {
            server.name: before[server.name] for server in settings.servers if self._stays(server, settings)
        }
        new = self._hire(settings, [server for server in settings.servers if server.name not in kept])
        naming = Naming(settings.servers, settings.aliases)
        for runner in kept.values():
            runner.worker.rename(naming)
        everybody = {**kept, **new}
        self._fleet = _Fleet(settings, {server.name: everybody[server.name] for server in settings.servers})
        self._dismiss(before[name] for name in before.keys() - kept.keys())
        self._ask_gates_again()
        self._start(new.values())

    def stop(self, timeout_seconds: float) -> bool:
        """Close all sessions, all at once; False if some server was still busy when the time was over."""
        runners, ends = [*self._fleet.runners.values(), *self._leaving], time.monotonic() + timeout_seconds
        for runner in runners:
            runner.stop()
        busy = [runner for runner in runners if not runner.join(ends - time.monotonic())]
        for runner in busy:
            structlog.get_logger().warning("session left open", server=runner.worker.settings.name)
        return not busy

    # --- how ----------------------------------------------------------------------------------------------

    def _hire(self, settings: Settings, servers: Iterable[ServerSettings]) -> Mapping[str, Runner]:
        servers = list(servers)
        naming = Naming(settings.servers, settings.aliases)
        return {
            server.name: Runner(
                Worker(
                    server, naming, self._gate(server), self._shared, self._agenda(server, settings, servers)
                )
            )
            for server in servers
        }

    def _dismiss(self, runners: Iterable[Runner]) -> None:
        dismissed = list(runners)
        for runner in dismissed:
            runner.stop()
        self._leaving = [runner for runner in [*self._leaving, *dismissed] if runner.running]

    def _agenda(self, server: ServerSettings, settings: Settings, together: list[ServerSettings]) -> Agenda:
        longest = max(server.intervals.state_seconds, _LONGEST_START_SECONDS)
        seconds = min(longest, _START_SECONDS_PER_SERVER * len(together))
        first_due = self._clock.monotonic() + self._jitter(seconds)
        return Agenda(server, first_due, polling=settings.polling_enabled)

    def _gate(self, server: ServerSettings) -> Gate:
        """One gate per account, kept over reloads: no domain controller forgets a refusal over them."""
        account = server.credential.username or server.credential.name
        return self._gates.setdefault(account.lower(), Gate(self._clock))

    def _stays(self, server: ServerSettings, settings: Settings) -> bool:
        old = self._fleet.runners.get(server.name)
        same_polling = settings.polling_enabled == self.settings.polling_enabled
        return old is not None and same_polling and old.worker.settings == server

    def _ask_gates_again(self) -> None:
        for gate in self._gates.values():
            gate.ask_again()
        for runner in self._fleet.runners.values():
            runner.wake()

    def _start(self, runners: Iterable[Runner]) -> None:
        if self._started and self.settings.polling_enabled:
            for runner in runners:
                runner.start()
