"""What can go wrong with a simulated server, by name: each fault is one way to break it and one to mend it.

For tests and for the demo's control page. What a fault then does is the business of the model and the wire.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from dhcp_failover_exporter.simulator.windows import Cost, Rights
from dhcp_failover_exporter.simulator.windows.configuration import FAILOVER_RULES
from dhcp_failover_exporter.simulator.wsman import Quotas

if TYPE_CHECKING:
    from dhcp_failover_exporter.simulator.lab import Host

CLOCK_APART_SECONDS = 90.0
SLOW_SECONDS = 2.0
DRIP_SECONDS = 0.2

# What the collector reads with; a right that is missing costs one of these.
_READING = (
    "Get-DhcpServerv4Failover",
    "Get-DhcpServerv4Scope",
    "Get-DhcpServerv4ScopeStatistics",
    "Get-DhcpServerSetting",
)


@dataclass(frozen=True)
class Fault:
    """`title` says what a person would see from outside; `mend` undoes `make`."""

    title: str
    make: Callable[["Host"], object]
    mend: Callable[["Host"], object]


def _block_port(host: "Host") -> None:
    for partner in host.partners:
        host.dhcp.network.block(partner, host.dhcp)


def _unblock_port(host: "Host") -> None:
    for partner in host.partners:
        host.dhcp.network.unblock(partner, host.dhcp)


def _power_off(host: "Host") -> None:
    host.dhcp.power_off()
    host.winrm.go_down()


def _power_on(host: "Host") -> None:
    host.dhcp.power_on()
    host.winrm.come_back()


def _deny(host: "Host") -> None:
    host.dhcp.grant(host.account.username, Rights(denied=frozenset(_READING)))


def _allow(host: "Host") -> None:
    host.dhcp.grant(host.account.username, Rights())


def _change_password(host: "Host") -> None:
    host.winrm.replace_accounts([replace(host.account, password=f"not {host.account.password}")])
    host.winrm.close_connections()


def _restore_password(host: "Host") -> None:
    host.winrm.replace_accounts([host.account])


def _slow_down(host: "Host") -> None:
    host.dhcp.costs |= dict.fromkeys(_READING, Cost(SLOW_SECONDS))


def _speed_up(host: "Host") -> None:
    for cmdlet in _READING:
        host.dhcp.costs.pop(cmdlet, None)


def _wire(**faults: object) -> Callable[["Host"], None]:
    def assign(host: "Host") -> None:
        for name, value in faults.items():
            setattr(host.winrm.faults, name, value)

    return assign


def _fill_quota(host: "Host") -> None:
    host.winrm.quotas = Quotas(max_shells_per_user=0)
    host.winrm.restart()


def _restore_quota(host: "Host") -> None:
    host.winrm.quotas = Quotas()


def _force_partner_down(host: "Host") -> None:
    for relationship, _ in host.dhcp.relationships():
        host.dhcp.force_partner_down(relationship.name)


def _nothing(_: "Host") -> None:
    """What an order did cannot be undone by taking the order back: the pair finds its own way."""


FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "port_blocked": Fault("TCP 647 into this server is dropped", _block_port, _unblock_port),
        "firewall_rule_off": Fault(
            "the firewall rule for TCP 647 is disabled",
            lambda host: host.dhcp.set_firewall_rule(FAILOVER_RULES[0], enabled=False),
            lambda host: host.dhcp.set_firewall_rule(FAILOVER_RULES[0], enabled=True),
        ),
        "host_down": Fault("the host is down", _power_off, _power_on),
        "service_stopped": Fault(
            "the DHCP service is stopped",
            lambda host: host.dhcp.stop_service(),
            lambda host: host.dhcp.start_service(),
        ),
        "partner_down_forced": Fault(
            "PartnerDown is forced here, whatever the partner does", _force_partner_down, _nothing
        ),
        "clock_apart": Fault(
            f"the clock is {CLOCK_APART_SECONDS:.0f} s ahead",
            lambda host: host.dhcp.set_clock(CLOCK_APART_SECONDS),
            lambda host: host.dhcp.set_clock(0.0),
        ),
        "access_denied": Fault("the account may not read", _deny, _allow),
        "wrong_password": Fault("the account's password was changed", _change_password, _restore_password),
        "not_authorized": Fault(
            "the server is not authorised in Active Directory",
            lambda host: host.dhcp.set_authorized(authorized=False),
            lambda host: host.dhcp.set_authorized(authorized=True),
        ),
        "slow": Fault(f"every cmdlet takes {SLOW_SECONDS:.0f} s longer", _slow_down, _speed_up),
        "hung": Fault("WinRM accepts connections and never answers", _wire(hang=True), _wire(hang=False)),
        "dropping": Fault(
            "WinRM closes connections instead of answering", _wire(drop=True), _wire(drop=False)
        ),
        "dripping": Fault(
            "WinRM answers a byte at a time", _wire(drip_seconds=DRIP_SECONDS), _wire(drip_seconds=0.0)
        ),
        "quota_reached": Fault("no more shells for the account", _fill_quota, _restore_quota),
    }
)
