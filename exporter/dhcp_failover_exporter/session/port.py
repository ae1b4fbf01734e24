"""What the engine knows of a session: a call, its answer, the end. Nothing of PSRP, WinRM or sockets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Answer:
    """What a server wrote for one call.

    Attributes:
        documents: JSON texts as the collector wrote them, at least one, not parsed yet.
        sent: epoch seconds when the command left; retries, logon and opening excluded.
        received: epoch seconds when the last document was there.
        opened: this call had to log on or to open a shell, so its timing says nothing about clocks.
    """

    documents: list[str]
    sent: float
    received: float
    opened: bool


class Session(Protocol):
    """One server's session. Owned by one thread; only `interrupt` may be called from another."""

    def collect(
        self,
        sections: Sequence[str],
        scopes: Sequence[str] = (),
        after_event: int | None = None,
        *,
        timeout_seconds: float,
    ) -> Answer:
        """Ask for sections (optionally of these scopes, or the events after a record id), once.

        Raises:
            PollError: a subclass says why; never any other exception, never later than the timeout.
        """
        ...

    def renew(self) -> None:
        """A permission was missing: log on again soon, because rights apply at logon.

        The next call does so, but not within 5 minutes of the last logon, so that a right which is missing
        for good does not cost a logon per poll.
        """
        ...

    def interrupt(self) -> None:
        """End a running call at once and refuse further ones; only `close` is left. For another thread."""
        ...

    def close(self) -> None:
        """Delete the shell on the server, as far as that succeeds within 2 seconds. Raises nothing."""
        ...

    @property
    def auth(self) -> str:
        """As negotiated (kerberos, ntlm, basic, certificate); before the first logon as configured."""
        ...
