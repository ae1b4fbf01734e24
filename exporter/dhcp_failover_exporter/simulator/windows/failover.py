"""One failover relationship: two ends, the connection between them, and the states they go through.

The model has no thread of its own: `advance` carries out what was due up to a moment, in order. Every time
is in seconds since 1970 by one true clock; a server whose clock is wrong has an offset. What is due follows
from the states and from when they were entered, so that nothing has to be scheduled or cancelled.

Public sources: MS-DHCPF for intervals and for who connects to whom, draft-ietf-dhc-failover-12 section 9 for
the states, https://learn.microsoft.com/en-us/windows-server/networking/technologies/dhcp/dhcp-failover.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import TYPE_CHECKING

from dhcp_failover_exporter.simulator.windows import events
from dhcp_failover_exporter.simulator.windows.states import (
    MAY_BE_FORCED_DOWN,
    WHEN_CONTACT_IS_LOST,
    WHEN_IN_CONTACT,
    State,
)

if TYPE_CHECKING:
    from dhcp_failover_exporter.simulator.windows.server import DhcpServer

ALLOWED_CLOCK_DIFFERENCE = 60.0
"""Seconds beyond which a server rejects its partner's binding updates."""


@dataclass(frozen=True)
class Timing:
    """Seconds that the pair shares; the defaults are those of Windows, or guesses where it does not say.

    contact    a message at least this often
    silence    without any for this long the link is lost
    retry      the primary dials again this often
    startup    how long a started server waits for its partner
    update     the exchange of all bindings takes this long
    exchange   a change of state reaches the partner after this
    rebalance  free addresses are shared out this often
    """

    contact: float = 60.0
    silence: float = 180.0
    retry: float = 60.0
    startup: float = 10.0
    update: float = 5.0
    exchange: float = 1.0
    rebalance: float = 300.0

    @classmethod
    def paced(cls, contact: float, silence: float | None = None) -> "Timing":
        """Everything in proportion to a contact interval that suits a test."""
        return cls(
            contact=contact,
            silence=silence if silence is not None else 3 * contact,
            retry=contact,
            startup=min(10.0, contact),
            update=min(5.0, contact),
            exchange=min(1.0, contact / 2),
            rebalance=5 * contact,
        )


@dataclass(frozen=True)
class Parameters:
    """What `Set-DhcpServerv4Failover` sets, as one end has it; usually both ends agree."""

    mclt_seconds: float = 3600.0
    state_switch_seconds: float | None = None
    load_balance_percent: int | None = None
    reserve_percent: int | None = None
    shared_secret: str | None = None


class End:
    """One server's half of a relationship; `partner_spelling` is its partner as an administrator typed it."""

    def __init__(
        self, server: "DhcpServer", *, is_primary: bool, partner_spelling: str, parameters: Parameters
    ) -> None:
        self.server = server
        self.is_primary = is_primary
        self.partner_spelling = partner_spelling
        self.parameters = parameters
        self.is_active = is_primary
        self.state = State.INIT
        self.since = 0.0
        self.resumes = State.INIT
        self.last_operated = 0.0
        self.recover_wait_since = 0.0
        self.forgotten = False

    @property
    def alive(self) -> bool:
        """Whether the server runs and knows the relationship."""
        return self.server.serving and not self.forgotten

    @property
    def takes_over(self) -> bool:
        """Whether the automatic step to PartnerDown is on."""
        return self.parameters.state_switch_seconds is not None


@dataclass(frozen=True)
class Phase:
    """From `start` on, until the next one: the states of (primary, secondary), None while not serving."""

    start: float
    states: tuple[State | None, State | None]
    linked: bool
    in_contact: bool
    """Linked, and the link is not dead without a word."""
    exchanging: bool
    """Binding updates are accepted: in contact, clocks together, no end about to start."""
    whole_pool_from: tuple[float | None, float | None]
    """When each end may use its partner's addresses too: MCLT after it entered PartnerDown."""


class Relationship:
    """A failover relationship between two servers, and its life.

    `established` starts it in Normal and connected; otherwise it starts as just created.
    """

    def __init__(
        self, name: str, primary: End, secondary: End, timing: Timing, now: float, *, established: bool = True
    ) -> None:
        self.name = name
        self.primary = primary
        self.secondary = secondary
        self.timing = timing
        self.linked = established
        self.link_since = now
        self.lost_at: float | None = None
        self.dial_at = now
        self.complained_at = now
        self.time = now
        for end in self.ends:
            end.state = end.resumes = State.NORMAL if established else State.INIT
            end.since = end.last_operated = now
        self.phases = [self._phase()]

    @property
    def ends(self) -> tuple[End, End]:
        """Primary and secondary."""
        return self.primary, self.secondary

    def partner(self, end: End) -> End:
        """The other end."""
        return self.secondary if end is self.primary else self.primary

    # Time

    def advance(self, now: float) -> None:
        """Carry out, in order, everything that was due up to `now`."""
        while (step := min(self._due(), key=lambda due: due[0], default=None)) and step[0] <= now:
            self.time = max(self.time, step[0])
            step[1]()
            self._note_phase()
        self.time = max(self.time, now)

    def _due(self) -> Iterator[tuple[float, Callable[[], None]]]:
        yield from self._due_on_the_link()
        for end in self.ends:
            if end.alive:
                yield from self._due_alone(end)
        if self.in_contact and all(end.alive and end.state is not State.STARTUP for end in self.ends):
            yield from self._due_in_contact()

    def _due_on_the_link(self) -> Iterator[tuple[float, Callable[[], None]]]:
        if self.linked and self.lost_at is not None:
            yield self.lost_at, self._lose_link
        if self.in_contact and self.clocks_apart and all(end.alive for end in self.ends):
            yield self.complained_at + self.timing.contact, self._complain_about_clocks
        if not self.linked and self._can_connect:
            yield max(self.dial_at, self.time), self._dial

    def _due_alone(self, end: End) -> Iterator[tuple[float, Callable[[], None]]]:
        if end.state is State.STARTUP:
            wait = self._met + self.timing.exchange if self.in_contact else end.since + self.timing.startup
            yield wait, lambda: self._leave_startup(end)
        if end.state is State.COMMUNICATION_INTERRUPTED and end.takes_over and not self.linked:
            switch = end.since + (end.parameters.state_switch_seconds or 0.0)
            yield switch, lambda: self._enter(end, State.PARTNER_DOWN)
        if end.state is State.RECOVER_WAIT:
            waited = end.recover_wait_since + end.parameters.mclt_seconds
            yield waited, lambda: self._enter(end, State.RECOVER_DONE)

    def _due_in_contact(self) -> Iterator[tuple[float, Callable[[], None]]]:
        primary, secondary = self.primary.state, self.secondary.state
        if (primary, secondary) in WHEN_IN_CONTACT or (secondary, primary) in WHEN_IN_CONTACT:
            yield self._met + self.timing.exchange, self._settle
        updated = self._met + self.timing.update
        if State.RECOVER in (primary, secondary):
            yield updated, self._finish_recovery
        if (primary, secondary) == (State.POTENTIAL_CONFLICT, State.POTENTIAL_CONFLICT):
            yield updated, lambda: self._enter(self.primary, State.CONFLICT_DONE)
        if (primary, secondary) == (State.CONFLICT_DONE, State.POTENTIAL_CONFLICT):
            yield updated, self._end_conflict

    @property
    def _met(self) -> float:
        """Since when both ends have been in contact in the states that they are in."""
        return max(self.link_since, self.primary.since, self.secondary.since)

    # The connection: the primary dials, the secondary listens

    @property
    def path_open(self) -> bool:
        """Whether packets of the primary reach the secondary's port."""
        primary, secondary = self.primary.server, self.secondary.server
        return primary.network.path_open(primary, secondary)

    @property
    def in_contact(self) -> bool:
        """Whether the ends hear each other: connected, and not over a link that is dead without a word."""
        return self.linked and self.lost_at is None

    @property
    def clocks_apart(self) -> bool:
        """Whether binding updates are rejected for the time of day in them."""
        return abs(self.clock_difference) > ALLOWED_CLOCK_DIFFERENCE

    @property
    def clock_difference(self) -> float:
        """Primary's clock minus secondary's, in seconds."""
        return self.primary.server.clock_offset - self.secondary.server.clock_offset

    @property
    def _can_connect(self) -> bool:
        return self.path_open and self.primary.alive and self.secondary.alive

    def path_changed(self, *, silently: bool) -> None:
        """The network, a host or a service changed: what that does to the connection, now or later."""
        if not self.linked:
            self._wait_for_next_dial()
        elif self._can_connect:
            self.lost_at = None
        elif not silently:
            self._lose_link()
        elif self.lost_at is None:
            contacts = floor((self.time - self.link_since) / self.timing.contact)
            self.lost_at = self.link_since + contacts * self.timing.contact + self.timing.silence
        self._note_phase()

    def drop_link(self) -> None:
        """The connection breaks at once, as by a reset."""
        if self.linked:
            self._lose_link()
        self._note_phase()

    def _wait_for_next_dial(self) -> None:
        missed = ceil((self.time - self.dial_at) / self.timing.retry)
        self.dial_at += max(0, missed) * self.timing.retry

    def _dial(self) -> None:
        if self.primary.parameters.shared_secret != self.secondary.parameters.shared_secret:
            self.dial_at = self.time + self.timing.retry
            secondary = self.secondary
            secondary.server.log(
                self.time, events.CONNECT_DIGEST_WRONG, events.ERROR, secondary.partner_spelling, self.name
            )
            return
        self.linked, self.link_since, self.lost_at = True, self.time, None
        self._log_both(events.LINK_UP, events.INFORMATION)

    def _lose_link(self) -> None:
        self.linked, self.lost_at = False, None
        self.dial_at = self.time + self.timing.retry
        self._log_both(events.LINK_DOWN, events.ERROR)
        for end in self.ends:
            if end.alive and end.state in WHEN_CONTACT_IS_LOST:
                self._enter(end, WHEN_CONTACT_IS_LOST[end.state])

    def _log_both(self, event_id: int, level: int, *more: str) -> None:
        for end in self.ends:
            if end.alive:
                end.server.log(self.time, event_id, level, end.partner_spelling, self.name, *more)

    def _complain_about_clocks(self) -> None:
        self.complained_at = self.time
        self._log_both(events.TIME_OUT_OF_SYNC, events.ERROR, str(round(abs(self.clock_difference))))

    # Steps

    def _settle(self) -> None:
        primary, secondary = self.primary.state, self.secondary.state
        self._enter(self.primary, WHEN_IN_CONTACT.get((primary, secondary), primary))
        self._enter(self.secondary, WHEN_IN_CONTACT.get((secondary, primary), secondary))

    def _finish_recovery(self) -> None:
        """A new pair has no leases to wait for; a server that comes back waits one MCLT."""
        new_pair = self.primary.state is self.secondary.state
        for end in self.ends:
            if end.state is State.RECOVER:
                end.recover_wait_since = self.time
                self._enter(end, State.RECOVER_DONE if new_pair else State.RECOVER_WAIT)

    def _end_conflict(self) -> None:
        self._enter(self.secondary, State.NORMAL)
        self._enter(self.primary, State.NORMAL)

    def _leave_startup(self, end: End) -> None:
        resumed = WHEN_CONTACT_IS_LOST.get(end.resumes, end.resumes)
        partner = self.partner(end)
        if self.in_contact and partner.state is not State.STARTUP:
            if self._was_replaced(end, resumed):
                resumed = State.RECOVER
            theirs = partner.state
            self._enter(end, WHEN_IN_CONTACT.get((resumed, theirs), resumed))
            self._enter(partner, WHEN_IN_CONTACT.get((theirs, resumed), theirs))
        else:
            self._enter(end, resumed)

    def _was_replaced(self, end: End, resumed: State) -> bool:
        """Whether the partner took over after this server had ceased to serve: then its leases count."""
        partner = self.partner(end)
        ceased = resumed in {State.COMMUNICATION_INTERRUPTED, State.RESOLUTION_INTERRUPTED}
        return ceased and partner.state is State.PARTNER_DOWN and partner.since >= end.last_operated

    def _enter(self, end: End, state: State) -> None:
        old = end.state
        if state is old:
            return
        end.state, end.since = state, self.time
        end.server.transitioned(state)
        self._log_change(end, old, state)

    def _log_change(self, end: End, old: State, new: State) -> None:
        """A server logs its own changes, and its partner's as far as it hears of them."""
        level = events.INFORMATION if new is State.NORMAL else events.WARNING
        if old is State.NORMAL or new is State.PARTNER_DOWN:
            level = events.ERROR
        event_id = events.STATE_CHANGED_ERROR if level == events.ERROR else events.STATE_CHANGED
        witnesses = self.ends if self.in_contact else (end,)
        for witness in witnesses:
            if witness.alive:
                changed = end.server.fqdn if witness is end else witness.partner_spelling
                names = (old.event_name, new.event_name)
                witness.server.log(self.time, event_id, level, changed, self.name, *names)

    # What people and machines do; the caller has advanced the relationship to this moment

    def stop(self, end: End, *, silently: bool) -> None:
        """The end ceases to serve: its service stops (and closes the connection) or its host dies."""
        if end.state is not State.STARTUP:
            end.resumes, end.last_operated = end.state, self.time
        self.path_changed(silently=silently)

    def start(self, end: End) -> None:
        """The end's service starts: a connection that the partner still believes in is gone."""
        end.state, end.since = State.STARTUP, self.time
        if self.linked:
            self._lose_link()
        if end.is_primary:
            self.dial_at = self.time
        self.path_changed(silently=False)

    def force_partner_down(self, end: End) -> bool:
        """An administrator says that the partner is down; False where the state does not allow it."""
        if end.state not in MAY_BE_FORCED_DOWN:
            return False
        if self.linked:
            self._lose_link()
        self._enter(end, State.PARTNER_DOWN)
        self._note_phase()
        return True

    def set_parameters(self, end: End, **changes: object) -> None:
        """Change one end's parameters only, as when the partner cannot be reached."""
        end.parameters = replace(end.parameters, **changes)  # type: ignore[arg-type]  # names are checked by replace
        self._note_phase()

    # The history that leases are played against

    def note_clocks(self) -> None:
        """A server's clock was set."""
        self._note_phase()

    def _note_phase(self) -> None:
        phase = self._phase()
        if replace(phase, start=self.phases[-1].start) != self.phases[-1]:
            self.phases.append(phase)

    def _phase(self) -> Phase:
        states = tuple(end.state if end.alive else None for end in self.ends)
        return Phase(
            start=self.time,
            states=(states[0], states[1]),
            linked=self.linked,
            in_contact=self.in_contact,
            exchanging=self.in_contact
            and not self.clocks_apart
            and not {None, State.STARTUP, State.INIT} & set(states),
            whole_pool_from=(self._whole_pool_from(self.primary), self._whole_pool_from(self.secondary)),
        )

    @staticmethod
    def _whole_pool_from(end: End) -> float | None:
        return end.since + end.parameters.mclt_seconds if end.state is State.PARTNER_DOWN else None
