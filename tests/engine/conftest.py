"""The only fakes: a clock that moves when told to, and a session to a server that answers from memory."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from dhcp_failover_exporter.config import Credential, Intervals, ServerSettings, Settings
from dhcp_failover_exporter.engine import Engine, Hooks
from dhcp_failover_exporter.engine.gate import Gate
from dhcp_failover_exporter.engine.schedule import Agenda, Targets
from dhcp_failover_exporter.engine.telemetry import Telemetry
from dhcp_failover_exporter.engine.worker import Surroundings, Worker
from dhcp_failover_exporter.errors import AuthError, DeadlineError, PollError, UnreachableError
from dhcp_failover_exporter.exposition import join
from dhcp_failover_exporter.failover import Naming
from dhcp_failover_exporter.session import Answer

EPOCH = 1_700_000_000.0


class FakeClock:
    """Stands still until it is moved; `monotonic` starts at 0."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return EPOCH + self.seconds

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class FakeServer:
    """A DHCP server in memory; `seconds` says how long a section takes, `scope_seconds` how long per scope."""

    clock: FakeClock
    name: str = "dhcp01"
    password: str | None = None
    scopes: list[str] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=lambda: {"rel": "Normal"})
    reachable: bool = True
    events: list[tuple[int, list[str]]] = field(default_factory=list)
    changes: list[tuple[int, list[str]]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    scope_seconds: dict[str, float] = field(default_factory=dict)
    refused_sections: set[str] = field(default_factory=set)
    fault: PollError | None = None
    faults: dict[str, PollError] = field(default_factory=dict)
    calls: list[tuple[float, tuple[str, ...], int | None]] = field(default_factory=list)
    after_events: list[int | None] = field(default_factory=list)
    logons: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    overhead_seconds: float = 0.0
    clock_offset: float = 0.0
    restarts: int = 0
    opened: int = 0
    closed: int = 0
    renewals: int = 0
    hang: threading.Event | None = None
    deaf: bool = False
    entered: threading.Event = field(default_factory=threading.Event)

    def times(self, section: str) -> list[float]:
        """When the section was asked for."""
        return [at for at, sections, _ in self.calls if section in sections]

    def slices(self, section: str) -> list[int | None]:
        """How many scopes each call named; None for the whole section."""
        return [count for _, sections, count in self.calls if section in sections]


class FakeSession:
    """The session port over a `FakeServer`: logs on at the first call and after each failure."""

    auth = "ntlm"

    def __init__(self, server: FakeServer, settings: ServerSettings, hooks: Hooks) -> None:
        self.server, self.settings, self.hooks = server, settings, hooks
        self.logged_on = self.interrupted = False
        self.restarts = server.restarts

    def collect(
        self,
        sections: Sequence[str],
        scopes: Sequence[str] = (),
        after_event: int | None = None,
        *,
        timeout_seconds: float,
    ) -> Answer:
        server = self.server
        opened = not self.logged_on or self.restarts != server.restarts
        if opened:
            self._log_on()
        server.calls.append((server.clock.seconds, tuple(sections), len(scopes) or None))
        server.after_events.append(after_event)
        server.entered.set()
        if server.hang:
            server.hang.wait(60)
        if self.interrupted:
            raise UnreachableError(f"{server.name}: the session is being closed")
        fault = server.fault or next(
            (server.faults[name] for name in sections if name in server.faults), None
        )
        seconds = {name: self._seconds(name, scopes) for name in sections}
        if fault or sum(seconds.values()) > timeout_seconds:
            self.logged_on = False
            server.clock.advance(
                timeout_seconds if fault is None or isinstance(fault, DeadlineError) else 0.0
            )
            raise fault or DeadlineError(f"{server.name}: no whole answer before the deadline")
        sent = server.clock.now()
        server.clock.advance(sum(seconds.values()) + server.overhead_seconds)
        documents = [self._document(name, scopes, seconds[name]) for name in sections]
        return Answer(documents, sent, server.clock.now(), opened)

    def renew(self) -> None:
        self.server.renewals += 1

    def interrupt(self) -> None:
        self.interrupted = True
        if self.server.hang and not self.server.deaf:
            self.server.hang.set()

    def close(self) -> None:
        if self.logged_on:
            self.server.closed += 1
            self.hooks.closed()
        self.logged_on = False

    def _log_on(self) -> None:
        server = self.server
        with self.hooks.logon():
            server.logons.append(server.clock.seconds)
            if server.password is not None and self.settings.credential.secret() != server.password:
                server.refusals.append(server.clock.seconds)
                raise AuthError(f"{server.name}: the logon was refused")
        self.logged_on, self.restarts = True, server.restarts
        server.opened += 1
        self.hooks.opened("first")

    def _utc(self) -> str:
        return datetime.fromtimestamp(self.server.clock.now() + self.server.clock_offset, UTC).isoformat()

    def _seconds(self, name: str, scopes: Sequence[str]) -> float:
        count = len(scopes) or len(self.server.scopes)
        return self.server.seconds.get(name, 0.01) + count * self.server.scope_seconds.get(name, 0.0)

    def _document(self, name: str, scopes: Sequence[str], seconds: float) -> str:
        envelope = {
            "contract": 1,
            "section": name,
            "part": 1,
            "parts": 1,
            "elapsed": seconds,
            "utc": self._utc(),
        }
        if name in self.server.refused_sections:
            error = {"id": "WIN32 5,Get-Something", "category": "PermissionDenied", "message": "denied"}
            return json.dumps({**envelope, "error": error})
        return json.dumps({**envelope, "data": self._data(name, scopes), "errors": []})

    def _data(self, name: str, scopes: Sequence[str]) -> Any:
        server = self.server
        chosen = scopes or server.scopes
        return {
            "server": {"ComputerName": server.name, "PSVersion": "5.1", "UtcNow": self._utc()},
            "relationships": [
                {"Name": relationship, "PartnerServer": "dhcp02", "State": state, "ScopeId": server.scopes}
                for relationship, state in server.states.items()
            ],
            "ports": [{"PartnerServer": "dhcp02", "Reachable": server.reachable, "Port": 647}],
            "scopes": [{"ScopeId": scope, "State": "Active"} for scope in server.scopes],
            "statistics": [{"ScopeId": scope, "AddressesFree": 9} for scope in chosen],
            "configuration": [{"ScopeId": scope} for scope in chosen],
            "events": self._events() if name == "events" else None,
            "counters": {},
            "settings": {},
            "firewall": [],
        }[name]

    def _events(self) -> dict[str, Any]:
        after = self.server.after_events[-1] or 0
        return {
            "NewestRecordId": len(self.server.events),
            "OldestRecordId": 1,
            "More": False,
            "Events": [it for it in _event_records(self.server.events) if it["RecordId"] > after],
            "Changes": _event_records(self.server.changes)[-50:],
        }


def _event_records(events: Sequence[tuple[int, list[str]]]) -> list[dict[str, Any]]:
    return [
        {"RecordId": number, "Id": event, "TimeCreated": "2023-11-14T22:13:20Z", "Properties": inserts}
        for number, (event, inserts) in enumerate(events, 1)
    ]


class Stage:
    """Everything around the workers under test."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.registry = CollectorRegistry()
        self.servers: dict[str, FakeServer] = {}
        self.gate = Gate(self.clock)

    @cached_property
    def shared(self) -> Surroundings:
        """What workers share that no engine has made."""
        return Surroundings(self.open_session, self.clock, Telemetry(self.registry))

    def open_session(self, settings: ServerSettings, hooks: Hooks) -> FakeSession:
        return FakeSession(self.server(settings.name), settings, hooks)

    def server(self, name: str = "dhcp01", **changes: Any) -> FakeServer:
        if name not in self.servers:
            self.servers[name] = FakeServer(self.clock, name, **changes)
        return self.servers[name]

    @staticmethod
    def addresses(count: int) -> list[str]:
        return [f"10.{number // 250}.{number % 250}.0" for number in range(count)]

    @staticmethod
    def settings(name: str = "dhcp01", **changes: Any) -> ServerSettings:
        changes.setdefault("credential", Credential(name="lab", username="lab"))
        return ServerSettings(name=name, **changes)

    @staticmethod
    def intervals(**seconds: float) -> Intervals:
        return Intervals(**seconds)

    @staticmethod
    def targets(scopes: Sequence[str]) -> Targets:
        return Targets(scopes)

    def worker(
        self, name: str = "dhcp01", *, polling: bool = True, start: float = 0.0, **changes: Any
    ) -> Worker:
        self.server(name)
        settings = self.settings(name, **changes)
        agenda = Agenda(settings, start, polling=polling)
        return Worker(settings, Naming([settings]), self.gate, self.shared, agenda)

    def late_polls(self, seconds: float) -> float:
        """The share of state polls that started later than that after their time."""
        name = "dhcp_failover_exporter_poll_lateness_seconds"
        polls = self.registry.get_sample_value(f"{name}_count")
        on_time = self.registry.get_sample_value(f"{name}_bucket", {"le": str(seconds)})
        assert polls
        assert on_time is not None
        return 1 - on_time / polls

    def shown(self, worker: Worker) -> set[str]:
        """The sample lines of a scrape now."""
        exposition = join([worker.entry.publication], self.clock.monotonic()).decode()
        return {line for line in exposition.splitlines() if not line.startswith("#")}

    def engine(self, *servers: ServerSettings, polling: bool = True) -> Engine:
        settings = Settings(servers=servers, polling_enabled=polling)
        return Engine(settings, self.registry, self.open_session, self.clock, jitter=lambda _: 0.0)

    def run(self, *workers: Worker, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        """Let the workers step through so much time; calls of several share one clock, one after the other."""
        end = self.clock.seconds + seconds
        next_at = dict.fromkeys(workers, self.clock.seconds)
        while self.clock.seconds < end:
            worker = min(workers, key=lambda worker: next_at[worker])
            if next_at[worker] >= end:
                break
            self.clock.seconds = max(self.clock.seconds, next_at[worker])
            pause = worker.step()
            next_at[worker] = self.clock.seconds + pause
            each()
        self.clock.seconds = max(self.clock.seconds, end)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("wrong")
    return path
