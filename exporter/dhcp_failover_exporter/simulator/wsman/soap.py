"""WSMan envelopes: what a request asks, and what Windows answers.

Shapes follow the exchanges recorded in jborean93/pypsrp:tests/tests_pypsrp/responses. Knows neither HTTP
nor shells.
"""

import re
import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from xml.sax.saxutils import escape

NAMESPACES = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "w": "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd",
    "rsp": "http://schemas.microsoft.com/wbem/wsman/1/windows/shell",
    "pwsh": "http://schemas.microsoft.com/powershell",
}
_ANONYMOUS = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"
_FAULT_ACTION = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
_ENVELOPE = (
    '<s:Envelope xml:lang="en-US" xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    'xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer" '
    'xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" '
    'xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell" '
    'xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"><s:Header>'
)
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


class WsmanFault(Exception):  # noqa: N818 - WSMan calls it a fault
    """A SOAP fault. `code` is the WSManFault's, None where Windows gives no number."""

    def __init__(self, subcode: str, code: int | None, reason: str, *, sender: bool = True) -> None:
        super().__init__(reason)
        self.subcode = subcode
        self.code = code
        self.reason = reason
        self.sender = sender


def operation_timed_out() -> WsmanFault:
    """Nothing to send came up within OperationTimeout."""
    text = "The service cannot complete the operation within the time specified in OperationTimeout."
    return WsmanFault("w:TimedOut", 2150858793, text, sender=False)


def unknown_shell() -> WsmanFault:
    """The ShellId selects nothing."""
    text = "The request contained invalid selectors for the resource."
    return WsmanFault("w:InvalidSelectors", 2150858843, text)


def unknown_command() -> WsmanFault:
    """The CommandId names nothing; the same code as for an unknown shell."""
    text = "The request is about a command identifier that does not exist."
    return WsmanFault("w:InvalidSelectors", 2150858843, text)


def access_denied() -> WsmanFault:
    """The account may not use the endpoint, or the shell is another account's."""
    return WsmanFault("w:AccessDenied", 5, "Access is denied.")


def too_many_shells(most: int) -> WsmanFault:
    """MaxShellsPerUser."""
    text = f"This user is allowed a maximum number of {most} concurrent shells, which has been exceeded."
    return WsmanFault("w:QuotaLimit", 2150859173, text)


def too_many_operations(most: int) -> WsmanFault:
    """MaxConcurrentOperationsPerUser."""
    text = f"This user is allowed a maximum number of {most} concurrent operations, which has been exceeded."
    return WsmanFault("w:QuotaLimit", 2150859174, text)


def too_many_users(most: int) -> WsmanFault:
    """MaxConcurrentUsers."""
    text = f"The maximum number of {most} users with concurrent shell operations has been exceeded."
    return WsmanFault("w:QuotaLimit", 2150859179, text)


def too_many_commands() -> WsmanFault:
    """MaxConcurrentCommandsPerShell: an internal error without a number."""
    return internal_error("The shell has too many concurrent commands.")


def unknown_endpoint(name: str) -> WsmanFault:
    """No session configuration of that name (ERROR_WSMAN_INVALID_RESOURCE_URI)."""
    text = f"Cannot find the {name} session configuration in the WSMan: drive."
    return WsmanFault("w:InvalidResourceURI", 2150858811, text)


def idle_timeout_out_of_bounds() -> WsmanFault:
    """IdleTimeOut below 60 s (ERROR_WINRS_IDLETIMEOUT_OUTOFBOUNDS)."""
    return WsmanFault(
        "w:InvalidParameter", 2150859250, "The idle timeout must be at least 60000 milliseconds."
    )


def invalid_header(text: str) -> WsmanFault:
    """A SOAP header that cannot be read, such as a negative OperationTimeout."""
    return WsmanFault("a:InvalidMessageInformationHeader", 2150858767, text)


def unsupported_action(action: str) -> WsmanFault:
    """An action that this simulator does not have (Connect, Disconnect, Enumerate ...)."""
    return WsmanFault("a:ActionNotSupported", 2150858753, f"The action {action} is not supported.")


def schema_violated(text: str) -> WsmanFault:
    """The body is not what the schema says (ERROR_WSMAN_SCHEMA_VALIDATION_ERROR)."""
    return WsmanFault("w:SchemaValidationError", 2150858817, text)


def internal_error(text: str) -> WsmanFault:
    """What went wrong has no number."""
    return WsmanFault("w:InternalError", None, text, sender=False)


def aborted() -> WsmanFault:
    """The shell went away, or another Receive came, while this one waited (ERROR_OPERATION_ABORTED)."""
    text = "The I/O operation has been aborted because of either a thread exit or an application request."
    return WsmanFault("w:InternalError", 995, text, sender=False)


@dataclass(frozen=True)
class Request:
    """A parsed request: `action` is the last word of the action's URI, times are seconds."""

    action: str
    message_id: str
    to: str
    resource_uri: str
    operation_timeout: float
    shell_id: str
    body: ET.Element

    def find(self, path: str) -> ET.Element | None:
        """Return the element at `path` below the body."""
        return self.body.find(path, NAMESPACES)

    def text(self, path: str) -> str:
        """Return the text at `path` below the body, "" where there is none."""
        return self.body.findtext(path, "", NAMESPACES)


def parse(envelope: bytes) -> Request:
    """Read an envelope. Raises WsmanFault for an unusable header, ET.ParseError for what is no XML."""
    root = ET.fromstring(envelope)  # noqa: S314 - only clients under test speak to this listener
    header = root.find("s:Header", NAMESPACES)
    body = root.find("s:Body", NAMESPACES)
    if header is None or body is None:
        raise invalid_header("The envelope has no header or no body.")
    selectors = header.findall("w:SelectorSet/w:Selector", NAMESPACES)
    return Request(
        action=header.findtext("a:Action", "", NAMESPACES).rpartition("/")[2],
        message_id=header.findtext("a:MessageID", "", NAMESPACES),
        to=header.findtext("a:To", "", NAMESPACES),
        resource_uri=header.findtext("w:ResourceURI", "", NAMESPACES),
        operation_timeout=seconds(header.findtext("w:OperationTimeout", "PT60S", NAMESPACES)),
        shell_id=next((s.text or "" for s in selectors if s.get("Name") == "ShellId"), ""),
        body=body,
    )


def seconds(duration: str) -> float:
    """Return an XML duration (`PT20S`, `P0DT1H2M3.5S`) in seconds. Raises WsmanFault."""
    match = _DURATION.fullmatch(duration)
    if match is None or not any(match.groups()):
        raise invalid_header(f"The XML contains an invalid timeout field in the SOAP header: {duration}.")
    days, hours, minutes, rest = (float(part or 0) for part in match.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + rest


def duration(value: float) -> str:
    """Return seconds as Windows writes a shell's ages."""
    minutes, rest = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"P{days}DT{hours}H{minutes}M{rest}S"


def answer(request: Request, action: str, body: str) -> bytes:
    """Render the response to `request` around an XML body; `action` is the whole URI."""
    return _envelope(action, request.message_id, body)


def fault(relates_to: str, cause: WsmanFault, machine: str) -> bytes:
    """Render a fault as Windows does: a SOAP code, a subcode and the WSManFault in the detail."""
    reason = escape(cause.reason)
    code = "" if cause.code is None else f' Code="{cause.code}"'
    body = (
        f"<s:Fault><s:Code><s:Value>s:{'Sender' if cause.sender else 'Receiver'}</s:Value>"
        f"<s:Subcode><s:Value>{cause.subcode}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{reason}</s:Text></s:Reason><s:Detail>'
        f'<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"{code} '
        f'Machine="{escape(machine)}"><f:Message>{reason}</f:Message></f:WSManFault></s:Detail></s:Fault>'
    )
    return _envelope(_FAULT_ACTION, relates_to, body)


def _envelope(action: str, relates_to: str, body: str) -> bytes:
    return (
        f"{_ENVELOPE}<a:Action>{action}</a:Action><a:MessageID>{_uuid()}</a:MessageID>"
        f"<a:To>{_ANONYMOUS}</a:To><a:RelatesTo>{escape(relates_to)}</a:RelatesTo></s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def _uuid() -> str:
    return f"uuid:{uuid.uuid4()}".upper().replace("UUID:", "uuid:")
