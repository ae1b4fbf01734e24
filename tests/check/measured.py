"""Measurements made up for rules and report: what one server would have let us see."""

from pathlib import Path

from dhcp_failover_exporter.check import Measurement
from dhcp_failover_exporter.check.measurement import Asked
from dhcp_failover_exporter.config import Credential, ServerSettings
from dhcp_failover_exporter.failover import Naming, topology
from dhcp_failover_exporter.snapshot import Relationship, Section

LAB = Credential(name="lab", username="svc", password_file=Path("/dev/null"))


def server(name: str = "dhcp01", **options: object) -> ServerSettings:
    return ServerSettings(name=name, credential=LAB, **options)  # type: ignore[arg-type]  # as ServerSettings takes them


def measured(
    name: str = "dhcp01",
    *sections: Section,
    partner: str = "dhcp02",
    server_type: str = "SecondaryServer",
    **what: object,
) -> Measurement:
    """A server with a relationship of two scopes, that answered these sections."""
    relationship = Relationship("fo", partner, "Normal", ("10.0.0.0", "10.0.1.0"), server_type=server_type)
    known = topology([relationship], Naming([server("dhcp01"), server("dhcp02")]), name)
    asked = {section.name: Asked(section, 0.1, 1000) for section in sections}
    fields: dict[str, object] = {"steps": (), "auth": "ntlm", "asked": asked, "topology": known, **what}
    return Measurement(server(name), **fields)  # type: ignore[arg-type]  # as Measurement takes them
