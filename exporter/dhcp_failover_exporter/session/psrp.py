"""The session over PSRP: one kept shell on one server, and what becomes of it when something breaks.

Knows shells, pipelines and the collector's name; connection and deadline belong to `wire`, the meaning of
foreign exceptions to `faults`, the meaning of the documents to nobody here.
"""

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Final

from pypsrp.complex_objects import ObjectMeta, PSInvocationState
from pypsrp.powershell import DEFAULT_CONFIGURATION_NAME, PowerShell, RunspacePool
from pypsrp.wsman import SelectorSet

from dhcp_failover_exporter.collector import FUNCTION_NAME, SOURCE
from dhcp_failover_exporter.config import ServerSettings
from dhcp_failover_exporter.errors import (
    AuthError,
    ContractError,
    EndpointDeniedError,
    PollError,
    ProtocolError,
    QuotaError,
    SuspendedError,
)
from dhcp_failover_exporter.session.faults import ConnectionLostError, ShellUnknownError, mapped
from dhcp_failover_exporter.session.port import Answer
from dhcp_failover_exporter.session.wire import Guard, Wire

RENEW_AFTER_SECONDS: Final = 3600.0
RENEW_AFTER_CALLS: Final = 500
"""Every call may leave something on the server: commands count against MaxConcurrentCommandsPerShell."""
RENEW_AT_WISH_SECONDS: Final = 300.0
CLOSE_SECONDS: Final = 2.0
DELETE_AGAIN_SECONDS: Final = 60.0

# WinRM refuses less than 60. Long enough for two polls of a slow cadence, short enough for orphans to go.
IDLE_SECONDS: Final = 120
RECEIVE_SECONDS: Final = 20

_SHELL_NAMESPACE: Final = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"

Parameters = Mapping[str, object]


class PsrpSession:
    """One server's kept session; see `port.Session` for what callers may expect.

    Never has more than two shells on the server: the one in use and at most one that was given up and waits
    to be deleted. While one waits, the session is not renewed.

    Args:
        settings: the server.
        opened: called with the reason each time a shell was opened: first, renewed, expired (the server no
            longer knew it), lost (the connection broke in mid-answer, or the deadline passed), permission.
        closed: called each time a shell was given up.
        logon: entered around every logon, also of a renewal or after a closed connection; left with AuthError
            if it was refused, normally if it was accepted. What it raises on entry (SuspendedError) forbids
            the logon; a renewal is then put off and the old shell goes on.
    """

    def __init__(
        self,
        settings: ServerSettings,
        opened: Callable[[str], object] = lambda _reason: None,
        closed: Callable[[], object] = lambda: None,
        logon: Guard = nullcontext,
    ) -> None:
        self._settings = settings
        self._opened, self._closed = opened, closed
        self._wire = Wire(settings, logon)
        self._shell: _Shell | None = None
        self._lost: list[str] = []
        self._no_deletion_before = 0.0
        self._next_reason = "first"
        self._renewal_wished = False
        self._no_renewal_before = 0.0
        self._logon_refused = False

    @property
    def auth(self) -> str:
        """As negotiated; before the first logon as configured."""
        return self._wire.auth

    def collect(
        self,
        sections: Sequence[str],
        scopes: Sequence[str] = (),
        after_event: int | None = None,
        *,
        timeout_seconds: float,
    ) -> Answer:
        """One call to the collector; see `port.Session.collect`."""
        parameters = _parameters(sections, scopes, after_event)
        ends = time.monotonic() + timeout_seconds
        with self._wire.within(timeout_seconds):
            answer = self._answer(parameters)
        self._delete_lost_if_due(ends - time.monotonic())
        return answer

    def renew(self) -> None:
        """Log on again soon, as `port.Session.renew` says."""
        self._renewal_wished = True

    def interrupt(self) -> None:
        """End a running call at once; for another thread."""
        self._wire.interrupt()

    def memory_megabytes(self) -> float | None:
        """What the shell holds on the server, as WinRM says; None without a shell, or where it does not say.

        Raises:
            PollError: no answer within `CLOSE_SECONDS`.
        """
        if self._shell is None:
            return None
        with self._wire.within(CLOSE_SECONDS), mapped(self._wire):
            shell = self._wire.wsman.get(_resource(self._settings), selector_set=_selector(self._shell.id))
        return _megabytes(shell.findtext(f".//{{{_SHELL_NAMESPACE}}}MemoryUsed"))

    def close(self) -> None:
        """Delete what is left on the server within `CLOSE_SECONDS`, and disconnect. Raises nothing."""
        self._wire.resume()
        with self._wire.within(CLOSE_SECONDS):
            self._abandon("first")
            if not self._logon_refused:
                self._delete_lost()
        self._wire.reset()

    def _answer(self, parameters: Parameters) -> Answer:
        """Repeat what a lost connection or shell has spoilt, once for each kind of loss."""
        repeated: set[tuple[type[PollError], bool]] = set()
        while True:
            try:
                return self._attempt(parameters)
            except (ConnectionLostError, ShellUnknownError) as loss:
                in_answer = self._shell is None or self._shell.busy
                self._clear_up(loss)
                if (type(loss), in_answer) in repeated:
                    raise
                repeated.add((type(loss), in_answer))
            except PollError as error:
                self._clear_up(error)
                raise

    def _attempt(self, parameters: Parameters) -> Answer:
        kept = self._shell
        self._renew_if_due()
        opening = kept is None or self._shell is not kept or not self._wire.logged_on
        shell = self._shell or self._open()
        with mapped(self._wire):
            documents, sent, received = shell.call(parameters)
        self._logon_refused = False
        return Answer(documents, sent, received, opened=opening)

    def _open(self) -> "_Shell":
        while len(self._lost) > 1:
            self._delete(self._lost[0])
        shell = self._new_shell()
        self._take(shell)
        return shell

    def _new_shell(self) -> "_Shell":
        shell = _Shell(self._wire, self._settings)
        try:
            with mapped(self._wire):
                shell.pool.open()
        except (AuthError, EndpointDeniedError, QuotaError):
            raise
        except PollError:
            # Create may have arrived although its answer did not.
            self._lost.append(shell.id)
            raise
        return shell

    def _take(self, shell: "_Shell") -> None:
        self._shell = shell
        self._opened(self._next_reason)

    def _clear_up(self, error: PollError) -> None:
        """Leave the session in a state from which the next attempt can start."""
        match error:
            case ContractError():
                self.renew()
            case ShellUnknownError():
                self._abandon("expired")
            case QuotaError():
                pass
            case _:
                self._wire.reset()
                self._logon_refused |= isinstance(error, AuthError)
                self._give_up_if_spoilt(error)

    def _give_up_if_spoilt(self, error: PollError) -> None:
        if isinstance(error, EndpointDeniedError):
            self._abandon("permission")
        elif isinstance(error, ProtocolError) or (self._shell and self._shell.busy):
            self._abandon("lost")

    def _renew_if_due(self) -> None:
        if self._shell is None or self._lost or time.monotonic() < self._no_renewal_before:
            return
        if self._renewal_wished and self._shell.age > RENEW_AT_WISH_SECONDS:
            self._renew("permission")
        elif self._shell.age > RENEW_AFTER_SECONDS or self._shell.calls >= RENEW_AFTER_CALLS:
            self._renew("renewed")

    def _renew(self, reason: str) -> None:
        """Open a new shell, and give the old one up only then: where that fails, it goes on.

        The old one is deleted after the answer, as a lost one is, so that a Delete that hangs costs no poll.
        """
        self._renewal_wished = False
        self._no_renewal_before = time.monotonic() + RENEW_AT_WISH_SECONDS
        try:
            with self._wire.fresh_logon():
                shell = self._new_shell()
        except (SuspendedError, QuotaError):
            return
        self._abandon(reason)
        self._take(shell)

    def _abandon(self, reason: str) -> None:
        """Give the shell up; it is deleted when there is a connection and time."""
        if self._shell:
            self._lost.append(self._shell.id)
            self._shell = None
            self._next_reason = reason
            self._closed()

    def _delete_lost_if_due(self, seconds: float) -> None:
        """Delete shells that were given up; holds an answer `CLOSE_SECONDS` at most, and not every one."""
        if not self._lost or time.monotonic() < self._no_deletion_before:
            return
        with self._wire.within(min(CLOSE_SECONDS, seconds)):
            self._delete_lost()
        if self._lost:
            self._no_deletion_before = time.monotonic() + DELETE_AGAIN_SECONDS

    def _delete_lost(self) -> None:
        """Delete the shells that were given up, as far as that succeeds; the rest waits for the next time."""
        for _ in range(2):  # the first time may find the kept connection closed
            try:
                while self._lost:
                    self._delete(self._lost[0])
            except ConnectionLostError:
                self._wire.reset()
            except PollError:
                self._wire.reset()
                return

    def _delete(self, shell_id: str) -> None:
        try:
            with mapped(self._wire):
                self._wire.wsman.delete(_resource(self._settings), selector_set=_selector(shell_id))
        except (ProtocolError, EndpointDeniedError):
            pass  # gone, or another account's: the idle timeout does the rest
        self._lost.remove(shell_id)


class _Shell:
    """A runspace pool of one runspace, with the collector in it."""

    def __init__(self, wire: Wire, settings: ServerSettings) -> None:
        self._wire = wire
        self._has_collector = settings.configuration_name != DEFAULT_CONFIGURATION_NAME
        self._since = time.monotonic()
        self.calls = 0
        self.busy = False
        self.pool = RunspacePool(
            wire.wsman,
            configuration_name=settings.configuration_name,
            min_runspaces=1,
            max_runspaces=1,
            no_profile=True,
            idle_timeout=max(IDLE_SECONDS, math.ceil(2.5 * settings.intervals.state_seconds)),
        )

    @property
    def id(self) -> str:
        return self.pool.shell.id or self.pool.id

    @property
    def age(self) -> float:
        """Seconds since it was opened."""
        return time.monotonic() - self._since

    def call(self, parameters: Parameters) -> tuple[list[str], float, float]:
        """Documents, and the epoch seconds around the command."""
        self.calls += 1
        if not self._has_collector:
            # `use_local_scope` would make the function vanish with the pipeline that defines it.
            self._run(lambda pipeline: pipeline.add_script(SOURCE))
            self._has_collector = True
        output, sent, received = self._run(lambda pipeline: self._command(pipeline, parameters))
        return _documents(output), sent, received

    def _command(self, pipeline: PowerShell, parameters: Parameters) -> None:
        pipeline.add_cmdlet(FUNCTION_NAME)
        for name, value in parameters.items():
            # pypsrp sends every int as I32, which ends at 2,147,483,647.
            wide = self.pool.serialize(value, ObjectMeta("I64")) if isinstance(value, int) else value
            pipeline.add_parameter(name, wide)

    def _run(self, fill: Callable[[PowerShell], object]) -> tuple[list[object], float, float]:
        pipeline = PowerShell(self.pool)
        fill(pipeline)
        self.pool.pipelines.clear()  # pypsrp keeps those whose connection was lost
        sent = time.time()
        pipeline.begin_invoke()
        self.busy = True
        while pipeline.state == PSInvocationState.RUNNING:
            pipeline.poll_invoke(timeout=min(RECEIVE_SECONDS, math.ceil(self._wire.remaining())))
        received = time.time()
        self.busy = False
        self._terminate(pipeline)
        if pipeline.state != PSInvocationState.COMPLETED:
            raise ContractError(f"{self._wire.server}: {_failure(pipeline)}", _error_id(pipeline))
        return pipeline.output, sent, received

    def _terminate(self, pipeline: PowerShell) -> None:
        """Let the server forget the command; an answer that is whole is not given up for it."""
        try:
            with mapped(self._wire):
                pipeline.close()
        except ShellUnknownError:
            pass
        except PollError:
            self._wire.reset()


def _resource(settings: ServerSettings) -> str:
    return f"http://schemas.microsoft.com/powershell/{settings.configuration_name}"


def _selector(shell_id: str) -> SelectorSet:
    selectors = SelectorSet()
    selectors.add_option("ShellId", shell_id)
    return selectors


def _parameters(sections: Sequence[str], scopes: Sequence[str], after_event: int | None) -> Parameters:
    """The collector's parameters; pypsrp sends lists as lists and cannot send tuples."""
    given = {"Section": list(sections), "ScopeId": list(scopes), "AfterEvent": after_event}
    return {name: value for name, value in given.items() if value not in ([], None)}


def _documents(output: Sequence[object]) -> list[str]:
    documents = [text for text in output if isinstance(text, str)]
    if not documents or len(documents) != len(output):
        raise ContractError(f"{FUNCTION_NAME} wrote {len(output)} objects, {len(documents)} of them text")
    return documents


_HINTS: Final = {
    "CommandNotFoundException": f"the endpoint does not know {FUNCTION_NAME}",
    "ScriptsNotAllowed": "the endpoint takes no scripts: give the JEA endpoint's name as configuration_name",
}


def _failure(pipeline: PowerShell) -> str:
    if not pipeline.streams.error:
        return "the pipeline did not complete and says nothing"
    record = pipeline.streams.error[-1]
    name = _error_id(pipeline) or ""
    hint = next((text for part, text in _HINTS.items() if part in name), "the pipeline failed")
    return f"{hint} ({name}, category {record.category}): {' '.join(str(record).split())[:300]}"


def _error_id(pipeline: PowerShell) -> str | None:
    return str(pipeline.streams.error[-1].fq_error) if pipeline.streams.error else None


def _megabytes(text: str | None) -> float | None:
    """Megabytes as WinRM writes them: `58MB`."""
    figure = re.fullmatch(r"(\d+(\.\d+)?) ?MB", text or "")
    return float(figure[1]) if figure else None
