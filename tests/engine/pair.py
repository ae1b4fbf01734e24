"""Two workers and a simulated pair, in process: the engine, the collector and Windows, without a network between."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from dhcp_failover_exporter.config import ServerSettings
from dhcp_failover_exporter.engine import Hooks
from dhcp_failover_exporter.engine.schedule import Agenda
from dhcp_failover_exporter.engine.worker import Surroundings, Worker
from dhcp_failover_exporter.exposition import join
from dhcp_failover_exporter.failover import Naming
from dhcp_failover_exporter.session import Answer
from dhcp_failover_exporter.simulator.collector import COMMAND, Collector
from dhcp_failover_exporter.simulator.windows import (
    DhcpServer,
    Pair,
    load_balance,
    scopes,
)

ACCOUNT = "LAB\\svc"
CALLER = SimpleNamespace(
    account=SimpleNamespace(username=ACCOUNT),
    endpoint=SimpleNamespace(language="FullLanguage"),
    shell_id="shell",
)


class InProcess:
    """The session port over a simulated server's collector; the calls that were made are kept."""

    auth = "ntlm"

    def __init__(self, server: DhcpServer, clock: Any) -> None:
        self.server, self.clock = server, clock
        self.calls: list[tuple[tuple[str, ...], tuple[str, ...]]] = []

    def collect(
        self,
        sections: Sequence[str],
        scopes: Sequence[str] = (),
        after_event: int | None = None,
        *,
        timeout_seconds: float,
    ) -> Answer:
        self.calls.append((tuple(sections), tuple(scopes)))
        parameters: dict[str, object] = {"Section": list(sections), "ScopeId": list(scopes)}
        if after_event is not None:
            parameters["AfterEvent"] = after_event
        sent = self.clock.now()
        documents = list(Collector(self.server, sleep=self.clock.advance).invoke(COMMAND, parameters, CALLER))
        assert self.clock.now() - sent < timeout_seconds
        return Answer(documents, sent, self.clock.now(), opened=False)

    def renew(self) -> None: ...

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


class Watched:
    """A pair and the workers that watch it: audited once at the start, then every hour."""

    def __init__(self, stage: Any) -> None:
        self.stage = stage
        self.pair = Pair.of(stage.clock)
        self.pair.relationships = [load_balance("HQ", *self.pair.servers, scopes(5, "10.16.0.0/24"))]
        self.sessions = {server.fqdn: InProcess(server, stage.clock) for server in self.pair.servers}
        shared = Surroundings(self._open, stage.clock, stage.shared.telemetry)
        settings = [stage.settings(server.fqdn) for server in self.pair.servers]
        self.workers = [
            Worker(each, Naming(settings), stage.gate, shared, Agenda(each, 0.0)) for each in settings
        ]

    def _open(self, settings: ServerSettings, _: Hooks) -> InProcess:
        return self.sessions[settings.name]

    def wait(self, seconds: float) -> None:
        self.stage.run(*self.workers, seconds=seconds)

    def shown(self, worker: Worker) -> list[str]:
        """The lines of the exposition about that worker's server."""
        return join([worker.entry.publication], self.stage.clock.monotonic()).decode().splitlines()

    def drifted(self) -> set[tuple[str, str]]:
        """Scope and part of which the partners show different fingerprints, or one of them none."""
        ours, theirs = (self._fingerprints(worker) for worker in self.workers)
        assert ours
        return {(scope, part) for scope, part, _ in ours ^ theirs}

    def _fingerprints(self, worker: Worker) -> set[tuple[str, str, str]]:
        return {
            (line.split('scope="')[1].split('"')[0], line.split('part="')[1].split('"')[0], line.split()[-1])
            for line in self.shown(worker)
            if line.startswith("dhcp_failover_scope_config_fingerprint{")
        }

    def audited(self, server: DhcpServer) -> list[tuple[str, ...]]:
        """The scopes of each configuration call since the last look; empty: all."""
        session = self.sessions[server.fqdn]
        calls, session.calls = session.calls, []
        return [scopes for sections, scopes in calls if sections == ("configuration",)]
