"""Where the dashboards come from: `python -m dashboards.source` writes `dashboards/*.json`.

What lives here: three dashboards as plain dictionaries, and the PromQL they share. The JSON files are what
Grafana reads; a test compares them with this source, byte by byte.
"""
