"""The HTTP side: what Prometheus, a browser and an operator ask the exporter for."""
