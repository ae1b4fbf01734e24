"""The credential's gate: it stands before every logon, so that no account is locked by a wrong password.

What lives here: when a logon may be tried. What this file does not know: sessions, polls, what is asked.

Rule 1: after a refusal nobody tries the same secret for `PAUSE_SECONDS`, unless a reload asks for it.
Rule 2: at most `REFUSALS` refusals of the same secret in `WINDOW_SECONDS`, whoever asks for more.
Rule 3: while nothing proves the secret, one logon is tried at a time; the others wait for its verdict.
Rule 4: a new secret has no history. A proof turns older refusals into those servers' own affair: one server
        that refuses a right password must not shut out the others for ever, so it also tries last.

Windows locks an account after so many refusals in a row; Microsoft's baseline is 10 within 10 minutes
(learn.microsoft.com, "Account lockout threshold"). The numbers below stay well under it.
"""

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from dhcp_failover_exporter.config import Credential
from dhcp_failover_exporter.engine.clock import Clock
from dhcp_failover_exporter.errors import AuthError, SuspendedError

PAUSE_SECONDS: Final = 600.0
WINDOW_SECONDS: Final = 1800.0
REFUSALS: Final = 3
# By so much a server that refused waits longer than the others.
LAST_SECONDS: Final = 15.0
# A proof is no promise: the password may change under fifty kept sessions, which then renew one by one.
PROOF_SECONDS: Final = 60.0
# A silent server must not hold up the others that share its credential; so the next one may try meanwhile.
PATIENCE_SECONDS: Final = 2.0
WAIT_SECONDS: Final = 5.0


@dataclass(frozen=True, eq=False)
class _Attempt:
    """One logon at one server; `at` is when it started, of a refusal when it was refused."""

    secret: Hashable
    server: str
    at: float


class Gate:
    """Shared by all workers of one account, and safe to be.

    The credential is handed in at each logon: a reload may have moved the file of its secret.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._trials: set[_Attempt] = set()
        self._refusals: list[_Attempt] = []
        self._proofs: dict[Hashable, float] = {}
        self._asked_again = float("-inf")

    @contextmanager
    def logon(self, credential: Credential, server: str) -> Iterator[None]:
        """Around one logon; an `AuthError` that leaves the block is a refusal, its normal end a proof.

        Raises:
            SuspendedError: no logon may be tried now.
            AuthError: the secret cannot be read; nothing was tried and nothing is counted.
        """
        trial = self._enter(credential, server)
        try:
            yield
        except AuthError:
            self._refuse(trial)
            raise
        else:
            self._prove(trial)
        finally:
            self._leave(trial)

    def is_open(self, credential: Credential, server: str) -> bool:
        """Whether a logon would be tried, now or after waiting for somebody else's."""
        try:
            secret = _fingerprint(credential)
        except AuthError:
            return False
        with self._changed:
            return self._shut_because(secret, server) is None

    def ask_again(self) -> None:
        """End the pause after a refusal; the limit of refusals stays."""
        with self._changed:
            self._asked_again = self._clock.monotonic()
            self._changed.notify_all()

    # --- in and out ---------------------------------------------------------------------------------------

    def _enter(self, credential: Credential, server: str) -> _Attempt:
        secret = _fingerprint(credential)
        with self._changed:
            given_up = self._clock.monotonic() + WAIT_SECONDS
            while True:
                if reason := self._shut_because(secret, server):
                    raise SuspendedError(f"credential {credential.name}: {reason}")
                if self._has_room(secret, server):
                    break
                if self._clock.monotonic() >= given_up:
                    raise SuspendedError(f"credential {credential.name}: other logons are on trial")
                self._changed.wait(PATIENCE_SECONDS / 4)
            trial = _Attempt(secret, server, self._clock.monotonic())
            self._trials.add(trial)
            return trial

    def _refuse(self, trial: _Attempt) -> None:
        with self._changed:
            self._refusals.append(_Attempt(trial.secret, trial.server, self._clock.monotonic()))

    def _prove(self, trial: _Attempt) -> None:
        with self._changed:
            self._proofs[trial.secret] = self._clock.monotonic()

    def _leave(self, trial: _Attempt) -> None:
        with self._changed:
            self._trials.remove(trial)
            self._changed.notify_all()

    # --- what is known of a secret ------------------------------------------------------------------------

    def _shut_because(self, secret: Hashable, server: str) -> str | None:
        refusals, now = self._refusals_of(secret, server), self._clock.monotonic()
        if len(refusals) >= REFUSALS:
            return f"refused {len(refusals)} times in {WINDOW_SECONDS / 60:.0f} minutes"
        if any(at > self._asked_again and now < at + pause for at, pause in refusals):
            return f"refused less than {PAUSE_SECONDS / 60:.0f} minutes ago"
        return None

    def _has_room(self, secret: Hashable, server: str) -> bool:
        now = self._clock.monotonic()
        if self._is_proven(secret, now):
            return True
        trials = [trial for trial in self._trials if trial.secret == secret]
        return (
            all(now - trial.at >= PATIENCE_SECONDS for trial in trials)
            and len(trials) + len(self._refusals_of(secret, server)) < REFUSALS
        )

    def _is_proven(self, secret: Hashable, now: float) -> bool:
        proven = self._proofs.get(secret, float("-inf"))
        refused = any(it.secret == secret and it.at >= proven for it in self._refusals)
        return not refused and now - proven < PROOF_SECONDS

    def _refusals_of(self, secret: Hashable, server: str) -> list[tuple[float, float]]:
        """When the secret was refused, and for how long that holds this server up."""
        oldest = self._clock.monotonic() - WINDOW_SECONDS
        self._refusals = [it for it in self._refusals if it.at > oldest]
        proven = self._proofs.get(secret, float("-inf"))
        return [
            (it.at, PAUSE_SECONDS + (LAST_SECONDS if it.server == server else 0.0))
            for it in self._refusals
            if it.secret == secret and (it.at >= proven or it.server == server)
        ]


def _fingerprint(credential: Credential) -> Hashable:
    """What tells one secret from another, now; Python salts the hash of text anew in each process."""
    keytab = credential.keytab
    try:
        return hash((credential.secret(), keytab and keytab.stat().st_mtime_ns))
    except OSError as error:
        raise AuthError(f"credential {credential.name}: {keytab} cannot be read") from error
