"""The twelve states of a failover relationship, who answers clients in them, and the legal ways between them.

No way leads to NoState; `Oddities.state_not_known` shows it on request.

Meanings: https://learn.microsoft.com/en-us/windows/win32/api/dhcpsapi/ne-dhcpsapi-fsm_state. The ways are
those of the protocol that Windows implements (draft-ietf-dhc-failover-12, section 9).
"""

from enum import StrEnum


class State(StrEnum):
    """Spelled as the property State of Get-DhcpServerv4Failover."""

    NO_STATE = "NoState"
    INIT = "Init"
    STARTUP = "Startup"
    NORMAL = "Normal"
    COMMUNICATION_INTERRUPTED = "CommunicationInterrupted"
    PARTNER_DOWN = "PartnerDown"
    POTENTIAL_CONFLICT = "PotentialConflict"
    CONFLICT_DONE = "ConflictDone"
    RESOLUTION_INTERRUPTED = "ResolutionInterrupted"
    RECOVER = "Recover"
    RECOVER_WAIT = "RecoverWait"
    RECOVER_DONE = "RecoverDone"

    @property
    def event_name(self) -> str:
        """As the event log spells it: other than the cmdlet, with spaces."""
        return _EVENT_NAMES.get(self, self.value.upper())

    @property
    def answers_everyone(self) -> bool:
        """Whether a server in this state serves new clients (in Normal as the mode says)."""
        return self in _ANSWERING

    @property
    def answers_renewals(self) -> bool:
        """Whether a server in this state renews and rebinds."""
        return self in _ANSWERING or self is State.RECOVER_DONE


_EVENT_NAMES = {
    State.NO_STATE: "NO STATE",
    State.COMMUNICATION_INTERRUPTED: "COMMUNICATION INTERRUPTED",
    State.PARTNER_DOWN: "PARTNER DOWN",
    State.POTENTIAL_CONFLICT: "POTENTIAL CONFLICT",
    State.CONFLICT_DONE: "CONFLICT DONE",
    State.RESOLUTION_INTERRUPTED: "RESOLUTION INTERRUPTED",
    State.RECOVER_WAIT: "RECOVER WAIT",
    State.RECOVER_DONE: "RECOVER DONE",
}

_ANSWERING = {
    State.NORMAL,
    State.COMMUNICATION_INTERRUPTED,
    State.PARTNER_DOWN,
    State.CONFLICT_DONE,
    State.RESOLUTION_INTERRUPTED,
}

WHEN_CONTACT_IS_LOST = {
    State.NORMAL: State.COMMUNICATION_INTERRUPTED,
    State.POTENTIAL_CONFLICT: State.RESOLUTION_INTERRUPTED,
    State.CONFLICT_DONE: State.COMMUNICATION_INTERRUPTED,
}
"""What losing the partner does; every other state outlives it."""

_TOOK_OVER = {
    State.PARTNER_DOWN,
    State.POTENTIAL_CONFLICT,
    State.RESOLUTION_INTERRUPTED,
    State.CONFLICT_DONE,
}

WHEN_IN_CONTACT = {
    (State.INIT, State.INIT): State.RECOVER,
    (State.COMMUNICATION_INTERRUPTED, State.COMMUNICATION_INTERRUPTED): State.NORMAL,
    (State.COMMUNICATION_INTERRUPTED, State.NORMAL): State.NORMAL,
    (State.NORMAL, State.PARTNER_DOWN): State.POTENTIAL_CONFLICT,
    (State.PARTNER_DOWN, State.NORMAL): State.POTENTIAL_CONFLICT,
    (State.PARTNER_DOWN, State.COMMUNICATION_INTERRUPTED): State.POTENTIAL_CONFLICT,
    (State.RESOLUTION_INTERRUPTED, State.COMMUNICATION_INTERRUPTED): State.POTENTIAL_CONFLICT,
    **{(State.COMMUNICATION_INTERRUPTED, partner): State.POTENTIAL_CONFLICT for partner in _TOOK_OVER},
    **{(State.PARTNER_DOWN, partner): State.POTENTIAL_CONFLICT for partner in _TOOK_OVER},
    **{(State.RESOLUTION_INTERRUPTED, partner): State.POTENTIAL_CONFLICT for partner in _TOOK_OVER},
    **{
        (State.RECOVER_DONE, partner): State.NORMAL
        for partner in (
            State.NORMAL, State.COMMUNICATION_INTERRUPTED, State.PARTNER_DOWN, State.RECOVER_DONE,
        )
    },
    (State.COMMUNICATION_INTERRUPTED, State.RECOVER_DONE): State.NORMAL,
    (State.PARTNER_DOWN, State.RECOVER_DONE): State.NORMAL,
}  # fmt: skip
"""(own state, partner's state) -> what learning of the partner's state does; nothing for other pairs."""

MAY_BE_FORCED_DOWN = {State.NORMAL, State.COMMUNICATION_INTERRUPTED, State.RESOLUTION_INTERRUPTED}
"""States from which an administrator can declare the partner down."""
