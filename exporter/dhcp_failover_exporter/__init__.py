"""Prometheus exporter for Windows DHCP failover."""

from importlib.metadata import version

__version__ = version("dhcp-failover-exporter")
