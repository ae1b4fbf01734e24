"""What is known about a server's polls, and its samples: the families that are never left out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dhcp_failover_exporter import errors
from dhcp_failover_exporter.metrics.catalogue import GROUPS
from dhcp_failover_exporter.metrics.sample import Sample, one_hot, when_set
from dhcp_failover_exporter.snapshot import REASONS


@dataclass(frozen=True)
class SectionHealth:
    """One enabled section's collections so far.

    Args:
        interval_seconds: how often it is due.
        collected: whether it was collected at all; before that there is neither success nor failure.
        reason: why the last one left records out (`Section.reason`), None where it did not.
        duration_seconds: of the last one, as the server says; None before one was answered.
        succeeded: start of the last one that read everything (epoch seconds).
    """

    interval_seconds: float
    collected: bool = False
    reason: str | None = None
    duration_seconds: float | None = None
    succeeded: float | None = None


@dataclass(frozen=True)
class PollHealth:
    """What is known about a server's state polls, for the families that are never left out.

    Args:
        address: where the server is asked.
        auth: as negotiated, before the first logon as configured.
        credential: its name in the configuration.
        polls: state polls finished.
        failure: why the last one failed (`PollError.reason`), None where it was answered.
        failures: how many failed, by reason.
        answered: start of the last answered one, by the clock of `exposition.join`; None before it.
        fresh_seconds: from `answered` on the next one is overdue.
        sections: enabled sections by name.
    """

    address: str
    auth: str
    credential: str
    polls: int = 0
    failure: str | None = None
    failures: Mapping[str, int] = field(default_factory=dict)
    answered: float | None = None
    fresh_seconds: float = 0.0
    sections: Mapping[str, SectionHealth] = field(default_factory=dict)

    def overdue(self, now: float) -> bool:
        """Whether the last answer is too old to speak of the present."""
        return self.answered is not None and now - self.answered > self.fresh_seconds

    def up(self, now: float) -> bool:
        """Whether the last state poll was answered and the next is not overdue."""
        return self.failure is None and self.answered is not None and not self.overdue(now)


def health_samples(health: PollHealth, *, up: bool) -> Iterator[Sample]:
    """The families that are never left out; overdue without a failure counts as the reason timeout."""
    failure = None if up else health.failure or ("timeout" if health.answered is not None else None)
    yield from when_set("up", int(up))
    yield from when_set("target_info", 1, health.address, health.auth, health.credential)
    yield from when_set("polls_total", health.polls)
    yield from one_hot("poll_failed", failure, errors.REASONS)
    for reason in errors.REASONS:
        yield from when_set("poll_failures_total", health.failures.get(reason, 0), reason)
    for name, section in health.sections.items():
        # A worker that is stuck leaves its last success behind, and nothing that it read is shown any more.
        yield from _section_samples(name, section, fresh=up or name not in GROUPS["state"])


def _section_samples(name: str, section: SectionHealth, *, fresh: bool) -> Iterator[Sample]:
    yield from when_set("section_interval_seconds", section.interval_seconds, name)
    yield from when_set("section_timestamp_seconds", section.succeeded, name)
    if section.collected:
        yield from when_set("section_success", int(fresh and section.reason is None), name)
        yield from when_set("section_duration_seconds", section.duration_seconds, name)
        yield from one_hot("section_failed", section.reason, REASONS, name)
