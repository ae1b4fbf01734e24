"""A runspace pool: psrpcore's server side, one runspace and the pipelines that queue for it.

Knows neither WSMan envelopes nor HTTP: takes and gives PSRP fragments.
"""

import re
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

from psrpcore import (
    Command,
    CreatePipelineEvent,
    GetAvailableRunspacesEvent,
    PowerShell,
    PSRPEvent,
    PSRPPayload,
    ResetRunspaceStateEvent,
    ServerPipeline,
    ServerRunspacePool,
    SetMaxRunspacesEvent,
    SetMinRunspacesEvent,
    StreamType,
)
from psrpcore.types import (
    ErrorCategory,
    ErrorCategoryInfo,
    ErrorRecord,
    NETException,
    ProgressRecordType,
    PSInvocationState,
    PSVersion,
)

from dhcp_failover_exporter.simulator.wsman.machine import Caller, CommandError, Machine

# A Receive carries at most four fragments of 32,768 bytes, as seen in recorded exchanges
# (jborean93/pypsrp:tests/tests_pypsrp/responses/test_client_fetch_file.yml).
FRAGMENT_BYTES = 32_768
RECEIVE_BYTES = 131_072
_FRAGMENT_HEAD_BYTES = 21
_FUNCTION = re.compile(r"^function\s+(?:global:|script:)?([A-Za-z][\w-]*)", re.IGNORECASE | re.MULTILINE)
_ENDED = frozenset({PSInvocationState.Completed, PSInvocationState.Failed, PSInvocationState.Stopped})
_VERSIONS = {
    "PSVersion": PSVersion("5.1.20348.1"),
    "PSEdition": "Desktop",
    "CLRVersion": PSVersion("4.0.30319.42000"),
    "BuildVersion": PSVersion("10.0.20348.1"),
    "WSManStackVersion": PSVersion("3.0"),
}


class AbortedError(Exception):
    """The wait for output ended without any."""


class Outbox:
    """The fragments that wait for a Receive: of one pipeline, or of the pool itself."""

    def __init__(self) -> None:
        self._batches: deque[deque[bytes]] = deque([deque()])
        self.bytes_waiting = 0
        self.receives = 0

    def put(self, fragments: Sequence[bytes], *, ends_receive: bool = False) -> None:
        """Add fragments; `ends_receive` keeps what follows out of the same Receive."""
        self._batches[-1].extend(fragments)
        self.bytes_waiting += sum(map(len, fragments))
        if ends_receive:
            self._batches.append(deque())

    def take(self) -> list[bytes]:
        """Remove and return what one Receive carries."""
        if not self._batches[0] and len(self._batches) > 1:
            self._batches.popleft()
        batch, taken, size = self._batches[0], [], 0
        while batch and size < RECEIVE_BYTES:
            taken.append(batch.popleft())
            size += len(taken[-1])
        self.bytes_waiting -= size
        return taken


class Pipeline:
    """One command of the shell: psrpcore's pipeline, its outbox and whether the client gave it up."""

    def __init__(self, pool: ServerRunspacePool, pipeline_id: uuid.UUID) -> None:
        self.server = ServerPipeline(pool, pipeline_id)
        self.outbox = Outbox()
        self.stopped = threading.Event()

    @property
    def ended(self) -> bool:
        """Whether it is completed, failed or stopped."""
        return self.server.state in _ENDED

    def change_state(self, state: PSInvocationState, error: ErrorRecord | None = None) -> None:
        """Move to `state`.

        psrpcore 0.3.1 has no public way to fail, and announces Running, which Windows does not.
        """
        emit = state is not PSInvocationState.Running
        self.server._change_state(state, error=error, emit=emit)  # noqa: SLF001 - see the docstring


class Pool:
    """A runspace pool of one runspace. Every method may be called from any thread."""

    def __init__(self, machine: Machine, caller: Caller, gather_seconds: float) -> None:
        self._machine = machine
        self._caller = caller
        self._gather_seconds = gather_seconds
        self._server = ServerRunspacePool(application_private_data={"PSVersionTable": dict(_VERSIONS)})
        self._outbox = Outbox()
        self._pipelines: dict[uuid.UUID, Pipeline] = {}
        self._functions = {name.casefold() for name in caller.endpoint.functions}
        self._prepared = False
        self._closed = False
        self._changed = threading.Condition()
        self._queue: SimpleQueue[tuple[Pipeline, PowerShell] | None] = SimpleQueue()
        threading.Thread(target=self._runspace, name=f"runspace {caller.shell_id}", daemon=True).start()

    @property
    def commands(self) -> int:
        """Number of commands that the client has not terminated."""
        return len(self._pipelines)

    def feed(self, data: bytes) -> None:
        """Take fragments from the client and act on the messages that they complete."""
        with self._changed:
            self._server.receive_data(PSRPPayload(data, StreamType.default, None))
            while (event := self._server.next_event()) is not None:
                self._act(event)
            self._drain(self._outbox)
            self._changed.notify_all()

    def create(self, command_id: uuid.UUID) -> None:
        """Make room for a command; it starts when its last fragment is fed and the runspace is free."""
        with self._changed:
            self._pipelines[command_id] = Pipeline(self._server, command_id)

    def receive(self, command_id: uuid.UUID | None, timeout: float) -> tuple[list[bytes], bool] | None:
        """Wait for output: fragments, and whether the command ended; None if nothing came in `timeout` s.

        Raises KeyError for an unknown command, AbortedError if the pool is closed or a newer Receive takes
        over meanwhile, as the one of a client that lost its connection does.
        """
        with self._changed:
            pipeline = None if command_id is None else self._pipelines[command_id]
            outbox = self._outbox if pipeline is None else pipeline.outbox
            number = outbox.receives = outbox.receives + 1
            self._changed.notify_all()

            def is_over() -> bool:
                ended = pipeline is not None and pipeline.ended
                return ended or self._closed or outbox.receives != number

            if not self._changed.wait_for(lambda: bool(outbox.bytes_waiting) or is_over(), timeout):
                return None
            if pipeline is not None:
                self._changed.wait_for(
                    lambda: outbox.bytes_waiting >= RECEIVE_BYTES or is_over(), self._gather_seconds
                )
            if self._closed or outbox.receives != number:
                raise AbortedError
            fragments = outbox.take()
            return fragments, pipeline is not None and pipeline.ended and not outbox.bytes_waiting

    def stop(self, command_id: uuid.UUID) -> None:
        """Stop a command as Ctrl+C does; what it runs ends when the machine next looks. Raises KeyError."""
        with self._changed:
            self._stop(self._pipelines[command_id])
            self._changed.notify_all()

    def terminate(self, command_id: uuid.UUID) -> None:
        """Forget a command. Raises KeyError for an unknown one."""
        with self._changed:
            pipeline = self._pipelines.pop(command_id)
            self._stop(pipeline)
            pipeline.server.close()
            self._changed.notify_all()

    def close(self) -> None:
        """End the pool at once, as killing its process does."""
        with self._changed:
            self._closed = True
            self._caller.stopped.set()
            for pipeline in self._pipelines.values():
                pipeline.stopped.set()
            self._queue.put(None)
            self._changed.notify_all()

    def _stop(self, pipeline: Pipeline) -> None:
        pipeline.stopped.set()
        if not pipeline.ended:
            pipeline.change_state(PSInvocationState.Stopped, _pipeline_stopped())
            self._drain(pipeline.outbox)

    def _act(self, event: PSRPEvent[Any, Any]) -> None:
        if isinstance(event, CreatePipelineEvent):
            self._queue.put((self._pipelines[event.pipeline_id], event.pipeline))
        elif isinstance(event, GetAvailableRunspacesEvent):
            self._server.runspace_availability_response(event.ci, 1)
        elif isinstance(event, SetMaxRunspacesEvent | SetMinRunspacesEvent | ResetRunspaceStateEvent):
            self._server.runspace_availability_response(event.ci, True)

    def _drain(self, outbox: Outbox) -> None:
        """Move what psrpcore has to send into the outbox, one message after the other, in Windows' fragments.

        The capabilities and the private data of a new pool come in one Receive on the default endpoint and
        in one each on a JEA endpoint, its state in a further one, as recorded.
        """
        restricted = self._caller.endpoint.language == "NoLanguage"
        while (payload := self._server.data_to_send(FRAGMENT_BYTES)) is not None:
            fragments = list(_fragments(payload.data))
            if outbox is not self._outbox:
                outbox.put(fragments)
                continue
            for number, fragment in enumerate(fragments):
                outbox.put([fragment], ends_receive=restricted or number > 0)

    def _runspace(self) -> None:
        while (job := self._queue.get()) is not None:
            pipeline, script = job
            with self._changed:
                if pipeline.ended or self._closed:
                    continue
                pipeline.change_state(PSInvocationState.Running)
            self._end(pipeline, *self._run(pipeline, script))

    def _run(self, pipeline: Pipeline, script: PowerShell) -> tuple[PSInvocationState, ErrorRecord | None]:
        try:
            for command in script.commands:
                self._invoke(pipeline, command)
        except Exception as error:  # noqa: BLE001 - whatever a command raises is its error record
            return PSInvocationState.Failed, _error_record(error)
        return PSInvocationState.Completed, None

    def _end(self, pipeline: Pipeline, state: PSInvocationState, error: ErrorRecord | None) -> None:
        with self._changed:
            if not pipeline.ended:
                pipeline.change_state(state, error)
                self._drain(pipeline.outbox)
            self._changed.notify_all()

    def _invoke(self, pipeline: Pipeline, command: Command) -> None:
        if command.is_script:
            self._define(command)
            return
        if command.command_text.casefold() not in self._functions:
            raise _command_not_found(command.command_text)
        caller = Caller(self._caller.account, self._caller.endpoint, self._caller.shell_id, pipeline.stopped)
        self._prepare(pipeline)
        for text in self._machine.invoke(command.command_text, _parameters(command), caller):
            if not self._write(pipeline, text):
                return

    def _define(self, command: Command) -> None:
        if self._caller.endpoint.language == "NoLanguage":
            raise _scripts_not_allowed()
        if not command.use_local_scope:
            self._functions.update(name.casefold() for name in _FUNCTION.findall(command.command_text))

    def _prepare(self, pipeline: Pipeline) -> None:
        """Write the progress record that Windows sends when a fresh shell loads its first module."""
        if self._prepared:
            return
        self._prepared = True
        with self._changed:
            if not pipeline.ended:
                pipeline.server.write_progress(
                    "Preparing modules for first use.", 0, " ", record_type=ProgressRecordType.Completed
                )
                self._drain(pipeline.outbox)

    def _write(self, pipeline: Pipeline, text: str) -> bool:
        with self._changed:
            if pipeline.ended or self._closed:
                return False
            pipeline.server.write_output(text)
            self._drain(pipeline.outbox)
            self._changed.notify_all()
            return True


def _fragments(data: bytes) -> Iterator[bytes]:
    while data:
        size = _FRAGMENT_HEAD_BYTES + int.from_bytes(data[17:_FRAGMENT_HEAD_BYTES], "big")
        yield data[:size]
        data = data[size:]


def _parameters(command: Command) -> Mapping[str, object]:
    """Return the parameters by name, as plain Python values; positional ones by their number."""
    return {
        (name or str(position)).lstrip("-").rstrip(":"): _plain(value)
        for position, (name, value) in enumerate(command.parameters)
    }


def _plain(value: object) -> object:
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    return value


def _command_not_found(name: str) -> CommandError:
    text = (
        f"The term '{name}' is not recognized as the name of a cmdlet, function, script file, or operable "
        "program. Check the spelling of the name, or if a path was included, verify that the path is correct "
        "and try again."
    )
    return CommandError("CommandNotFoundException", "ObjectNotFound", text)


def _scripts_not_allowed() -> CommandError:
    text = (
        "The syntax is not supported by this runspace. This can occur if the runspace is in no-language mode."
    )
    return CommandError("ScriptsNotAllowed", "ParserError", text)


def _pipeline_stopped() -> ErrorRecord:
    return _error_record(
        CommandError("PipelineStopped", "OperationStopped", "The pipeline has been stopped.")
    )


_EXCEPTIONS = {
    "CommandNotFoundException": "CommandNotFoundException",
    "ScriptsNotAllowed": "ParseException",
    "PipelineStopped": "PipelineStoppedException",
}


def _error_record(error: Exception) -> ErrorRecord:
    """Return the error record of whatever a command raised."""
    error_id = str(getattr(error, "fully_qualified_error_id", "RuntimeException"))
    message = str(getattr(error, "message", error))
    reason = _EXCEPTIONS.get(error_id, "RuntimeException")
    exception = NETException(Message=message, HResult=-2146233087)
    exception.PSObject.type_names = [
        *dict.fromkeys(
            [
                f"System.Management.Automation.{reason}",
                "System.Management.Automation.RuntimeException",
                "System.SystemException",
            ]
        ),
        *exception.PSTypeNames,
    ]
    category = ErrorCategory.__members__.get(str(getattr(error, "category", "")), ErrorCategory.NotSpecified)
    return ErrorRecord(
        Exception=exception,
        CategoryInfo=ErrorCategoryInfo(Category=category, Reason=reason),
        FullyQualifiedErrorId=error_id,
    )
