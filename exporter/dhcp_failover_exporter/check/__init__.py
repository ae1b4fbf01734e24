"""`dhcp-failover-exporter check`: whether everything is there that watching needs, and what to do where not.

measurement    what was measured                    pure
measuring      the way to a server and its sections
finders        what is wrong with it                pure
rules          how bad that is, and the remedy      pure
anonymity      which words a report may hold        pure
presentation   table, JSON, anonymised report       pure
"""

from dhcp_failover_exporter.check.measurement import Measurement
from dhcp_failover_exporter.check.measuring import measure_all
from dhcp_failover_exporter.check.presentation import document, report, table
from dhcp_failover_exporter.check.rules import RULES, Finding, findings

__all__ = [
    "RULES",
    "Finding",
    "Measurement",
    "document",
    "findings",
    "is_fine",
    "measure_all",
    "report",
    "table",
]


def is_fine(found: list[Finding]) -> bool:
    """Whether nothing has to be done: notices are no reason to worry."""
    return all(finding.severity == "notice" for finding in found)
