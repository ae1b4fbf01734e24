"""What can be wrong with the wire, set at run time by any thread and healed by `clear`.

Knows nothing of what is sent: it holds back, cuts and drips bytes.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Cut:
    """End a connection in mid-answer: after `at` bytes (None: half of them), for one action only if given."""

    at: int | None = None
    action: str | None = None


class Faults:
    """The wire's faults of one listener.

    Attributes (assign at any time):
        hang: requests are read and not answered until this is False again.
        hang_action: requests of this WSMan action are neither carried out nor answered; the connection ends
            when this is another or None.
        delay_seconds: what every request waits before it is worked on.
        drip_seconds: answers come one byte each so many seconds; 0 sends them whole.
        starting: WinRM is starting: everything is answered with HTTP 503.
        drop: the connection is closed instead of answering.
    """

    def __init__(self) -> None:
        self.delay_seconds = 0.0
        self.drip_seconds = 0.0
        self.starting = False
        self.drop = False
        self._hang = False
        self._hang_action: str | None = None
        self._cuts: list[Cut] = []
        self._changed = threading.Condition()

    @property
    def hang(self) -> bool:
        """Whether requests are read and not answered."""
        return self._hang

    @hang.setter
    def hang(self, value: bool) -> None:
        with self._changed:
            self._hang = value
            self._changed.notify_all()

    @property
    def hang_action(self) -> str | None:
        """The WSMan action that hangs."""
        return self._hang_action

    @hang_action.setter
    def hang_action(self, value: str | None) -> None:
        with self._changed:
            self._hang_action = value
            self._changed.notify_all()

    def cut_next_answer(self, at: int | None = None, *, action: str | None = None, times: int = 1) -> None:
        """End the connection in the middle of the next answers.

        Args:
            at: after so many bytes of the HTTP answer, head included; 0 sends none; None sends half of them.
            action: only answers to this WSMan action (`Receive`, `Command` ...; `Logon` for the handshake).
            times: how many answers.
        """
        with self._changed:
            self._cuts.extend([Cut(at, action)] * times)

    def clear(self) -> None:
        """Heal everything."""
        self.delay_seconds = self.drip_seconds = 0.0
        self.starting = self.drop = self.hang = False
        self.hang_action = None
        with self._changed:
            self._cuts.clear()

    def take_cut(self, action: str) -> Cut | None:
        """Return the cut that the answer to `action` is due, and count it as done."""
        with self._changed:
            due = next((cut for cut in self._cuts if cut.action in (None, action)), None)
            if due is not None:
                self._cuts.remove(due)
            return due

    def wait_while_hung(self, given_up: Callable[[], bool]) -> None:
        """Block until `hang` is over or `given_up()`, looked at whenever `wake` is called."""
        with self._changed:
            self._changed.wait_for(lambda: not self._hang or given_up())

    def wait_while_action_hangs(self, action: str, given_up: Callable[[], bool]) -> None:
        """Block until `action` does not hang any more or `given_up()`, looked at as above."""
        with self._changed:
            self._changed.wait_for(lambda: self._hang_action != action or given_up())

    def wake(self) -> None:
        """Let hung requests look again whether they are given up."""
        with self._changed:
            self._changed.notify_all()
