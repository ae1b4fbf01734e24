"""`dhcp-failover-exporter diff`: what differs between partners, and what replication would do.

Changes nothing: replication is the administrator's to start.

    comparison     two sides compared      pure
    reading        both sides, read side by side
    presentation   text and JSON           pure
"""

from dhcp_failover_exporter.diff.comparison import Comparison, compare, replications
from dhcp_failover_exporter.diff.presentation import document, text
from dhcp_failover_exporter.diff.reading import DiffError, diff

__all__ = ["Comparison", "DiffError", "compare", "diff", "document", "replications", "text"]
