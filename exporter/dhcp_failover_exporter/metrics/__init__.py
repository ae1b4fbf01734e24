"""The catalogue of all families, and records to samples."""

from dhcp_failover_exporter.metrics.catalogue import CATALOGUE, GROUPS, PREFIX, Family, Group, Kind
from dhcp_failover_exporter.metrics.polls import PollHealth, SectionHealth, health_samples
from dhcp_failover_exporter.metrics.sample import Sample
from dhcp_failover_exporter.metrics.sections import NEED_RELATIONSHIPS, View, dhcp_answers, samples

__all__ = [
    "CATALOGUE",
    "GROUPS",
    "NEED_RELATIONSHIPS",
    "PREFIX",
    "Family",
    "Group",
    "Kind",
    "PollHealth",
    "Sample",
    "SectionHealth",
    "View",
    "dhcp_answers",
    "health_samples",
    "samples",
]
