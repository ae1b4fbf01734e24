"""What to ask a server for next, and when.

What lives here: cadences, retries, what is brought forward, which sections share a call and how large a slice
may be. Pure: every moment is handed in (seconds of a clock that only goes forward), every answer comes back.
What this file does not know: sessions, threads, records.

Rule 1: a state poll that is due goes first, and nothing is begun that would make the next one late.
Rule 2: after a call that failed, nothing but a state poll asks whether the server answers again.
Rule 3: a call holds the server for about `SLICE_SECONDS`; sections that are known to take long go alone.
Rule 4: scopes that were changed are audited out of turn, each slice for itself: no beat moves by it, and no
        pace, because a slice of one scope says nothing about a slice of many.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tenacity import RetryCallState, Retrying
from tenacity.wait import wait_exponential

from dhcp_failover_exporter.config import ServerSettings
from dhcp_failover_exporter.engine.slices import SLICE_SECONDS, Estimate, Round, scopes_in
from dhcp_failover_exporter.errors import DeadlineError, PollError, SuspendedError
from dhcp_failover_exporter.metrics import GROUPS
from dhcp_failover_exporter.snapshot import Section

# What may tell the cause of a changed state: who reaches whom, which rule is off, what Windows logged.
CAUSES: Final = ("ports", "firewall", "events")

# The section of which single scopes are read out of turn.
_AUDIT: Final = "configuration"

# Seconds before anything was measured: one RPC per scope for statistics, several cmdlets for configuration.
# What fits into a slice by these is asked for whole at first.
_ASSUMED_PACE: Final = {"statistics": 0.01, "configuration": 0.3}
_ASSUMED_SECONDS: Final = 0.2
# Shares of an interval: over how much of it later rounds are spread (the rest is for what comes in between),
# how soon a call is one right after a poll, how much of the time before the next poll a call may take, and
# how much it may take right after one, however little time is left.
_SPREAD: Final = {"statistics": 0.0, "configuration": 0.8}
_RIGHT_AFTER: Final = 0.1
_ROOM_SHARE: Final = 0.9
_LEAST_SHARE: Final = 0.25
_LONGEST_BACKOFF_SECONDS: Final = 60.0
# While nobody polls, a section counts as due a little early, so that a probe does not just miss it.
DUE_AT: Final = 0.8


def sections_of(settings: ServerSettings) -> frozenset[str]:
    """The sections to ask a server for: what nobody is to see need not be read."""
    unseen = {"scopes", "statistics"} if settings.scope_metrics == "none" else set[str]()
    return settings.sections - unseen


def interval_of(section: str, settings: ServerSettings) -> float:
    """Seconds between two collections of a section."""
    cadence = next(cadence for cadence, sections in GROUPS.items() if section in sections)
    return float(getattr(settings.intervals, f"{cadence}_seconds"))


def backoff(failures: int, first_seconds: float, longest_seconds: float) -> float:
    """Seconds to wait after so many failures in a row; the first retry comes after `first_seconds`."""
    attempt = RetryCallState(Retrying(), None, (), {})
    attempt.attempt_number = failures
    return wait_exponential(multiplier=first_seconds, max=longest_seconds)(attempt)


@dataclass(frozen=True)
class Call:
    """One call to the server: sections, and the scopes of a slice (empty: all)."""

    sections: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    out_of_turn: bool = False


@dataclass(frozen=True)
class Collected:
    """A section that is complete, or failed, and when its collection started.

    `scopes` are those that were read out of turn: the section is about them alone. Empty: about all.
    """

    section: Section
    started: float
    scopes: tuple[str, ...] = ()


@dataclass
class _Turn:
    """When one section is asked for again."""

    section: str
    interval: float
    due: float
    started: float = -math.inf
    seconds: float = _ASSUMED_SECONDS
    failures: int = 0
    collected: bool = False

    def again(self, now: float) -> None:
        """At the next beat; beats that were missed are left out."""
        beats = math.floor((now - self.due) / self.interval) + 1
        self.due += max(beats, 1) * self.interval

    def is_due_at_probe(self, now: float) -> bool:
        return now - self.started >= DUE_AT * self.interval


@dataclass(frozen=True)
class Targets:
    """The scopes a section is about, as far as they are known; `listed` as `slices.Round` has it."""

    scopes: Sequence[str] = ()
    listed: bool = False

    @property
    def none(self) -> bool:
        """Whether the server is known to have no scope that is wanted."""
        return self.listed and not self.scopes


class Agenda:
    """One server's schedule.

    `first_due` is when the first state poll starts; with `polling` False nothing is due before `probed`.
    `targets` may be replaced whenever the server's scopes are known better.
    """

    def __init__(self, settings: ServerSettings, first_due: float, *, polling: bool = True) -> None:
        self.polling = polling
        self.targets: Mapping[str, Targets] = {}
        due = first_due if polling else math.inf
        enabled = sections_of(settings)
        self._poll_sections = tuple(name for name in GROUPS["state"] if name in enabled) or ("server",)
        self._state = _Turn("state", settings.intervals.state_seconds, due)
        self._turns = {
            name: _Turn(name, interval_of(name, settings), due)
            for cadence, names in GROUPS.items()
            for name in names
            if cadence != "state" and name in enabled
        }
        self._paces = {name: Estimate(seconds) for name, seconds in _ASSUMED_PACE.items()}
        self._overhead = Estimate(0.0)
        self._rounds: dict[str, Round] = {}
        self._last_slice: dict[str, float] = {}
        self._changed: tuple[str, ...] = ()
        self._answering = False
        self._calls_since_poll, self._polled_until = 0, -math.inf

    # --- what is next -------------------------------------------------------------------------------------

    @property
    def state_due(self) -> float:
        """When the next state poll should start."""
        return self._state.due

    @property
    def polled_at(self) -> float:
        """When the last finished state poll started; -inf before the first."""
        return self._state.started

    def next(self, now: float) -> Call | None:
        """The call to make now, if any."""
        if self._state.due <= now:
            return Call(self._poll_sections)
        if not self._answering:
            return None
        return self._batch(now) or self._out_of_turn(now) or self._slice(now)

    def empty(self, now: float) -> Sequence[Collected]:
        """The sections that are due and complete without a call, because no scope is wanted of them.

        To be asked before `next`, which would ask for every scope. A poll that is due goes first here too: it
        may bring scopes.
        """
        if not self._answering or self._state.due <= now:
            return []
        due = [name for name in _ASSUMED_PACE if self._is_empty(name, now)]
        for name in due:
            self._close(name, now, now)
        return [Collected(Section(name), now) for name in due]

    def _is_empty(self, name: str, now: float) -> bool:
        starts = name in self._turns and name not in self._rounds and self._turns[name].due <= now
        return starts and self._targets(name).none

    def wait(self, now: float) -> float:
        """Seconds until `next` should be asked again. What is due but does not fit waits for the poll."""
        later = [self._state.due]
        if self._answering:
            later += [due for due in self._due_times() if due > now]
        return max(0.0, min(later) - now)

    def is_poll(self, call: Call) -> bool:
        """Whether this call is the state poll."""
        return call.sections == self._poll_sections

    def _due_times(self) -> Iterable[float]:
        for name, turn in self._turns.items():
            yield self._rounds[name].due if name in self._rounds else turn.due

    def _fits(self, seconds: float, now: float) -> bool:
        """Whether a call of this length leaves the next poll on time.

        The first call right after a poll need not: what takes longer than the time between two polls would
        never be made.
        """
        return self._right_after_poll(now) or seconds <= self._room(now)

    def _right_after_poll(self, now: float) -> bool:
        since_poll = now - self._polled_until
        return not self._calls_since_poll and since_poll < _RIGHT_AFTER * self._state.interval

    def _room(self, now: float) -> float:
        """Seconds that the server may work before the next poll, without the way there and back."""
        room = _ROOM_SHARE * (self._state.due - now) - self._overhead.seconds
        return max(room, _LEAST_SHARE * self._state.interval) if self._right_after_poll(now) else room

    def _batch(self, now: float) -> Call | None:
        """The plain sections of one cadence that are due and go together."""
        due = [turn for name, turn in self._turns.items() if name not in _ASSUMED_PACE and turn.due <= now]
        chosen, seconds = list[_Turn](), 0.0
        for turn in due:
            if chosen and turn.section not in _same_cadence(chosen[0].section):
                break
            together = seconds + turn.seconds
            if self._fits(together, now) and (together <= SLICE_SECONDS or not chosen):
                chosen.append(turn)
                seconds += turn.seconds
        return Call(tuple(turn.section for turn in chosen)) if chosen else None

    def _out_of_turn(self, now: float) -> Call | None:
        """A slice of the scopes that were changed since they were audited."""
        if not self._changed or not self._fits(self._paces[_AUDIT].seconds, now):
            return None
        count = self._scopes_that_fit(_AUDIT, now)
        scopes, self._changed = self._changed[:count], self._changed[count:]
        return Call((_AUDIT,), scopes, out_of_turn=True)

    def _slice(self, now: float) -> Call | None:
        """A slice of the section about scopes whose last slice is longest ago."""
        names = [name for name in _ASSUMED_PACE if name in self._turns and self._slice_due(name) <= now]
        for name in sorted(names, key=lambda name: self._last_slice.get(name, -math.inf)):
            if self._fits(self._least_seconds(name), now):
                return self._cut(name, now)
        return None

    def _least_seconds(self, name: str) -> float:
        """For one scope, or for all where they are not known by name."""
        return self._paces[name].seconds if self._targets(name).scopes else self._turns[name].seconds

    def _slice_due(self, name: str) -> float:
        return self._rounds[name].due if name in self._rounds else self._turns[name].due

    def _cut(self, name: str, now: float) -> Call:
        round_ = self._rounds.setdefault(name, self._new_round(name, now))
        self._last_slice[name] = now
        return Call((name,), round_.take(self._scopes_that_fit(name, now)))

    def _scopes_that_fit(self, name: str, now: float) -> int:
        return scopes_in(min(SLICE_SECONDS, self._room(now)), self._paces[name].seconds)

    def _new_round(self, name: str, now: float) -> Round:
        """The first round runs straight through, so that all is known soon; later ones take their time."""
        turn, targets = self._turns[name], self._targets(name)
        spread = _SPREAD[name] * turn.interval if turn.collected and self.polling else 0.0
        return Round(now, targets.scopes, targets.listed, spread)

    def _targets(self, name: str) -> Targets:
        return self.targets.get(name, Targets())

    # --- what came of it ----------------------------------------------------------------------------------

    def answered(
        self, call: Call, sections: Mapping[str, Section], started: float, now: float
    ) -> Sequence[Collected]:
        """After an answer: the sections that are complete with it, or failed by it."""
        self._overhead.learn(now - started - sum(it.elapsed_seconds for it in sections.values()))
        if self.is_poll(call):
            self._polled(started, now, failures=0)
            self._answering = True
            return [Collected(section, started) for section in sections.values()]
        self._calls_since_poll += 1
        if call.out_of_turn:
            return [self._corrected(call, sections[_AUDIT], started)]
        return [
            collected
            for name, section in sections.items()
            for collected in self._section_answered(call, name, section, started, now)
        ]

    def failed(self, call: Call, error: PollError, started: float, now: float) -> Sequence[Collected]:
        """After a call that gave no usable answer: its sections, failed."""
        self._answering = False
        if self.is_poll(call):
            suspended = isinstance(error, SuspendedError)
            self._polled(started, now, failures=0 if suspended else self._state.failures + 1)
        elif not call.out_of_turn:
            for name in call.sections:
                self._section_failed(name, len(call.scopes), error, started, now)
        scopes = call.scopes if call.out_of_turn else ()
        return [Collected(Section.failed(name, error), started, scopes) for name in call.sections]

    def _polled(self, started: float, now: float, failures: int) -> None:
        turn = self._state
        turn.started, turn.failures = started, failures
        self._calls_since_poll, self._polled_until = 0, now
        if not self.polling:
            turn.due = math.inf
        elif failures <= 1:
            turn.again(now)
        else:
            longest = max(turn.interval, _LONGEST_BACKOFF_SECONDS)
            turn.due = max(now, started + backoff(failures, turn.interval, longest))

    def _section_answered(
        self, call: Call, name: str, section: Section, started: float, now: float
    ) -> Iterable[Collected]:
        seconds = section.elapsed_seconds or (now - started) / len(call.sections)
        round_ = self._rounds.get(name)
        if round_ is None:
            self._turns[name].seconds = seconds
            self._close(name, started, now)
            yield Collected(section, started)
            return
        if not round_.scopes:
            self._turns[name].seconds = seconds
        round_.add(section, len(call.scopes))
        count = len(call.scopes) or len(round_.scopes) or len(section.records)
        self._paces[name].learn(seconds / max(count, 1))
        if section.failure or round_.done:
            self._close(name, round_.started, now)
            self._turns[name].collected |= not section.failure
            yield Collected(round_.merged(), round_.started)

    def _corrected(self, call: Call, section: Section, started: float) -> Collected:
        """A round that is under way may have read these scopes before they were changed."""
        round_ = self._rounds.get(_AUDIT)
        if round_ and section.reason is None:
            round_.correct(section, call.scopes)
        return Collected(section, started, call.scopes)

    def _close(self, name: str, started: float, now: float) -> None:
        turn = self._turns[name]
        turn.started, turn.failures = started, 0
        self._rounds.pop(name, None)
        if self.polling:
            turn.again(now)
        else:
            turn.due = math.inf

    def _section_failed(self, name: str, scopes: int, error: PollError, started: float, now: float) -> None:
        """A long interval is not waited for: an hour without data is much for one lost slice."""
        turn = self._turns[name]
        failures = turn.failures + 1
        if isinstance(error, DeadlineError):
            turn.seconds = now - started
            if name in self._paces:
                self._paces[name].learn(
                    2 * (now - started) / max(scopes or len(self._targets(name).scopes), 1)
                )
        self._close(name, started, now)
        turn.failures = failures
        if self.polling and turn.interval > _LONGEST_BACKOFF_SECONDS:
            turn.due = min(turn.due, now + backoff(failures, _LONGEST_BACKOFF_SECONDS, turn.interval))

    # --- what others ask for ------------------------------------------------------------------------------

    def bring_forward(self, sections: Iterable[str], now: float, unless_after: float = math.inf) -> None:
        """Make sections due now, but for those whose last collection started at `unless_after` or later."""
        for turn in (self._turns[name] for name in sections if name in self._turns):
            if turn.started < unless_after:
                turn.due = min(turn.due, now)

    def audit_at_once(self, scopes: Iterable[str]) -> None:
        """Read the configuration of these scopes as soon as a slice of it fits, and once only.

        What fails is not asked for again: the next audit reads it in any case.
        """
        if _AUDIT in self._turns:
            self._changed = tuple(dict.fromkeys((*self._changed, *sorted(scopes))))

    def poll_now(self, now: float) -> None:
        """Make the state poll due now."""
        self._state.due = min(self._state.due, now)

    def probed(self, now: float) -> None:
        """Somebody asks: the state poll, and without polling every section, that `DUE_AT` calls due."""
        turns = [self._state] if self.polling else [self._state, *self._turns.values()]
        for turn in turns:
            if turn.is_due_at_probe(now):
                turn.due = min(turn.due, now)


def _same_cadence(section: str) -> Sequence[str]:
    return next(sections for sections in GROUPS.values() if section in sections)
