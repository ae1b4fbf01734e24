"""Each foreign exception becomes the one of ours that says what to do about it."""

import socket
import ssl
import struct
from dataclasses import dataclass
from xml.etree.ElementTree import ParseError

import pytest
import requests.exceptions as http
from pypsrp.exceptions import (
    AuthenticationError,
    FragmentError,
    WinRMError,
    WinRMTransportError,
    WSManFaultError,
)
from spnego.exceptions import BadMechanismError, InvalidCredentialError, NoCredentialError
from urllib3.exceptions import (
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from dhcp_failover_exporter import errors
from dhcp_failover_exporter.session.faults import (
    ConnectionGone,
    ConnectionLostError,
    ShellUnknownError,
    mapped,
    translated,
)


@dataclass(frozen=True)
class Now:
    server: str = "dhcp01"
    expired: bool = False
    logged_on: bool = True


def fault(code: object, reason: str = "said so") -> WSManFaultError:
    return WSManFaultError(code, "DHCP01", reason, None, None, None)


def status(code: int) -> WinRMTransportError:
    return WinRMTransportError("http", code, "<html>")


def never_connected(reason: Exception) -> http.ConnectionError:
    return http.ConnectionError(MaxRetryError(None, "/wsman", reason))  # type: ignore[arg-type]  # as urllib3 does


def refused() -> Exception:
    try:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as error:
            raise NewConnectionError(None, f"Failed: {error}") from error  # type: ignore[arg-type]
    except NewConnectionError as error:
        return never_connected(error)


CONNECTION_ABORTED = http.ConnectionError(
    ProtocolError("Connection aborted.", ConnectionResetError(104, "reset"))
)
WRONG_NAME = ssl.SSLCertVerificationError(1, "certificate verify failed")
WRONG_NAME.verify_message = "Hostname mismatch, certificate is not valid for 'dhcp01'."

CASES: list[tuple[Exception, type[errors.PollError]]] = [
    (AuthenticationError("The server did not response with one of the following"), errors.ProtocolError),
    (fault(5), errors.EndpointDeniedError),
    (fault(2150859173), errors.QuotaError),
    (fault(2150859174), errors.QuotaError),
    (fault(2150859179), errors.QuotaError),
    (fault(2150858843), ShellUnknownError),
    (fault(2150858793), errors.DeadlineError),
    (fault(None), errors.ProtocolError),
    (fault("w:InternalError"), errors.ProtocolError),
    (status(503), errors.UnreachableError),
    (status(403), errors.EndpointDeniedError),
    (status(404), errors.ProtocolError),
    (status(502), errors.ProtocolError),
    (FragmentError("out of order"), errors.ProtocolError),
    (WinRMError("Received related id does not match"), errors.ProtocolError),
    (NoCredentialError(context_msg="No Kerberos credentials available"), errors.AuthError),
    (BadMechanismError(context_msg="Unable to negotiate common mechanism"), errors.AuthError),
    (
        InvalidCredentialError(context_msg="Cannot contact any KDC for realm 'LAB.TEST'"),
        errors.UnreachableError,
    ),
    (
        InvalidCredentialError(context_msg="Server host/x@LAB not found in Kerberos database"),
        errors.ProtocolError,
    ),
    (InvalidCredentialError(context_msg="Client x@LAB not found in Kerberos database"), errors.AuthError),
    (ImportError("GSSAPIProxy requires the Python gssapi library"), errors.AuthError),
    (ConnectionGone(), ConnectionLostError),
    (http.ConnectTimeout(), errors.UnreachableError),
    (http.ReadTimeout(), errors.DeadlineError),
    (http.SSLError(WRONG_NAME), errors.TlsError),
    (http.SSLError(ssl.SSLEOFError(8, "EOF occurred in violation of protocol")), ConnectionLostError),
    (http.TooManyRedirects(), errors.ProtocolError),
    (http.ChunkedEncodingError(), ConnectionLostError),
    (http.InvalidHeader(), errors.ProtocolError),
    (
        http.ConnectionError(ProtocolError("Connection aborted.", socket.gaierror(-2, "x"))),
        errors.UnreachableError,
    ),
    (http.ConnectionError(ProtocolError("Connection aborted.", TimeoutError())), errors.DeadlineError),
    (refused(), errors.UnreachableError),
    (CONNECTION_ABORTED, ConnectionLostError),
    (http.ConnectionError(ReadTimeoutError(None, "/wsman", "Read timed out.")), errors.DeadlineError),  # type: ignore[arg-type]
    (BrokenPipeError(32, "Broken pipe"), ConnectionLostError),
    (TimeoutError(), errors.DeadlineError),
    (OSError("Could not find a suitable TLS CA certificate bundle"), errors.TlsError),
    (ValueError("not enough values"), errors.ProtocolError),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), errors.ProtocolError),
    (KeyError("s:Body"), errors.ProtocolError),
    (AttributeError("'NoneType' object has no attribute 'text'"), errors.ProtocolError),
    (struct.error("unpack requires a buffer of 4 bytes"), errors.ProtocolError),
    (ParseError("no element found"), errors.ProtocolError),
    (RuntimeError("never seen"), errors.ProtocolError),
]


@pytest.mark.parametrize(
    ("foreign", "ours"), CASES, ids=lambda value: getattr(value, "__name__", repr(value)[:60])
)
def test_table(foreign: Exception, ours: type[errors.PollError]) -> None:
    with pytest.raises(errors.PollError) as caught, mapped(Now()):
        raise foreign
    assert type(caught.value) is ours
    assert caught.value.__cause__ is foreign
    assert str(caught.value).startswith("dhcp01: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "foreign",
    [CONNECTION_ABORTED, ConnectionGone(), BrokenPipeError(), http.ChunkedEncodingError(), http.SSLError()],
    ids=repr,
)
def test_once_the_deadline_has_passed_a_broken_socket_is_its_work(foreign: Exception) -> None:
    assert type(translated(foreign, Now(expired=True))) is errors.DeadlineError


def test_a_refused_logon_stays_one_after_the_deadline() -> None:
    refusal = AuthenticationError("Failed to authenticate the user None with ntlm")
    assert type(translated(refusal, Now(expired=True, logged_on=False))) is errors.AuthError


def test_a_refusal_on_a_connection_that_was_logged_on_is_a_forgotten_logon() -> None:
    refusal = AuthenticationError("Failed to authenticate the user None with ntlm")
    assert type(translated(refusal, Now())) is ConnectionLostError


def test_an_end_before_the_logon_is_a_refused_handshake() -> None:
    cut = http.SSLError(ssl.SSLEOFError(8, "EOF occurred in violation of protocol"))
    assert type(translated(cut, Now(logged_on=False))) is errors.TlsError


def test_a_bad_request_on_a_kept_connection_is_a_forgotten_logon() -> None:
    assert type(translated(status(400), Now())) is ConnectionLostError
    assert type(translated(status(400), Now(logged_on=False))) is errors.ProtocolError


@pytest.mark.parametrize(
    ("foreign", "said"),
    [
        (http.SSLError(WRONG_NAME), "certificate is not valid for 'dhcp01'"),
        (refused(), "Connection refused"),
        (fault("w:InternalError", "too many\n  commands"), "too many commands"),
        (fault(1, "x" * 5000), "x" * 300),
    ],
)
def test_messages_say_what_the_server_said(foreign: Exception, said: str) -> None:
    text = str(translated(foreign, Now()))
    assert said in text
    assert len(text) < 400


def test_our_own_errors_pass_unchanged() -> None:
    own = errors.SuspendedError("shut")
    with pytest.raises(errors.SuspendedError) as caught, mapped(Now()):
        raise own
    assert caught.value is own


def test_an_interruption_of_the_process_is_not_a_failed_poll() -> None:
    with pytest.raises(KeyboardInterrupt), mapped(Now()):
        raise KeyboardInterrupt
