"""What `check` measured on the way to a server and on the server: shapes only, nothing is judged here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from dhcp_failover_exporter.config import DEFAULT_ENDPOINT, ServerSettings
from dhcp_failover_exporter.failover import ClockOffset, Topology
from dhcp_failover_exporter.snapshot import Section

R = TypeVar("R")


@dataclass(frozen=True)
class Step:
    """One step on the way: name, tcp, tls, logon, and 647 from the exporter.

    `failure` is a word of ours (the rules know them), None where the step succeeded; `detail` is what there
    is to say, of a success too; `error_id` PowerShell's FullyQualifiedErrorId, where one came.
    """

    name: str
    seconds: float
    failure: str | None = None
    detail: str = ""
    error_id: str | None = None


@dataclass(frozen=True)
class Asked:
    """One section, asked for in a call of its own.

    `seconds` is the whole call as the exporter saw it, `characters` what the server wrote, `scopes` for how
    many scopes (0: for all that there are).
    """

    section: Section
    seconds: float
    characters: int = 0
    scopes: int = 0


@dataclass(frozen=True)
class Measurement:
    """All that one server let us see. What was not reached is missing."""

    server: ServerSettings
    steps: tuple[Step, ...]
    auth: str
    certificate_seconds: float | None = None
    asked: Mapping[str, Asked] = field(default_factory=dict)
    topology: Topology = field(default_factory=Topology)
    clock: ClockOffset | None = None
    memory_megabytes: float | None = None

    @property
    def is_jea(self) -> bool:
        """Whether an endpoint of its own is used, which knows the function already."""
        return self.server.configuration_name != DEFAULT_ENDPOINT

    def step(self, name: str) -> Step | None:
        """The step of that name, if it was taken."""
        return next((step for step in self.steps if step.name == name), None)

    def record(self, section: str, kind: type[R]) -> R | None:
        """The first record of that kind, if the section was answered."""
        return next(iter(self.records(section, kind)), None)

    def records(self, section: str, kind: type[R]) -> list[R]:
        """All records of that kind; none where the section was not answered."""
        asked = self.asked.get(section)
        return [record for record in asked.section.records if isinstance(record, kind)] if asked else []
