"""The lab: simulated Windows servers behind real WinRM listeners on loopback, and how to configure for them.

Puts the rooms of the simulator together; what happens in them is decided there.
"""

import json
import secrets
import socket
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from dhcp_failover_exporter.simulator.collector import Collector
from dhcp_failover_exporter.simulator.control import ControlPage
from dhcp_failover_exporter.simulator.faults import FAULTS
from dhcp_failover_exporter.simulator.windows import (
    DhcpServer,
    Pace,
    Pair,
    Setup,
    hot_standby,
    load_balance,
    scopes,
    unprotected,
)
from dhcp_failover_exporter.simulator.wsman import Account, WinRM

DEMO_PACE = Pace(contact=5.0, silence=15.0, mclt=60.0, state_switch=60.0)
DEMO_INTERVALS = {"state": "5s", "pools": "15s", "checks": "30s", "audit": "1m"}


class Host:
    """One Windows server on the network: its DHCP role, its WinRM listener, the account that may ask."""

    def __init__(self, dhcp: DhcpServer, account: Account) -> None:
        self.dhcp: DhcpServer = dhcp
        self.account: Account = account
        self.winrm: WinRM = WinRM(Collector(dhcp), [account], computer_name=dhcp.identity.name.upper())
        self.broken: set[str] = set()

    @property
    def name(self) -> str:
        """Full name, as it goes into the configuration."""
        return self.dhcp.fqdn

    @property
    def partners(self) -> list[DhcpServer]:
        """The servers that it has a relationship with."""
        ends = (end for relationship, _ in self.dhcp.relationships() for end in relationship.ends)
        return list({end.server.fqdn: end.server for end in ends if end.server is not self.dhcp}.values())

    def states(self) -> list[tuple[str, str]]:
        """(relationship, state) as this server has them now."""
        with self.dhcp.network.moment():
            return [(relationship.name, end.state.value) for relationship, end in self.dhcp.relationships()]

    def break_(self, fault: str) -> None:
        """Make one of `FAULTS` happen; KeyError if there is none of that name."""
        FAULTS[fault].make(self)
        self.broken.add(fault)

    def mend(self, fault: str) -> None:
        """Undo `break_`."""
        FAULTS[fault].mend(self)
        self.broken.discard(fault)


class Lab:
    """Hosts on loopback, from `with` to its end.

    Args:
        pairs: what is simulated; None for the demo's two pairs.
        username, password: the one account that all servers know; no password makes one up.
        control: the socket that the control page listens on; None for a free port on loopback.
    """

    def __init__(
        self,
        pairs: Sequence[Pair] | None = None,
        *,
        username: str = "LAB\\svc-dhcp-monitor",
        password: str | None = None,
        control: socket.socket | None = None,
    ) -> None:
        self.account = Account(username, password or secrets.token_urlsafe(16))
        self.pairs = list(pairs) if pairs is not None else demo_pairs()
        self.hosts = {
            server.fqdn: Host(server, self.account) for pair in self.pairs for server in pair.network.servers
        }
        self._control = ControlPage(self.hosts, control)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            self.folder = Path(opening.enter_context(TemporaryDirectory(prefix="dhcp-failover-lab-")))
            self._write_password()
            for host in self.hosts.values():
                opening.enter_context(host.winrm)
            opening.enter_context(self._control)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def control_url(self) -> str:
        """Where a person breaks and mends the servers."""
        return self._control.url

    def configuration(
        self,
        *,
        hosts: Iterable[str] | None = None,
        intervals: dict[str, str] = DEMO_INTERVALS,
        timeout: str = "10s",
        sections: dict[str, bool] | None = None,
        **top: object,
    ) -> str:
        """The exporter's configuration file for these hosts (all by default); JSON, which is YAML too."""
        names = list(hosts if hosts is not None else self.hosts)
        return json.dumps(
            {
                "credentials": {
                    "lab": {"username": self.account.username, "password_file": str(self._password_file)}
                },
                "defaults": {
                    "credential": "lab",
                    "scheme": "http",
                    "address": "127.0.0.1",
                    "intervals": intervals,
                    "timeout": timeout,
                    "sections": sections or {},
                },
                "servers": [{"name": name, "port": self.hosts[name].winrm.port} for name in names],
                **top,
            },
            indent=2,
        )

    @property
    def _password_file(self) -> Path:
        return self.folder / "password"

    def _write_password(self) -> None:
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(self.account.password, encoding="utf-8")


def demo_pairs() -> list[Pair]:
    """A pair that shares its load and a pair with a standby, quick enough to watch."""
    setup = Setup(pace=DEMO_PACE)
    sharing = Pair.of(names=("dhcp01", "dhcp02"), subnet="10.0.1")
    floors = scopes(150, "10.16.0.0/24", name="Floor")
    sharing.relationships = [load_balance("dhcp01-dhcp02", *sharing.servers, floors, setup=setup)]
    unprotected(sharing.primary, scopes(2, "10.31.0.0/24", name="Lab"))
    standing_by = Pair.of(names=("dhcp03", "dhcp04"), subnet="10.0.2")
    branches = scopes(100, "10.40.0.0/24", name="Branch")
    standing_by.relationships = [hot_standby("dhcp03-dhcp04", *standing_by.servers, branches, setup=setup)]
    pairs = [sharing, standing_by]
    for relationship in (it for pair in pairs for it in pair.relationships):
        for end in relationship.ends:
            relationship.set_parameters(end, shared_secret="shared")  # noqa: S106 of a simulated pair
    return pairs
