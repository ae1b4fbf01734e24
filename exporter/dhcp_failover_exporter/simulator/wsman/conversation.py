"""What WinRM says on one connection: HTTP status, logon, encryption; the rest is `operations`."""

import base64
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
from dhcp_failover_exporter.simulator.wsman.operations import Operations
from dhcp_failover_exporter.simulator.wsman.shells import Shells

_SOAP = "application/soap+xml;charset=UTF-8"
_LOGON = "Logon"
_OTHER = "Other"


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
        self._operations = Operations(service.shells, service.endpoints, peer.address)

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Answer one HTTP request."""
        answer = self._answer(request)
        self._service.count(answer.action)
        return answer

    def _answer(self, request: HttpRequest) -> HttpAnswer:
        if self._service.faults.starting:
            return HttpAnswer(503, action="Starting", closes=True)
        if request.path != "/wsman":
            return HttpAnswer(404, action=_OTHER)
        if request.method != "POST":
            return HttpAnswer(405, action=_OTHER)
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
            return HttpAnswer(500, headers, action=_OTHER)
        try:
            envelope = self._logon.decrypt(request) if encrypted else request.body
            status, action, body = self._operate(envelope, account)
        except (UndecipherableError, ET.ParseError):
            return HttpAnswer(400, headers, action=_OTHER)
        content_type, body = self._logon.encrypt(body, request) if encrypted else (_SOAP, body)
        return HttpAnswer(status, (*headers, ("Content-Type", content_type)), body, action)

    def _hold(self, action: str) -> None:
        """Leave an action that hangs undone and unanswered."""
        faults = self._service.faults
        if faults.hang_action == action:
            faults.wait_while_action_hangs(action, self._peer.closed)
            raise ConnectionAbortedError

    def _operate(self, envelope: bytes, account: Account) -> tuple[int, str, bytes]:
        """Carry out a WSMan request: HTTP status, action and envelope of the answer."""
        relates_to, action = "", _OTHER
        try:
            request = soap.parse(envelope)
            relates_to, action = request.message_id, request.action
            self._hold(action)
            return 200, action, self._operations.operate(request, account)
        except soap.WsmanFault as fault:
            return 500, action, soap.fault(relates_to, fault, self._service.computer_name)


def _token(progress: Progress) -> tuple[tuple[str, str], ...]:
    if progress.token is None:
        return ()
    return (("WWW-Authenticate", f"{progress.scheme} {base64.b64encode(progress.token).decode()}"),)
