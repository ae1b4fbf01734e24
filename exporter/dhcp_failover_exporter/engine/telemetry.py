"""The engine's figures about itself, on the registry that it is given."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

OPENED_REASONS: Final = ("first", "renewed", "expired", "lost", "permission")


class Telemetry:
    """Sessions and lateness; every label value is there from the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge(
            "dhcp_failover_exporter_sessions_open",
            "Sessions (WinRM shells) that the exporter holds open on DHCP servers.",
            registry=registry,
        )
        self._opened = Counter(
            "dhcp_failover_exporter_sessions_opened_total",
            "Sessions opened, by why a new one was needed.",
            ["reason"],
            registry=registry,
        )
        self._lateness = Histogram(
            "dhcp_failover_exporter_poll_lateness_seconds",
            "How long after its time a state poll started.",
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
            registry=registry,
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
