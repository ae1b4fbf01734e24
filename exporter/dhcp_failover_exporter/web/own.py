"""The exporter's metrics about itself: its build, its process, its configuration, its clock.

prometheus_client keeps and renders them; the engine registers its own with the same registry. What servers
say is no business of this module: that text is rendered elsewhere and only joined with this one.
"""

import platform
import time
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge, GCCollector, Info, PlatformCollector, ProcessCollector
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_text

from dhcp_failover_exporter import __version__

PREFIX: Final = "dhcp_failover_exporter"


class OwnMetrics:
    """The registry of the exporter's own families, and the two of them that a reload sets."""

    def __init__(self) -> None:
        # A registry of our own, so that nothing which a library registers by being imported is served.
        self.registry = CollectorRegistry()
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's gap
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._describe_build()
        self._last_reload_successful = self._gauge(
            "config_last_reload_successful", "1 while the last attempt to load the configuration succeeded."
        )
        self._last_reload_success = self._gauge(
            "config_last_reload_success_timestamp_seconds", "When the configuration in force was loaded."
        )
        self._gauge("time_seconds", "The exporter's clock, to compare with Prometheus' own.").set_function(
            time.time
        )

    def note_reload(self, *, successful: bool) -> None:
        """A configuration was loaded, or refused."""
        self._last_reload_successful.set(successful)
        if successful:
            self._last_reload_success.set_to_current_time()

    def render(self, *, openmetrics: bool) -> bytes:
        """All of it as text of that format."""
        if openmetrics:
            return bytes(openmetrics_text(self.registry))  # type: ignore[no-untyped-call]  # the library's gap
        return prometheus_client.generate_latest(self.registry)

    def _describe_build(self) -> None:
        build = Info(f"{PREFIX}_build", "The running exporter.", registry=self.registry)
        build.info({"version": __version__, "python_version": platform.python_version()})

    def _gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", documentation, registry=self.registry)
