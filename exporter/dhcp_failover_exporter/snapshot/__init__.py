"""The collector's answers as frozen records: contract JSON in, sections out.

What this package does not know: what a state means, who the partner is, how any of it is shown.
"""

from dhcp_failover_exporter.snapshot.documents import CONTRACT, parse
from dhcp_failover_exporter.snapshot.records import (
    Counters,
    Event,
    Events,
    FirewallRule,
    PortProbe,
    Record,
    Relationship,
    Scope,
    ScopeConfiguration,
    ScopeStatistics,
    Server,
    ServerOptions,
    ServerSetting,
)
from dhcp_failover_exporter.snapshot.sections import REASONS, SECTIONS, Section, SectionError, merge

__all__ = [
    "CONTRACT",
    "REASONS",
    "SECTIONS",
    "Counters",
    "Event",
    "Events",
    "FirewallRule",
    "PortProbe",
    "Record",
    "Relationship",
    "Scope",
    "ScopeConfiguration",
    "ScopeStatistics",
    "Section",
    "SectionError",
    "Server",
    "ServerOptions",
    "ServerSetting",
    "merge",
    "parse",
]
