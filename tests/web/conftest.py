"""DHCP servers that answer from memory, a real engine over them, and the application on top.

The only fake is the session: contract documents, as the collector writes them.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from dhcp_failover_exporter import config
from dhcp_failover_exporter.engine import Engine, Hooks
from dhcp_failover_exporter.errors import PollError, UnreachableError
from dhcp_failover_exporter.session import Answer
from dhcp_failover_exporter.web import listener
from dhcp_failover_exporter.web.app import create_app
from dhcp_failover_exporter.web.own import OwnMetrics
from dhcp_failover_exporter.web.reload import Reload


@dataclass
class Machine:
    """One DHCP server; tests change its sections, or give it a fault, while it is polled."""

    name: str
    data: dict[str, Any]
    fault: PollError | None = None
    refused: dict[str, dict[str, str]] = field(default_factory=dict)
    silent: threading.Event = field(default_factory=threading.Event)
    polls: int = 0

    def __post_init__(self) -> None:
        self.silent.set()

    @property
    def relationship(self) -> Any:
        return self.data["relationships"][0]

    def answer(self, section: str) -> str:
        envelope = {"contract": 1, "section": section, "part": 1, "parts": 1, "elapsed": 0.01}
        if section in self.refused:
            return json.dumps({**envelope, "error": self.refused[section]})
        empty: Any = [] if section in ("ports", "scopes", "statistics", "firewall", "configuration") else {}
        return json.dumps({**envelope, "data": self.data.get(section, empty), "errors": []})


class MemorySession:
    """The session port over a `Machine`."""

    auth = "kerberos"

    def __init__(self, machine: Machine, hooks: Hooks) -> None:
        self.machine, self.hooks = machine, hooks
        self.open = False

    def collect(
        self,
        sections: Sequence[str],
        scopes: Sequence[str] = (),  # noqa: ARG002 the port's signature
        after_event: int | None = None,  # noqa: ARG002 the port's signature
        *,
        timeout_seconds: float,
    ) -> Answer:
        if "relationships" in sections:
            self.machine.polls += 1
        self.machine.silent.wait(timeout_seconds)
        if self.machine.fault:
            raise self.machine.fault
        if not self.open:
            self.open = True
            self.hooks.opened("first")
        now = time.time()
        return Answer([self.machine.answer(section) for section in sections], now, now, opened=False)

    def renew(self) -> None: ...

    def interrupt(self) -> None:
        self.machine.silent.set()

    def close(self) -> None:
        if self.open:
            self.open = False
            self.hooks.closed()


class Site:
    """Pairs of machines, the file that configures them, and everything of the exporter over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.machines: dict[str, Machine] = {}
        self.interval = "200ms"
        self.timeout = "5s"
        self.polling = True
        self.scope_metrics = "all"
        self.engine: Engine
        self.own = OwnMetrics()

    @property
    def file(self) -> Path:
        return self.folder / "exporter.yml"

    def pair(
        self,
        left: str = "dhcp01.lab.local",
        right: str = "dhcp02.lab.local",
        *,
        name: str = "lab-failover",
        states: tuple[str, str] = ("Normal", "Normal"),
        scopes: int = 3,
        scope_name: str = "office",
        used: int = 60,
    ) -> tuple[Machine, Machine]:
        """Two partners and their relationship; `used` of 200 addresses of each scope are in use."""
        subnets = [next(self._subnets) for _ in range(scopes)]
        shared = {
            "Name": name,
            "Mode": "LoadBalance",
            "PrimaryServerName": left,
            "SecondaryServerName": right,
            "LoadBalancePercent": 50,
            "MaxClientLeadTime": 3600,
            "AutoStateTransition": False,
            "EnableAuth": True,
            "ScopeId": subnets,
        }
        pools = {
            "scopes": [
                {"ScopeId": subnet, "SubnetMask": "255.255.255.0", "Name": scope_name, "State": "Active"}
                for subnet in subnets
            ],
            "statistics": [_statistics(subnet, used) for subnet in subnets],
        }
        both = []
        for here, there, state, kind in zip(
            (left, right), (right, left), states, ("PrimaryServer", "SecondaryServer"), strict=True
        ):
            machine = self.machines.setdefault(here, Machine(here, {"server": {"ComputerName": here}}))
            machine.data.setdefault("relationships", []).append(
                {**shared, "PartnerServer": there, "State": state, "ServerType": kind}
            )
            machine.data["ports"] = [
                {"PartnerServer": there, "Reachable": True, "Port": 647, "Seconds": 0.001}
            ]
            for section, records in pools.items():
                machine.data.setdefault(section, []).extend(map(dict, records))
            both.append(machine)
        return both[0], both[1]

    @property
    def _subnets(self) -> Iterator[str]:
        if not hasattr(self, "_unused_subnets"):
            self._unused_subnets = (f"10.{high}.{low}.0" for high in range(256) for low in range(256))
        return self._unused_subnets

    def write(self, **changes: Any) -> None:
        """The configuration of all machines, with secrets that must never be seen."""
        (self.folder / "password").write_text("hunter2-secret")
        self.file.write_text(
            yaml.safe_dump(
                {
                    "credentials": {"lab": {"username": "LAB\\svc", "password_file": "password"}},
                    "defaults": {
                        "credential": "lab",
                        "timeout": self.timeout,
                        "scope_metrics": self.scope_metrics,
                        "intervals": {"state": self.interval, "pools": self.interval},
                    },
                    "servers": [{"name": name} for name in self.machines],
                    "polling": {"enabled": self.polling},
                    **changes,
                }
            )
        )

    def app(self) -> Any:
        """The application over a running engine."""
        self.write()
        self.own.note_reload(successful=True)
        self.engine = Engine(
            config.load(self.file),
            self.own.registry,
            lambda settings, hooks: MemorySession(self.machines[settings.name], hooks),
            jitter=lambda _seconds: 0.0,
        )
        self.engine.start()
        return create_app(self.engine, self.own, Reload(self.file, self.engine, self.own))

    def close(self) -> None:
        for machine in self.machines.values():
            machine.silent.set()
        if hasattr(self, "engine"):
            self.engine.stop(5.0)


def _statistics(subnet: str, used: int) -> dict[str, Any]:
    free = 200 - used
    return {
        "ScopeId": subnet,
        "AddressesFree": free,
        "AddressesInUse": used,
        "PendingOffers": 0,
        "ReservedAddress": 2,
        "PercentageInUse": used / 2,
        "AddressesFreeOnThisServer": free // 2,
        "AddressesFreeOnPartnerServer": free - free // 2,
        "AddressesInUseOnThisServer": used // 2,
        "AddressesInUseOnPartnerServer": used - used // 2,
    }


def eventually(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """What the condition gives once it is true; it is looked at again and again until then."""
    ends = time.monotonic() + seconds
    while True:
        if result := condition():
            return result
        assert time.monotonic() < ends, f"not within {seconds} s: {condition}"
        time.sleep(0.01)


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Any]:
    return eventually


# 126 characters are as many as Windows lets a relationship's name have.
HOSTILE = "<script>document.title='owned'</script> \u202e\u200f\"quoted\" & 'ticks' ".ljust(126, "n")
assert len(HOSTILE) == 126


@pytest.fixture
def hostile() -> str:
    return HOSTILE


@pytest.fixture
def unreachable() -> PollError:
    return UnreachableError("no connection: Connection refused")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.fixture
def client_of() -> Iterator[Callable[[Site], TestClient]]:
    """Opens clients of sites once all of their servers were polled with all sections."""
    opened = []

    def open_client(site: Site) -> TestClient:
        client = TestClient(site.app(), base_url="http://exporter:9647")
        client.headers.pop("accept-encoding")
        client.__enter__()
        opened.append(client)
        if site.polling:
            answering = {name for name, machine in site.machines.items() if not machine.fault}
            eventually(site.engine.ready)
            eventually(
                lambda: all("statistics" in site.engine.entries()[name].sections for name in answering)
            )
        return client

    yield open_client
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """Serves an application on loopback, in a thread, as the real program does; gives its URL."""
    ends: list[Callable[[], None]] = []

    def start(app: Any) -> str:
        listening, loop = listener.listen("127.0.0.1:0"), asyncio.new_event_loop()
        stop = asyncio.Event()
        thread = threading.Thread(
            target=lambda: loop.run_until_complete(listener.serve(app, listening, stop.wait))
        )
        thread.start()

        def end() -> None:
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)
            loop.close()
            listening.close()

        ends.append(end)
        return listener.url_of(listening)

    yield start
    for end in ends:
        end()
