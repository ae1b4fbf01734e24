"""What WinRM says on one connection: HTTP status, logon, encryption, and the WSMan actions on shells."""

import base64
import binascii
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from psrpcore import PSRPCoreError

from dhcp_failover_exporter.simulator.wsman import soap
from dhcp_failover_exporter.simulator.wsman.faults import Faults
from dhcp_failover_exporter.simulator.wsman.listener import HttpAnswer, HttpRequest, Peer
from dhcp_failover_exporter.simulator.wsman.logon import (
    Authority,
    Logon,
    LogonRefusedError,
    Progress,
    UndecipherableError,
)
from dhcp_failover_exporter.simulator.wsman.machine import Account, Endpoint
from dhcp_failover_exporter.simulator.wsman.shells import (
    DEFAULT_IDLE_SECONDS,
    SMALLEST_IDLE_SECONDS,
    Shell,
    Shells,
)

_SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
_TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
_POWERSHELL = "http://schemas.microsoft.com/powershell/"
_SOAP = "application/soap+xml;charset=UTF-8"
_LOGON = "Logon"


@dataclass(frozen=True)
class Service:
    """What all connections of a listener share."""

    authority: Authority
    shells: Shells
    endpoints: Mapping[str, Endpoint]
    faults: Faults
    allow_unencrypted: bool
    computer_name: str
    count: Callable[[str], None]


class Conversation:
    """The handler of one connection."""

    def __init__(self, service: Service, peer: Peer) -> None:
        self._service = service
        self._peer = peer
        self._logon = Logon(service.authority, peer)

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Answer one HTTP request."""
        answer = self._answer(request)
        self._service.count(answer.action)
        return answer

    def _answer(self, request: HttpRequest) -> HttpAnswer:
        if self._service.faults.starting:
            return HttpAnswer(
                503, (("Content-Type", "text/html; charset=us-ascii"),), b"", "Starting", closes=True
            )
        if request.path != "/wsman":
            return HttpAnswer(404, action="Other")
        if request.method != "POST":
            return HttpAnswer(405, action="Other")
        try:
            progress = self._logon.authenticate(request)
        except LogonRefusedError:
            progress = Progress()
        if progress.account is None:
            return self._challenge(progress)
        return self._authenticated(request, progress, progress.account)

    def _challenge(self, progress: Progress) -> HttpAnswer:
        if progress.token is None:
            return HttpAnswer(401, self._service.authority.challenges, action=_LOGON)
        return HttpAnswer(401, _token(progress), action=_LOGON)

    def _authenticated(self, request: HttpRequest, progress: Progress, account: Account) -> HttpAnswer:
        headers = _token(progress)
        if not request.body:
            return HttpAnswer(200, headers, action=_LOGON)
        encrypted = request.headers.get("content-type", "").startswith("multipart/encrypted")
        if not (encrypted or self._peer.encrypted or self._service.allow_unencrypted):
            return HttpAnswer(500, headers, action="Other")
        try:
            envelope = self._logon.decrypt(request) if encrypted else request.body
            status, action, body = self._operate(envelope, account)
        except (UndecipherableError, ET.ParseError):
            return HttpAnswer(400, headers, action="Other")
        content_type, body = self._logon.encrypt(body, request) if encrypted else (_SOAP, body)
        return HttpAnswer(status, (*headers, ("Content-Type", content_type)), body, action)

    def _operate(self, envelope: bytes, account: Account) -> tuple[int, str, bytes]:
        """Carry out a WSMan request: HTTP status, action and envelope of the answer."""
        request: soap.Request | None = None
        try:
            request = soap.parse(envelope)
            operation = _OPERATIONS.get(request.action)
            if operation is None:
                raise soap.unsupported_action(request.action)
            with self._service.shells.operation(account):
                return 200, request.action, operation(self, request, account)
        except soap.WsmanFault as fault:
            relates_to, action = (request.message_id, request.action) if request else ("", "Other")
            return 500, action, soap.fault(relates_to, fault, self._service.computer_name)

    def _create(self, request: soap.Request, account: Account) -> bytes:
        name = request.resource_uri.removeprefix(_POWERSHELL)
        endpoint = self._service.endpoints.get(name.casefold())
        if endpoint is None:
            raise soap.unknown_endpoint(name)
        idle = request.text("rsp:Shell/rsp:IdleTimeOut")
        idle_seconds = soap.seconds(idle) if idle else DEFAULT_IDLE_SECONDS
        if idle_seconds < SMALLEST_IDLE_SECONDS:
            raise soap.idle_timeout_out_of_bounds()
        element = request.find("rsp:Shell")
        shell_id = "" if element is None else element.get("ShellId", "")
        data = _decoded(request.text("rsp:Shell/pwsh:creationXml"))
        shell = self._service.shells.open(
            shell_id or str(uuid.uuid4()).upper(), account, endpoint, self._peer.address, idle_seconds
        )
        _feed(shell, data)
        created = (
            f"<x:ResourceCreated><a:Address>{escape(request.to)}</a:Address><a:ReferenceParameters>"
            f"<w:ResourceURI>{escape(request.resource_uri)}</w:ResourceURI><w:SelectorSet>"
            f'<w:Selector Name="ShellId">{escape(shell.shell_id)}</w:Selector></w:SelectorSet>'
            "</a:ReferenceParameters></x:ResourceCreated>"
        )
        return soap.answer(request, f"{_TRANSFER}/CreateResponse", created + self._description(shell))

    def _command(self, request: soap.Request, account: Account) -> bytes:
        element = request.find("rsp:CommandLine")
        command = (None if element is None else element.get("CommandId")) or str(uuid.uuid4()).upper()
        with self._service.shells.using(request.shell_id, account) as shell:
            self._service.shells.count_command(shell)
            shell.pool.create(_command_id(command))
            _feed(shell, _decoded(request.text("rsp:CommandLine/rsp:Arguments")))
        body = f"<rsp:CommandResponse><rsp:CommandId>{escape(command)}</rsp:CommandId></rsp:CommandResponse>"
        return soap.answer(request, f"{_SHELL}/CommandResponse", body)

    def _send(self, request: soap.Request, account: Account) -> bytes:
        with self._service.shells.using(request.shell_id, account) as shell:
            _feed(shell, _decoded(request.text("rsp:Send/rsp:Stream")))
        return soap.answer(request, f"{_SHELL}/SendResponse", "<rsp:SendResponse/>")

    def _receive(self, request: soap.Request, account: Account) -> bytes:
        stream = request.find("rsp:Receive/rsp:DesiredStream")
        command = None if stream is None else stream.get("CommandId")
        with self._service.shells.using(request.shell_id, account) as shell:
            try:
                received = shell.pool.receive(
                    _command_id(command) if command else None, request.operation_timeout
                )
            except KeyError:
                raise (soap.aborted() if shell.pool.closed else soap.unknown_command()) from None
        if received is None:
            raise soap.operation_timed_out()
        fragments, ended = received
        return soap.answer(request, f"{_SHELL}/ReceiveResponse", _received(fragments, command, ended=ended))

    def _signal(self, request: soap.Request, account: Account) -> bytes:
        element = request.find("rsp:Signal")
        command = _command_id("" if element is None else element.get("CommandId", ""))
        with self._service.shells.using(request.shell_id, account) as shell:
            end = shell.pool.terminate
            if request.text("rsp:Signal/rsp:Code").casefold().endswith("ctrl_c"):
                end = shell.pool.stop
            try:
                end(command)
            except KeyError:
                raise soap.unknown_command() from None
        return soap.answer(request, f"{_SHELL}/SignalResponse", "<rsp:SignalResponse/>")

    def _delete(self, request: soap.Request, account: Account) -> bytes:
        with self._service.shells.using(request.shell_id, account) as shell:
            self._service.shells.delete(shell)
        return soap.answer(request, f"{_TRANSFER}/DeleteResponse", "")

    def _get(self, request: soap.Request, account: Account) -> bytes:
        shell = self._service.shells.find(request.shell_id, account)
        memory = "<rsp:MemoryUsed>58MB</rsp:MemoryUsed><rsp:ChildProcesses>0</rsp:ChildProcesses>"
        description = self._description(shell, memory)
        return soap.answer(request, f"{_TRANSFER}/GetResponse", description)

    def _description(self, shell: Shell, more: str = "") -> str:
        now = self._service.shells.clock()
        return (
            f"<rsp:Shell><rsp:ShellId>{escape(shell.shell_id)}</rsp:ShellId>"
            f"<rsp:ResourceUri>{_POWERSHELL}{escape(shell.endpoint.name)}</rsp:ResourceUri>"
            f"<rsp:Owner>{escape(shell.account.username)}</rsp:Owner><rsp:ClientIP>{shell.client}</rsp:ClientIP>"
            f"<rsp:ProcessId>{shell.process_id}</rsp:ProcessId><rsp:IdleTimeOut>PT{shell.idle_seconds:.3f}S</rsp:IdleTimeOut>"
            "<rsp:InputStreams>stdin pr</rsp:InputStreams><rsp:OutputStreams>stdout</rsp:OutputStreams>"
            "<rsp:MaxIdleTimeOut>PT2147483.647S</rsp:MaxIdleTimeOut><rsp:Locale>en-US</rsp:Locale>"
            "<rsp:DataLocale>en-US</rsp:DataLocale><rsp:CompressionMode>NoCompression</rsp:CompressionMode>"
            "<rsp:ProfileLoaded>Yes</rsp:ProfileLoaded><rsp:Encoding>UTF8</rsp:Encoding>"
            f"<rsp:BufferMode>Block</rsp:BufferMode><rsp:State>{shell.state(now)}</rsp:State>"
            f"<rsp:ShellRunTime>{soap.duration(now - shell.opened_at)}</rsp:ShellRunTime>"
            f"<rsp:ShellInactivity>{soap.duration(now - shell.used_at)}</rsp:ShellInactivity>{more}</rsp:Shell>"
        )


_OPERATIONS: Mapping[str, Callable[[Conversation, soap.Request, Account], bytes]] = {
    "Create": Conversation._create,
    "Command": Conversation._command,
    "Send": Conversation._send,
    "Receive": Conversation._receive,
    "Signal": Conversation._signal,
    "Delete": Conversation._delete,
    "Get": Conversation._get,
}


def _token(progress: Progress) -> tuple[tuple[str, str], ...]:
    if progress.token is None:
        return ()
    return (("WWW-Authenticate", f"{progress.scheme} {base64.b64encode(progress.token).decode()}"),)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise soap.WsmanFault("w:SchemaValidationError", 2150858817, str(error)) from None


def _command_id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise soap.unknown_command() from None


def _feed(shell: Shell, data: bytes) -> None:
    try:
        shell.pool.feed(data)
    except PSRPCoreError as error:
        raise soap.WsmanFault("w:InternalError", None, str(error), sender=False) from error


def _received(fragments: list[bytes], command: str | None, *, ended: bool) -> str:
    target = f' CommandId="{escape(command)}"' if command else ""
    streams = "".join(
        f'<rsp:Stream Name="stdout"{target}>{base64.b64encode(fragment).decode()}</rsp:Stream>'
        for fragment in fragments
    )
    state = f'<rsp:CommandState{target} State="{_SHELL}/CommandState/Done"><rsp:ExitCode>0</rsp:ExitCode></rsp:CommandState>'
    return f"<rsp:ReceiveResponse>{streams}{state if ended else ''}</rsp:ReceiveResponse>"
