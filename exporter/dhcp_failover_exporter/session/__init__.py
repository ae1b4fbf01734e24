"""The way to a DHCP server: a port that the engine knows, and its form over PSRP.

Nothing outside this package imports pypsrp, pyspnego or requests; nothing but `PollError` leaves it.
"""

from dhcp_failover_exporter.session.faults import mapped
from dhcp_failover_exporter.session.logon import kerberos_available, quiet_libraries
from dhcp_failover_exporter.session.port import Answer, Session
from dhcp_failover_exporter.session.psrp import PsrpSession

__all__ = ["Answer", "PsrpSession", "Session", "kerberos_available", "mapped", "quiet_libraries"]
