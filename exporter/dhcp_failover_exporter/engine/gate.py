"""The credential's gate: it stands before every logon, so that no account is locked by a wrong password.

What lives here: when a logon may be tried. What this file does not know: servers, sessions, what is asked.

Rule 1: after a refusal nobody tries the same secret for `PAUSE_SECONDS`, unless a reload asks for it.
Rule 2: at most `REFUSALS` refusals of the same secret in `WINDOW_SECONDS`, whoever asks for more.
Rule 3: while nothing proves the secret, one logon is tried at a time; the others wait for its verdict.
Rule 4: a new secret has no history.

Windows locks an account after a number of refusals within a time; 10 in 10 minutes is Microsoft's baseline
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
# A proof is no promise: the password may change under fifty kept sessions, which then renew one by one.
PROOF_SECONDS: Final = 60.0
# A silent server must not hold up the others that share its credential; so the next one may try meanwhile.
PATIENCE_SECONDS: Final = 2.0
WAIT_SECONDS: Final = 10.0


@dataclass(frozen=True, eq=False)
class _Trial:
    secret: Hashable
    started: float


@dataclass(frozen=True)
class _Refusal:
    secret: Hashable
    at: float


class Gate:
    """Shared by all workers of one account, and safe to be.

    The credential is handed in at each logon: a reload may have moved the file of its secret.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._trials: set[_Trial] = set()
        self._refusals: list[_Refusal] = []
        self._proof: tuple[Hashable, float] | None = None
        self._asked_again = float("-inf")

    @contextmanager
    def logon(self, credential: Credential) -> Iterator[None]:
        """Around one logon; an `AuthError` that leaves the block is a refusal, its normal end a proof.

        Raises:
            SuspendedError: no logon may be tried now.
            AuthError: the secret cannot be read; nothing was tried and nothing is counted.
        """
        trial = self._enter(credential)
        try:
            yield
        except AuthError:
            self._leave(trial, refused=True)
            raise
        except BaseException:
            self._leave(trial)
            raise
        self._leave(trial, proven=True)

    def is_open(self, credential: Credential) -> bool:
        """Whether a logon would be tried, now or after waiting for somebody else's."""
        try:
            secret = _fingerprint(credential)
        except AuthError:
            return False
        with self._changed:
            return self._shut_because(secret) is None

    def ask_again(self) -> None:
        """End the pause after a refusal; the limit of refusals stays."""
        with self._changed:
            self._asked_again = self._clock.monotonic()
            self._changed.notify_all()

    def _enter(self, credential: Credential) -> _Trial:
        secret = _fingerprint(credential)
        with self._changed:
            given_up = self._clock.monotonic() + WAIT_SECONDS
            while not self._admits(secret, credential.name):
                if self._clock.monotonic() >= given_up:
                    raise SuspendedError(f"credential {credential.name}: other logons are on trial")
                self._changed.wait(PATIENCE_SECONDS / 4)
            trial = _Trial(secret, self._clock.monotonic())
            self._trials.add(trial)
            return trial

    def _admits(self, secret: Hashable, name: str) -> bool:
        if reason := self._shut_because(secret):
            raise SuspendedError(f"credential {name}: {reason}")
        now = self._clock.monotonic()
        if self._proof and self._proof[0] == secret and now - self._proof[1] < PROOF_SECONDS:
            return True
        on_trial = [trial for trial in self._trials if trial.secret == secret]
        return (
            all(now - trial.started >= PATIENCE_SECONDS for trial in on_trial)
            and len(on_trial) + len(self._refused(secret)) < REFUSALS
        )

    def _shut_because(self, secret: Hashable) -> str | None:
        refused, now = self._refused(secret), self._clock.monotonic()
        if len(refused) >= REFUSALS:
            return f"refused {len(refused)} times in {WINDOW_SECONDS / 60:.0f} minutes"
        if any(at > self._asked_again and now - at < PAUSE_SECONDS for at in refused):
            return f"refused less than {PAUSE_SECONDS / 60:.0f} minutes ago"
        return None

    def _refused(self, secret: Hashable) -> list[float]:
        oldest = self._clock.monotonic() - WINDOW_SECONDS
        self._refusals = [refusal for refusal in self._refusals if refusal.at > oldest]
        return [refusal.at for refusal in self._refusals if refusal.secret == secret]

    def _leave(self, trial: _Trial, *, refused: bool = False, proven: bool = False) -> None:
        now = self._clock.monotonic()
        with self._changed:
            self._trials.remove(trial)
            if refused:
                self._refusals.append(_Refusal(trial.secret, now))
                self._proof = None
            if proven:
                self._proof = (trial.secret, now)
            self._changed.notify_all()


def _fingerprint(credential: Credential) -> Hashable:
    """What tells one secret from another, now; Python salts the hash of text anew in each process."""
    keytab = credential.keytab
    try:
        return hash((credential.secret(), keytab and keytab.stat().st_mtime_ns))
    except OSError as error:
        raise AuthError(f"credential {credential.name}: {keytab} cannot be read") from error
