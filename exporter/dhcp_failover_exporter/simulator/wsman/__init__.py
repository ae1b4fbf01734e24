"""A WinRM service that real clients can talk to: HTTP, logons with message encryption, WSMan, PSRP.

It behaves as Windows does in recorded exchanges (jborean93/pypsrp:tests/tests_pypsrp/responses) and as
MS-WSMV and MS-PSRP say, and can be broken at run time. What the commands do is the business of the `Machine`
behind it. It imports nothing of the exporter, or it could not contradict it.

    service       `WinRM`: start, stop, break, count
    conversation  HTTP status, logon and encryption on one connection
    operations    the WSMan actions                      soap     envelopes and faults
    shells        who owns which shell, ages, quotas     psrp     runspace pools and pipelines
    listener      HTTP on sockets                        logon    Negotiate, Basic, certificates
    faults        what can be wrong with the wire
    machine       `Machine`, `Account`, `Endpoint`, `Caller`, `CommandError`
"""

from dhcp_failover_exporter.simulator.wsman.faults import Faults
from dhcp_failover_exporter.simulator.wsman.listener import Tls
from dhcp_failover_exporter.simulator.wsman.machine import Account, Caller, CommandError, Endpoint, Machine
from dhcp_failover_exporter.simulator.wsman.service import WinRM
from dhcp_failover_exporter.simulator.wsman.shells import Quotas, Shell

__all__ = [
    "Account",
    "Caller",
    "CommandError",
    "Endpoint",
    "Faults",
    "Machine",
    "Quotas",
    "Shell",
    "Tls",
    "WinRM",
]
