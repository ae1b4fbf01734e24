"""Windows DHCP failover as Windows does it: two servers, what happens to them, and what their cmdlets answer.

    states, failover   the state machine of a relationship, on an injected clock
    addresses          pools, leases and clients of a scope, played against the relationship's history
    configuration      what administrators set; replication copies it
    server, network    what a server is and what can be done to it; who reaches whom
    events, errors     records as Windows writes them
    cmdlets            what a cmdlet answers, for an account
    pair               ready-made networks

The model knows nothing of PowerShell's remoting nor of who asks. It has no thread: reading or changing
anything first plays it up to the clock.
"""

from dhcp_failover_exporter.simulator.windows.addresses import Pool, Population, Statistics
from dhcp_failover_exporter.simulator.windows.configuration import (
    Exclusion,
    FirewallRule,
    Identity,
    Option,
    Policy,
    Reservation,
    Scope,
    scopes,
)
from dhcp_failover_exporter.simulator.windows.errors import (
    Category,
    CmdletError,
    access_denied,
    service_unavailable,
)
from dhcp_failover_exporter.simulator.windows.failover import Parameters, Relationship, Timing
from dhcp_failover_exporter.simulator.windows.network import Clock, Network, SystemClock
from dhcp_failover_exporter.simulator.windows.pair import (
    Pace,
    Pair,
    Setup,
    add_server,
    hot_standby,
    hub,
    load_balance,
    static_pair,
    unprotected,
)
from dhcp_failover_exporter.simulator.windows.server import Cost, DhcpServer, Oddities, Rights
from dhcp_failover_exporter.simulator.windows.states import State

__all__ = [
    "Category",
    "Clock",
    "CmdletError",
    "Cost",
    "DhcpServer",
    "Exclusion",
    "FirewallRule",
    "Identity",
    "Network",
    "Oddities",
    "Option",
    "Pace",
    "Pair",
    "Parameters",
    "Policy",
    "Pool",
    "Population",
    "Relationship",
    "Reservation",
    "Rights",
    "Scope",
    "Setup",
    "State",
    "Statistics",
    "SystemClock",
    "Timing",
    "access_denied",
    "add_server",
    "hot_standby",
    "hub",
    "load_balance",
    "scopes",
    "service_unavailable",
    "static_pair",
    "unprotected",
]
