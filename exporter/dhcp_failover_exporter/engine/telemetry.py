"""The engine's figures about itself, on the registry that it is given; their words are the catalogue's."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from dhcp_failover_exporter.metrics import CATALOGUE

OPENED_REASONS: Final = ("first", "renewed", "expired", "lost", "permission")

_SESSIONS_OPEN: Final = CATALOGUE["dhcp_failover_exporter_sessions_open"]
_SESSIONS_OPENED: Final = CATALOGUE["dhcp_failover_exporter_sessions_opened_total"]
_POLL_LATENESS: Final = CATALOGUE["dhcp_failover_exporter_poll_lateness_seconds"]
# The promise is a 99th percentile under one second.
_LATENESS_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Telemetry:
    """Sessions and lateness; every label value is there from the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge(_SESSIONS_OPEN.name, _SESSIONS_OPEN.help, registry=registry)
        self._opened = Counter(
            _SESSIONS_OPENED.name, _SESSIONS_OPENED.help, _SESSIONS_OPENED.labels, registry=registry
        )
        self._lateness = Histogram(
            _POLL_LATENESS.name, _POLL_LATENESS.help, registry=registry, buckets=_LATENESS_SECONDS
        )
        for reason in OPENED_REASONS:
            self._opened.labels(reason)

    def opened(self, reason: str) -> None:
        """A session was opened, for one of `OPENED_REASONS`."""
        self._opened.labels(reason).inc()
        self._open.inc()

    def closed(self) -> None:
        """A session is gone, closed or lost."""
        self._open.dec()

    def late(self, seconds: float) -> None:
        """A state poll started so long after its time."""
        self._lateness.observe(max(0.0, seconds))
