"""The WSMan actions on shells, each from a parsed request to the answer's envelope."""

import base64
import binascii
import uuid
from collections.abc import Callable, Mapping
from xml.sax.saxutils import escape

from psrpcore import PSRPCoreError

from dhcp_failover_exporter.simulator.wsman import soap
from dhcp_failover_exporter.simulator.wsman.machine import Account, Endpoint
from dhcp_failover_exporter.simulator.wsman.psrp import AbortedError
from dhcp_failover_exporter.simulator.wsman.shells import (
    DEFAULT_IDLE_SECONDS,
    SMALLEST_IDLE_SECONDS,
    Shell,
    Shells,
)

_SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
_TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
_POWERSHELL = "http://schemas.microsoft.com/powershell/"
# What lets go of something is never refused for the quota of operations.
_COUNTED = frozenset({"Create", "Command", "Receive"})
_MEMORY = "<rsp:MemoryUsed>58MB</rsp:MemoryUsed><rsp:ChildProcesses>0</rsp:ChildProcesses>"


class Operations:
    """What one connection may do with the service's shells. Every method raises WsmanFault."""

    def __init__(self, shells: Shells, endpoints: Mapping[str, Endpoint], client: str) -> None:
        self._shells = shells
        self._endpoints = endpoints
        self._client = client
        self._era = shells.era

    def operate(self, request: soap.Request, account: Account) -> bytes:
        """Carry out the request for the account and return the answer's envelope."""
        action = _ACTIONS.get(request.action)
        if action is None:
            raise soap.unsupported_action(request.action)
        if request.action not in _COUNTED:
            return action(self, request, account)
        with self._shells.operation(account):
            return action(self, request, account)

    def create(self, request: soap.Request, account: Account) -> bytes:
        """Open a shell on the endpoint that the resource names."""
        shell = self._shells.open(
            _attribute(request, "rsp:Shell", "ShellId") or _new_id(),
            account,
            self._endpoint(request),
            self._client,
            _idle_seconds(request),
            self._era,
        )
        _feed(shell, request.text("rsp:Shell/pwsh:creationXml"))
        created = (
            f"<x:ResourceCreated><a:Address>{escape(request.to)}</a:Address><a:ReferenceParameters>"
            f"<w:ResourceURI>{escape(request.resource_uri)}</w:ResourceURI><w:SelectorSet>"
            f'<w:Selector Name="ShellId">{escape(shell.shell_id)}</w:Selector></w:SelectorSet>'
            "</a:ReferenceParameters></x:ResourceCreated>"
        )
        return soap.answer(request, f"{_TRANSFER}/CreateResponse", created + self._description(shell))

    def command(self, request: soap.Request, account: Account) -> bytes:
        """Start a command; the answer does not wait for it."""
        command = _attribute(request, "rsp:CommandLine", "CommandId") or _new_id()
        with self._shells.using(request.shell_id, account) as shell:
            self._shells.count_command(shell)
            shell.pool.create(_command_id(command))
            _feed(shell, request.text("rsp:CommandLine/rsp:Arguments"))
        body = f"<rsp:CommandResponse><rsp:CommandId>{escape(command)}</rsp:CommandId></rsp:CommandResponse>"
        return soap.answer(request, f"{_SHELL}/CommandResponse", body)

    def send(self, request: soap.Request, account: Account) -> bytes:
        """Take further fragments for a command or for the pool."""
        with self._shells.using(request.shell_id, account) as shell:
            _feed(shell, request.text("rsp:Send/rsp:Stream"))
        return soap.answer(request, f"{_SHELL}/SendResponse", "<rsp:SendResponse/>")

    def receive(self, request: soap.Request, account: Account) -> bytes:
        """Wait for output of a command or of the pool, at most OperationTimeout."""
        command = _attribute(request, "rsp:Receive/rsp:DesiredStream", "CommandId")
        command_id = _command_id(command) if command else None
        with self._shells.using(request.shell_id, account) as shell:
            try:
                received = shell.pool.receive(command_id, request.operation_timeout)
            except KeyError:
                raise soap.unknown_command() from None
            except AbortedError:
                raise soap.aborted() from None
        if received is None:
            raise soap.operation_timed_out()
        return soap.answer(request, f"{_SHELL}/ReceiveResponse", _received(*received, command))

    def signal(self, request: soap.Request, account: Account) -> bytes:
        """Stop a command (Ctrl+C) or forget it (Terminate)."""
        command_id = _command_id(_attribute(request, "rsp:Signal", "CommandId"))
        stops = request.text("rsp:Signal/rsp:Code").casefold().endswith("ctrl_c")
        with self._shells.using(request.shell_id, account) as shell:
            try:
                (shell.pool.stop if stops else shell.pool.terminate)(command_id)
            except KeyError:
                raise soap.unknown_command() from None
        return soap.answer(request, f"{_SHELL}/SignalResponse", "<rsp:SignalResponse/>")

    def delete(self, request: soap.Request, account: Account) -> bytes:
        """End a shell."""
        with self._shells.using(request.shell_id, account) as shell:
            self._shells.delete(shell)
        return soap.answer(request, f"{_TRANSFER}/DeleteResponse", "")

    def get(self, request: soap.Request, account: Account) -> bytes:
        """Describe a shell; that is no use of it."""
        shell = self._shells.find(request.shell_id, account)
        return soap.answer(request, f"{_TRANSFER}/GetResponse", self._description(shell, _MEMORY))

    def _endpoint(self, request: soap.Request) -> Endpoint:
        name = request.resource_uri.removeprefix(_POWERSHELL)
        endpoint = self._endpoints.get(name.casefold())
        if endpoint is None:
            raise soap.unknown_endpoint(name)
        return endpoint

    def _description(self, shell: Shell, more: str = "") -> str:
        now = self._shells.clock()
        return (
            f"<rsp:Shell><rsp:ShellId>{escape(shell.shell_id)}</rsp:ShellId>"
            f"<rsp:ResourceUri>{_POWERSHELL}{escape(shell.endpoint.name)}</rsp:ResourceUri>"
            f"<rsp:Owner>{escape(shell.account.username)}</rsp:Owner>"
            f"<rsp:ClientIP>{shell.client}</rsp:ClientIP>"
            f"<rsp:ProcessId>{shell.process_id}</rsp:ProcessId>"
            f"<rsp:IdleTimeOut>PT{shell.idle_seconds:.3f}S</rsp:IdleTimeOut>"
            "<rsp:InputStreams>stdin pr</rsp:InputStreams><rsp:OutputStreams>stdout</rsp:OutputStreams>"
            "<rsp:MaxIdleTimeOut>PT2147483.647S</rsp:MaxIdleTimeOut><rsp:Locale>en-US</rsp:Locale>"
            "<rsp:DataLocale>en-US</rsp:DataLocale><rsp:CompressionMode>NoCompression</rsp:CompressionMode>"
            "<rsp:ProfileLoaded>Yes</rsp:ProfileLoaded><rsp:Encoding>UTF8</rsp:Encoding>"
            f"<rsp:BufferMode>Block</rsp:BufferMode><rsp:State>{shell.state(now)}</rsp:State>"
            f"<rsp:ShellRunTime>{soap.duration(now - shell.opened_at)}</rsp:ShellRunTime>"
            f"<rsp:ShellInactivity>{soap.duration(now - shell.used_at)}</rsp:ShellInactivity>"
            f"{more}</rsp:Shell>"
        )


_ACTIONS: Mapping[str, Callable[[Operations, soap.Request, Account], bytes]] = {
    "Create": Operations.create,
    "Command": Operations.command,
    "Send": Operations.send,
    "Receive": Operations.receive,
    "Signal": Operations.signal,
    "Delete": Operations.delete,
    "Get": Operations.get,
}


def _attribute(request: soap.Request, path: str, name: str) -> str:
    element = request.find(path)
    return "" if element is None else element.get(name, "")


def _new_id() -> str:
    return str(uuid.uuid4()).upper()


def _idle_seconds(request: soap.Request) -> float:
    text = request.text("rsp:Shell/rsp:IdleTimeOut")
    idle_seconds = soap.seconds(text) if text else DEFAULT_IDLE_SECONDS
    if idle_seconds < SMALLEST_IDLE_SECONDS:
        raise soap.idle_timeout_out_of_bounds()
    return idle_seconds


def _command_id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise soap.unknown_command() from None


def _feed(shell: Shell, fragments: str) -> None:
    try:
        shell.pool.feed(base64.b64decode(fragments, validate=True))
    except binascii.Error as error:
        raise soap.schema_violated(str(error)) from error
    except PSRPCoreError as error:
        raise soap.internal_error(str(error)) from error


def _received(fragments: list[bytes], ended: bool, command: str) -> str:
    target = f' CommandId="{escape(command)}"' if command else ""
    streams = "".join(
        f'<rsp:Stream Name="stdout"{target}>{base64.b64encode(fragment).decode()}</rsp:Stream>'
        for fragment in fragments
    )
    done = (
        f'<rsp:CommandState{target} State="{_SHELL}/CommandState/Done">'
        "<rsp:ExitCode>0</rsp:ExitCode></rsp:CommandState>"
    )
    return f"<rsp:ReceiveResponse>{streams}{done if ended else ''}</rsp:ReceiveResponse>"
