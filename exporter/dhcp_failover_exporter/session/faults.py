"""Foreign exceptions to the exporter's own, in one place.

Knows every exception that pypsrp, requests, urllib3 and pyspnego let through, and what it means for a poll.
Opens nothing and retries nothing. Messages name the server's words and never hold a credential: the
libraries' own texts are used only where they were read and found free of them.
"""

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol
from xml.etree.ElementTree import ParseError

import requests.exceptions as http
from pypsrp.exceptions import AuthenticationError, WinRMError, WinRMTransportError, WSManFaultError
from spnego.exceptions import SpnegoError
from urllib3.exceptions import NewConnectionError, ReadTimeoutError

from dhcp_failover_exporter.errors import (
    AuthError,
    DeadlineError,
    EndpointDeniedError,
    PollError,
    ProtocolError,
    QuotaError,
    TlsError,
    UnreachableError,
)


class ConnectionGone(Exception):  # noqa: N818 - a fact that the wire reports to this module, no error of ours
    """The kept connection has ended; a new one would not be logged on."""


class ConnectionLostError(UnreachableError):
    """A connection that was there has ended: worth one repetition."""


class ShellUnknownError(ProtocolError):
    """The server no longer knows the shell: it expired, or WinRM was restarted."""


class Circumstances(Protocol):
    """What an exception does not say by itself."""

    @property
    def server(self) -> str:
        """Name for messages."""
        ...

    @property
    def expired(self) -> bool:
        """The deadline of the call has passed, so that every broken socket is its work."""
        ...

    @property
    def logged_on(self) -> bool:
        """The connection has carried an answer before."""
        ...


@contextmanager
def mapped(now: Circumstances) -> Iterator[None]:
    """Let nothing but PollError leave the block.

    Raises:
        PollError: the exporter's own error, with the foreign one as its cause.
    """
    try:
        yield
    except PollError:
        raise
    except Exception as error:
        raise translated(error, now) from error


def translated(error: Exception, now: Circumstances) -> PollError:
    """The exporter's own error for a foreign one; the first row that fits wins."""
    for kind, translate in _TABLE:
        if isinstance(error, kind):
            return translate(error, now)
    if type(error).__module__.partition(".")[0] in _KERBEROS:
        return _logon(error, now)
    return ProtocolError(f"{now.server}: {type(error).__name__} in the WinRM client")


# Optional packages, so their exceptions cannot be named; pyspnego lets them through from the first ticket.
_KERBEROS: Final = ("krb5", "gssapi")


# Numbers of WSMan faults as Windows sends them (wsmerror.h).
ACCESS_DENIED: Final = 5
OPERATION_TIMED_OUT: Final = 2150858793
UNKNOWN_SHELL_OR_COMMAND: Final = 2150858843
SHELLS_PER_USER: Final = 2150859173
CONCURRENT_OPERATIONS: Final = 2150859174
CONCURRENT_USERS: Final = 2150859179

_FAULTS: Final[dict[int, tuple[type[PollError], str]]] = {
    ACCESS_DENIED: (EndpointDeniedError, "the account may not use the endpoint"),
    OPERATION_TIMED_OUT: (DeadlineError, "WinRM gave up the operation"),
    UNKNOWN_SHELL_OR_COMMAND: (ShellUnknownError, "the shell is unknown: it expired or WinRM was restarted"),
    SHELLS_PER_USER: (QuotaError, "the account has as many shells as WinRM allows (MaxShellsPerUser)"),
    CONCURRENT_OPERATIONS: (QuotaError, "the account has as many operations running as WinRM allows"),
    CONCURRENT_USERS: (QuotaError, "as many users are connected as WinRM allows (MaxConcurrentUsers)"),
}

HTTP_BAD_REQUEST, HTTP_FORBIDDEN, HTTP_NOT_FOUND, HTTP_UNAVAILABLE = 400, 403, 404, 503

_STATUS: Final[dict[int, tuple[type[PollError], str]]] = {
    HTTP_FORBIDDEN: (EndpointDeniedError, "HTTP 403: the account may not use WinRM"),
    HTTP_NOT_FOUND: (ProtocolError, "HTTP 404: something answers there, but not WinRM"),
    HTTP_UNAVAILABLE: (UnreachableError, "HTTP 503: WinRM is starting or not running"),
}


def _fault(error: Any, now: Circumstances) -> PollError:
    if error.code in _FAULTS:
        kind, text = _FAULTS[error.code]
        return kind(f"{now.server}: {text}")
    return ProtocolError(f"{now.server}: WSMan fault {error.code}: {_short(error.reason)}")


def _status(error: Any, now: Circumstances) -> PollError:
    if error.code == HTTP_BAD_REQUEST and now.logged_on:
        return _forgotten(now)  # it cannot decrypt what it gets
    kind, text = _STATUS.get(error.code, (ProtocolError, f"HTTP {error.code}"))
    return kind(f"{now.server}: {text}")


def _refused(error: Exception, now: Circumstances) -> PollError:
    if "did not response with one of" in str(error):
        # No credential has left the exporter, so this is no step towards a locked account.
        return ProtocolError(f"{now.server}: WinRM does not offer the configured authentication")
    return _forgotten(now) if now.logged_on else AuthError(f"{now.server}: the logon was refused")


def _forgotten(now: Circumstances) -> PollError:
    return ConnectionLostError(f"{now.server}: WinRM has forgotten the logon of this connection")


def _logon(error: Exception, now: Circumstances) -> PollError:
    said = " ".join(str(link) for link in _chain(error))
    if any(words in said for words in ("contact any KDC", "find KDC", "reach any KDC")):
        return UnreachableError(f"{now.server}: no Kerberos KDC answers for the realm")
    if "not found in Kerberos database" in said and "Server" in said:
        return ProtocolError(
            f"{now.server}: Kerberos does not know this server's SPN (see spn_service, spn_host)"
        )
    return AuthError(f"{now.server}: no logon with this credential: {_short(said)}")


def _tls(error: Exception, now: Circumstances) -> PollError:
    if now.logged_on and any(
        isinstance(link, ssl.SSLEOFError | ssl.SSLZeroReturnError) for link in _chain(error)
    ):
        return _lost(error, now)
    refusal = next((e for e in _chain(error) if isinstance(e, ssl.SSLCertVerificationError)), None)
    text = refusal.verify_message if refusal else _short(error)
    return TlsError(f"{now.server}: TLS refused: {text}")


def _connection(error: Exception, now: Circumstances) -> PollError:
    for link in _chain(error):
        if isinstance(link, socket.gaierror):
            return UnreachableError(f"{now.server}: the name does not resolve")
        if isinstance(link, NewConnectionError):
            return UnreachableError(f"{now.server}: no connection: {_os_text(link)}")
        if isinstance(link, ReadTimeoutError | TimeoutError):
            return _late(error, now)
    return _lost(error, now)


def _lost(_error: Exception, now: Circumstances) -> PollError:
    return ConnectionLostError(f"{now.server}: the connection ended before the answer was there")


def _late(_error: Exception, now: Circumstances) -> PollError:
    return DeadlineError(f"{now.server}: no whole answer before the deadline")


def _as(kind: type[PollError], text: str) -> Callable[[Any, Circumstances], PollError]:
    return lambda _error, now: kind(f"{now.server}: {text}")


def _socket(
    if_not_expired: Callable[[Any, Circumstances], PollError],
) -> Callable[[Any, Circumstances], PollError]:
    """A broken socket is the deadline's own work once that has passed."""
    return lambda error, now: (_late if now.expired else if_not_expired)(error, now)


def _garbled(error: Exception, now: Circumstances) -> PollError:
    return ProtocolError(f"{now.server}: answer not understood ({type(error).__name__}: {_short(error)})")


# Most specific first: requests' exceptions are OSErrors, pypsrp's share one root.
_TABLE: Final[tuple[tuple[Any, Callable[[Any, Circumstances], PollError]], ...]] = (
    (AuthenticationError, _refused),
    (WSManFaultError, _fault),
    (WinRMTransportError, _status),
    (WinRMError, _garbled),
    (SpnegoError, _logon),
    (ImportError, _as(AuthError, "auth: kerberos needs the gssapi package (pip install pypsrp[kerberos])")),
    (ConnectionGone, _socket(_lost)),
    (http.ConnectTimeout, _as(UnreachableError, "no connection: it does not answer there")),
    (http.Timeout, _late),
    (http.SSLError, _socket(_tls)),
    (http.TooManyRedirects, _as(ProtocolError, "it redirects, which WinRM does not; not followed")),
    ((http.ChunkedEncodingError, http.ContentDecodingError), _socket(_lost)),
    (http.ConnectionError, _socket(_connection)),
    (http.RequestException, _garbled),
    (socket.gaierror, _as(UnreachableError, "the name does not resolve")),
    (ConnectionError, _socket(_lost)),
    (TimeoutError, _late),
    (OSError, _as(TlsError, "ca_file or the client certificate cannot be used")),
    ((ValueError, LookupError, AttributeError, TypeError, ParseError, struct.error), _garbled),
)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and everything that it wraps, whichever way its library wraps."""
    seen: list[BaseException] = []
    queue: list[object] = [error]
    while queue:
        link = queue.pop(0)
        if isinstance(link, BaseException) and link not in seen:
            seen.append(link)
            queue += [getattr(link, "reason", None), *link.args, link.__cause__, link.__context__]
    return iter(seen)


def _os_text(error: BaseException) -> str:
    return next((e.strerror for e in _chain(error) if isinstance(e, OSError) and e.strerror), "no route")


def _short(text: object) -> str:
    """One line of at most 300 characters, whatever a server sends."""
    return " ".join(str(text).split())[:300]
