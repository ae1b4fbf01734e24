"""One server's worker: makes the calls that the agenda wants, and keeps the dossier.

A worker has no loop and never sleeps: `step` does the one thing that is due and says how long nothing is.
So its hours can be simulated in milliseconds; `runner.Runner` gives it a thread.
"""

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from dhcp_failover_exporter.config import ServerSettings
from dhcp_failover_exporter.engine.clock import Clock
from dhcp_failover_exporter.engine.dossier import Dossier, Entry, Timing
from dhcp_failover_exporter.engine.gate import Gate
from dhcp_failover_exporter.engine.schedule import CAUSES, DUE_AT, Agenda, Call, Collected
from dhcp_failover_exporter.engine.telemetry import Telemetry
from dhcp_failover_exporter.errors import AuthError, PollError, SuspendedError
from dhcp_failover_exporter.failover import Naming, StateChange
from dhcp_failover_exporter.session import Answer, Session
from dhcp_failover_exporter.snapshot import Events, Section, parse

UNASKED_SECONDS: Final = 600.0
"""Without polling: how long a server that nobody asks for keeps its session."""

# A gate that opens (new secret, reload) is noticed this soon, however far the next poll is.
_GATE_LOOK_SECONDS: Final = 5.0
_BY_GATE: Final = (AuthError.reason, SuspendedError.reason)


@dataclass(frozen=True)
class Hooks:
    """What a session calls back: `logon` around every logon, `opened` and `closed` for each shell."""

    logon: Callable[[], AbstractContextManager[None]]
    opened: Callable[[str], None]
    closed: Callable[[], None]


OpenSession = Callable[[ServerSettings, Hooks], Session]


@dataclass(frozen=True)
class Surroundings:
    """What all workers share."""

    open_session: OpenSession
    clock: Clock
    telemetry: Telemetry


class Worker:
    """Owns one server's session. `step` and `close` belong to one thread, everything else to anybody."""

    def __init__(
        self, settings: ServerSettings, naming: Naming, gate: Gate, shared: Surroundings, agenda: Agenda
    ) -> None:
        self.settings = settings
        self._gate, self._shared, self._clock = gate, shared, shared.clock
        self._agenda = agenda
        self._dossier = Dossier(settings, naming)
        self._session: Session | None = None
        self._shut_out = self._interrupted = False
        self._strangers: frozenset[str] = frozenset()
        self._log = structlog.get_logger().bind(server=settings.name)
        self._probes = threading.Lock()
        self._waiting: list[Future[Entry]] = []
        self._probed = False
        self._asked = self._clock.monotonic()
        self._last_poll = -math.inf
        self.entry = self._dossier.entry
        """What the board shows of this server: frozen, replaced by one assignment."""

    # --- for its own thread -------------------------------------------------------------------------------

    def step(self) -> float:
        """Make the call that is due, if any; seconds until the next step is worth it, inf for until asked."""
        now = self._clock.monotonic()
        self._heed_probes(now)
        self._look_at_gate(now)
        self._complete_without_call(now)
        call = self._agenda.next(now)
        if call is None:
            return self._pause(now)
        if self._agenda.is_poll(call):
            self._shared.telemetry.late(now - self._agenda.state_due)
        self._make(call, now)
        return 0.0

    def close(self) -> None:
        """Close the session, and answer whoever still waits with what is known."""
        self._close_session()
        self._answer_probes()

    # --- for anybody --------------------------------------------------------------------------------------

    def probe(self) -> Future[Entry]:
        """The next state result: of the poll in flight or of one made for it.

        The last result is given at once while none is due (`schedule.DUE_AT`): however many ask, the server
        is not polled more often than its interval says.
        """
        future: Future[Entry] = Future()
        future.set_running_or_notify_cancel()
        with self._probes:
            self._asked, self._probed = self._clock.monotonic(), True
            if self._asked - self._last_poll < DUE_AT * self.settings.intervals.state_seconds:
                future.set_result(self.entry)
            else:
                self._waiting.append(future)
        return future

    @property
    def polled(self) -> bool:
        """Whether the first state poll was answered or has failed."""
        return self.entry.polled is not None

    def interrupt(self) -> None:
        """End a running call; only `close` is left."""
        self._interrupted = True
        if session := self._session:
            session.interrupt()

    def rename(self, naming: Naming) -> None:
        """Other servers or aliases were configured; seen with the next answer."""
        self._dossier.naming = naming

    # --- calls --------------------------------------------------------------------------------------------

    def _make(self, call: Call, started: float) -> None:
        began = self._clock.now()
        try:
            answer = self._ask(call)
            sections = parse(answer.documents, call.sections)
        except PollError as error:
            if self._interrupted:
                return
            collected = self._agenda.failed(call, error, started, self._clock.monotonic())
            self._failed(call, error, collected, Timing(started, began))
        else:
            collected = self._agenda.answered(call, sections, started, self._clock.monotonic())
            self._answered(call, collected, _timing(answer, started, began))
        self._publish(call)

    def _ask(self, call: Call) -> Answer:
        if self._session is None:
            self._session = self._shared.open_session(self.settings, self._hooks())
            if self._interrupted:  # by somebody who found no session yet
                self._session.interrupt()
        after_event = self._dossier.watermark if "events" in call.sections else None
        return self._session.collect(
            call.sections, call.scopes, after_event, timeout_seconds=self.settings.timeout_seconds
        )

    def _hooks(self) -> Hooks:
        telemetry = self._shared.telemetry
        return Hooks(
            partial(self._gate.logon, self.settings.credential, self.settings.name),
            telemetry.opened,
            telemetry.closed,
        )

    def _answered(self, call: Call, collected: Sequence[Collected], timing: Timing) -> None:
        before = {it.section.name: self._dossier.reason(it.section.name) for it in collected}
        if self._agenda.is_poll(call):
            self._poll_answered(collected, timing)
        else:
            self._complete(collected)
        for it in collected:
            self._tell(it.section, before[it.section.name])
        self._agenda.targets = self._dossier.targets()

    def _poll_answered(self, collected: Sequence[Collected], timing: Timing) -> None:
        before = self._dossier.failure
        changes = self._dossier.poll_answered(collected, timing, self._session.auth if self._session else "")
        if changes:
            self._agenda.bring_forward(CAUSES, self._clock.monotonic(), unless_after=timing.started)
        if before:
            self._log.info("server answers again")
        for change in changes:
            self._say_changed(change)
        self._warn_of_strangers()

    def _complete(self, collected: Iterable[Collected]) -> None:
        for it in collected:
            self._look_for_causes(it)
            self._dossier.collected(it, self._epoch(it.started))

    def _complete_without_call(self, now: float) -> None:
        if empty := self._agenda.empty(now):
            self._complete(empty)
            self.entry = self._dossier.entry

    def _look_for_causes(self, it: Collected) -> None:
        now = self._clock.monotonic()
        if it.section.name == "ports" and self._dossier.ports_differ(it.section):
            self._agenda.bring_forward(CAUSES, now, unless_after=it.started)
        for record in it.section.records:
            if isinstance(record, Events):
                self._heard(record, now)

    def _heard(self, events: Events, now: float) -> None:
        if self._dossier.heard_events(events):
            self._agenda.bring_forward(["events"], now)
        self._agenda.audit_at_once(self._dossier.heard_changes(events))

    def _failed(self, call: Call, error: PollError, collected: Sequence[Collected], timing: Timing) -> None:
        if not self._agenda.is_poll(call):
            self._answered(call, collected, timing)
            return
        if self._dossier.failure != error.reason:
            seconds = round(self._clock.monotonic() - timing.started, 2)
            self._log.warning("poll failed", reason=error.reason, seconds=seconds, error=str(error))
        self._dossier.poll_failed(error, collected, timing)
        self._shut_out = error.reason in _BY_GATE and not self._gate_is_open()

    def _tell(self, section: Section, before: str | None) -> None:
        """One line per change, and a new logon where a right is missing: rights apply at logon."""
        if section.reason == "permission" and self._session:
            self._session.renew()
        if section.reason and section.reason != before:
            error = section.failure or section.errors[0]
            self._log.warning(
                "section failed",
                section=section.name,
                reason=section.reason,
                id=error.id,
                error=error.message,
            )

    def _say_changed(self, change: StateChange) -> None:
        states = {"from": change.before, "to": change.after}
        self._log.info("state changed", relationship=change.relationship, partner=change.partner, **states)

    def _warn_of_strangers(self) -> None:
        before, self._strangers = self._strangers, self._dossier.strangers()
        for partner in sorted(self._strangers - before):
            self._log.warning("partner is not configured: it is never contacted", partner=partner)

    def _epoch(self, moment: float) -> float:
        return self._clock.now() - (self._clock.monotonic() - moment)

    def _publish(self, call: Call) -> None:
        self.entry = self._dossier.entry
        if self._agenda.is_poll(call):
            self._answer_probes()

    # --- probes and pauses --------------------------------------------------------------------------------

    def _heed_probes(self, now: float) -> None:
        with self._probes:
            probed, self._probed = self._probed, False
        if probed:
            self._agenda.probed(now)

    def _answer_probes(self) -> None:
        with self._probes:
            waiting, self._waiting = self._waiting, []
            self._last_poll = self._agenda.polled_at
        for future in waiting:
            future.set_result(self.entry)

    def _look_at_gate(self, now: float) -> None:
        """A gate that shut this server out and has opened again ends the wait for the next poll."""
        if self._shut_out and self._gate_is_open():
            self._shut_out = False
            self._agenda.poll_now(now)

    def _gate_is_open(self) -> bool:
        return self._gate.is_open(self.settings.credential, self.settings.name)

    def _pause(self, now: float) -> float:
        pause = self._agenda.wait(now)
        if self._shut_out:
            pause = min(pause, _GATE_LOOK_SECONDS)
        return pause if self._agenda.polling else self._pause_without_polling(pause, now)

    def _pause_without_polling(self, pause: float, now: float) -> float:
        unasked = now - self._asked
        if unasked >= UNASKED_SECONDS:
            self._close_session()
            return math.inf
        return min(pause, UNASKED_SECONDS - unasked)

    def _close_session(self) -> None:
        session, self._session = self._session, None
        if session:
            session.close()


def _timing(answer: Answer, started: float, began: float) -> Timing:
    if answer.opened:
        return Timing(started, began)
    return Timing(started, began, answer.sent, answer.received)
