"""What is known about one server, from answer to answer, and the publication made of it.

Pure: answers and moments are handed in. What this file does not know: when anything is asked, and by whom.

Two kinds of moment: `started` comes from the clock that only goes forward and decides what is fresh; epoch
seconds are what is shown.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dhcp_failover_exporter.changes import ChangeLog, changed_scopes
from dhcp_failover_exporter.config import ServerSettings
from dhcp_failover_exporter.engine.schedule import Collected, Targets, interval_of, sections_of
from dhcp_failover_exporter.errors import PollError
from dhcp_failover_exporter.exposition import Publication, Published, blocks, fresh_seconds
from dhcp_failover_exporter.failover import (
    ClockOffset,
    History,
    Naming,
    StateChange,
    Topology,
    clock_offset,
    topology,
)
from dhcp_failover_exporter.metrics import (
    NEED_RELATIONSHIPS,
    PollHealth,
    SectionHealth,
    View,
    dhcp_answers,
    samples,
)
from dhcp_failover_exporter.snapshot import Events, PortProbe, Relationship, Scope, Section, Server, merge


@dataclass(frozen=True)
class Entry:
    """One server on the board: what is shown, and for people what it was made from.

    Args:
        publication: for the exposition.
        sections: the last answer of each section that could be read.
        topology: what the last relationships answer says.
        message: the text of the last poll's failure, None while it was answered.
        polled: when the last state poll started (epoch seconds), None before the first.
        history: since when each relationship is in its state.
        clock: the server's clock against ours, None where unknown.
    """

    publication: Publication
    sections: Mapping[str, Collected] = field(default_factory=dict)
    topology: Topology = field(default_factory=Topology)
    message: str | None = None
    polled: float | None = None
    history: History = field(default_factory=History)
    clock: ClockOffset | None = None


@dataclass(frozen=True)
class Timing:
    """The moments of one call: `started` by the forward clock, the others epoch seconds.

    `sent` and `received` are None where the call says nothing about clocks, as the first of a session.
    """

    started: float
    began: float
    sent: float | None = None
    received: float | None = None


class Dossier:
    """One server's history as far as it matters. Not thread-safe: its worker owns it."""

    def __init__(self, settings: ServerSettings, naming: Naming) -> None:
        self.naming = naming
        self._settings = settings
        self._latest: dict[str, Collected] = {}
        self._published: dict[str, Published] = {}
        self._message: str | None = None
        self._polled: float | None = None
        self._changes = ChangeLog()
        self._view = View(scope_metrics=settings.scope_metrics)
        self._health = PollHealth(
            address=settings.address,
            auth=settings.auth,
            credential=settings.credential.name,
            fresh_seconds=self._fresh_seconds("relationships"),
            sections={
                name: SectionHealth(interval_of(name, settings)) for name in sorted(sections_of(settings))
            },
        )

    # --- what it knows ------------------------------------------------------------------------------------

    @property
    def entry(self) -> Entry:
        """Everything, frozen."""
        publication = Publication(self._settings.name, self._health, dict(self._published))
        return Entry(
            publication,
            dict(self._latest),
            self._view.topology,
            self._message,
            self._polled,
            self._view.history,
            self._view.clock,
        )

    @property
    def watermark(self) -> int | None:
        """The newest event that was counted."""
        return self._view.event_log.watermark

    @property
    def failure(self) -> str | None:
        """Why the last state poll failed."""
        return self._health.failure

    def reason(self, section: str) -> str | None:
        """Why the last collection of a section left records out."""
        health = self._health.sections.get(section)
        return health.reason if health else None

    def targets(self) -> Mapping[str, Targets]:
        """The scopes that the sections about scopes are about."""
        members = tuple(self._view.topology.membership)
        scopes = tuple(it.scope_id for it in self._records("scopes") if isinstance(it, Scope))
        if self._settings.scope_metrics == "failover":
            known = "relationships" in self._latest
            return {"statistics": Targets(members, listed=known), "configuration": Targets(members)}
        return {"statistics": Targets(scopes), "configuration": Targets(members)}

    # --- what it hears ------------------------------------------------------------------------------------

    def poll_answered(
        self, collected: Iterable[Collected], timing: Timing, auth: str
    ) -> Sequence[StateChange]:
        """After a state poll: what changed since the last answer; of what was not seen before, nothing."""
        answers = {it.section.name: it for it in collected}
        self._count(timing, failure=None)
        self._health = replace(self._health, auth=auth, answered=timing.started)
        relationships = answers.get("relationships")
        changes = self._relate(relationships.section, timing) if relationships else ()
        self._view = replace(self._view, clock=self._clock(answers, timing))
        for answer in answers.values():
            self.collected(answer, timing.began)
        return changes

    def poll_failed(self, error: PollError, collected: Iterable[Collected], timing: Timing) -> None:
        """After a state poll that gave no usable answer."""
        self._count(timing, failure=error)
        failures = self._health.failures
        counts = {**failures, error.reason: failures.get(error.reason, 0) + 1}
        self._health = replace(self._health, failures=counts)
        for answer in collected:
            self.collected(answer, timing.began)

    def collected(self, answer: Collected, began: float) -> None:
        """A section is complete or failed; `began` is its start in epoch seconds."""
        section = answer.section
        if answer.scopes:
            self._correct(answer)
            return
        self._note(section, began)
        if section.failure is None:
            self._latest[section.name] = answer
            self._publish(section.name)

    def heard_events(self, events: Events) -> bool:
        """After the events section; True if there is more to read at once."""
        before = self._view.event_log
        servers = [it for it in self._records("server") if isinstance(it, Server)]
        computer = servers[0].computer_name if servers else None
        self._view = replace(
            self._view,
            event_log=before.read(events, self._view.topology),
            history=self._view.history.dated(events, self.naming, self._settings.name, computer),
        )
        self._render(["relationships"])
        after = self._view.event_log.watermark
        return bool(events.more) or (before.watermark is not None and (after or 0) < before.watermark)

    def heard_changes(self, events: Events) -> Collection[str]:
        """After the events section: the scopes in failover that were changed since the last one."""
        if events.changes is None:
            return ()
        unread = self._changes.unread(events.changes)
        self._changes = self._changes.read(events.changes)
        scopes = [it for it in self._records("scopes") if isinstance(it, Scope)]
        return changed_scopes(unread, self._view.topology.membership.keys(), scopes)

    def strangers(self) -> frozenset[str]:
        """Partners that are not configured: their side of a relationship stays unseen."""
        return frozenset(link.partner for link in self._view.topology.links if not link.partner_configured)

    def ports_differ(self, section: Section) -> bool:
        """Whether an answer reaches other partners than the last one did."""
        return "ports" in self._latest and _reached(section) != _reached(self._latest["ports"].section)

    # --- how -----------------------------------------------------------------------------------------------

    def _fresh_seconds(self, section: str) -> float:
        return fresh_seconds(interval_of(section, self._settings), self._settings.timeout_seconds)

    def _records(self, section: str) -> Collection[object]:
        return self._latest[section].section.records if section in self._latest else ()

    def _count(self, timing: Timing, failure: PollError | None) -> None:
        self._polled, self._message = timing.began, str(failure) if failure else None
        reason = failure.reason if failure else None
        self._health = replace(self._health, polls=self._health.polls + 1, failure=reason)

    def _relate(self, relationships: Section, timing: Timing) -> Sequence[StateChange]:
        self._view = replace(self._view, dhcp_answers=dhcp_answers(relationships))
        if relationships.failure:
            return ()
        records = [it for it in relationships.records if isinstance(it, Relationship)]
        complete = relationships.reason is None
        before = self._view.topology
        now = topology(records, self.naming, self._settings.name, complete=complete)
        changes = self._view.history.changes(now)
        self._view = replace(self._view, topology=now, history=self._view.history.observed(now, timing.began))
        if not now.same_members(before):
            self._render(NEED_RELATIONSHIPS)
        return changes

    def _clock(self, answers: Mapping[str, Collected], timing: Timing) -> ClockOffset | None:
        sections = [answer.section for answer in answers.values()]
        entered = next(
            (it.utc_now for section in sections for it in section.records if isinstance(it, Server)), None
        )
        written = max((section.written for section in sections if section.written is not None), default=None)
        if entered is None or written is None or timing.sent is None or timing.received is None:
            return None
        return clock_offset(timing.sent, entered, written, timing.received)

    def _note(self, section: Section, began: float) -> None:
        before = self._health.sections.get(section.name)
        if before is None:
            return
        unanswered = section.failure is not None and not section.elapsed_seconds
        after = replace(
            before,
            collected=True,
            reason=section.reason,
            duration_seconds=before.duration_seconds if unanswered else section.elapsed_seconds,
            succeeded=began if section.reason is None else before.succeeded,
        )
        self._health = replace(self._health, sections={**self._health.sections, section.name: after})

    def _correct(self, answer: Collected) -> None:
        """Scopes that were read out of turn, in the last complete audit, which stays as old as it is.

        Nothing changes by an answer with gaps: no health tells of them before the next audit does.
        """
        name = answer.section.name
        audit = self._latest.get(name)
        if audit is None or answer.section.reason:
            return
        whole = merge([audit.section.without(answer.scopes), answer.section])
        section = replace(audit.section, records=whole.records, errors=whole.errors)
        self._latest[name] = replace(audit, section=section)
        self._publish(name)

    def _render(self, sections: Iterable[str]) -> None:
        """Once more, because of what was learnt elsewhere; what is old stays as old as it was."""
        for name in sections:
            if name in self._latest:
                self._publish(name)

    def _publish(self, name: str) -> None:
        latest = self._latest[name]
        self._published[name] = Published(
            section=name,
            started=latest.started,
            fresh_seconds=self._fresh_seconds(name),
            blocks=blocks(self._settings.name, samples(latest.section, self._view)),
        )


def _reached(ports: Section) -> Mapping[str, bool]:
    return {it.partner_server: it.reachable for it in ports.records if isinstance(it, PortProbe)}
