"""Logons: Negotiate (Kerberos, NTLM), Basic and client certificates, and the encryption of messages.

pyspnego's acceptors do the work. Knows nothing of shells.
"""

import base64
import binascii
import os
import re
import struct
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import spnego
from spnego.exceptions import SpnegoError

from dhcp_failover_exporter.simulator.wsman.listener import HttpRequest, Peer
from dhcp_failover_exporter.simulator.wsman.machine import Account

_BOUNDARY = "Encrypted Boundary"
_MUTUAL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
_ORIGINAL_LENGTH = re.compile(rb"OriginalContent:[^\r\n]*Length=(\d+)")
_OCTETS = b"Content-Type: application/octet-stream\r\n"
_PROTOCOL = re.compile(r'protocol="([^"]+)"')
_SIZE = struct.Struct("<i")
_NTLM_AUTHENTICATE = b"NTLMSSP\x00\x03\x00\x00\x00"
# pyspnego's acceptors find their secrets through the environment: NTLM in the file that NTLM_USER_FILE names
# when it is stepped, Kerberos in KRB5_KTNAME when it begins. Each listener has its own, so the variables
# change under a lock that every handshake of every listener takes.
_ENVIRONMENT = threading.Lock()


class LogonRefusedError(Exception):
    """The credentials are wrong, or the scheme is not offered."""


class UndecipherableError(Exception):
    """The message cannot be decrypted with the connection's security context."""


class Authority:
    """The accounts of one listener, the schemes it offers and the count of logons. Thread-safe."""

    def __init__(self, accounts: Iterable[Account], schemes: Iterable[str], keytab: Path | None) -> None:
        self.schemes = tuple(schemes)
        self.logons: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._keytab = keytab
        self._accounts = tuple(accounts)

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts that exist now."""
        return self._accounts

    @property
    def challenges(self) -> tuple[tuple[str, str], ...]:
        """The WWW-Authenticate headers of a 401."""
        offers = {"negotiate": "Negotiate", "kerberos": "Kerberos", "basic": 'Basic realm="WSMAN"'}
        return tuple(
            ("WWW-Authenticate", offer) for scheme, offer in offers.items() if scheme in self.schemes
        )

    def replace(self, accounts: Iterable[Account]) -> None:
        """Replace the accounts; connections and shells keep the account that they logged on with."""
        self._accounts = tuple(accounts)
        if self._folder is not None:
            self._write_store()

    def open(self) -> None:
        """Write the secrets to a folder of its own, where the NTLM acceptor reads them."""
        self._folder = tempfile.TemporaryDirectory(prefix="winrm-")
        self._write_store()

    def close(self) -> None:
        """Remove the secrets from disk."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def by_name(self, name: str) -> Account | None:
        """Return the account of that name."""
        return next((account for account in self._accounts if account.is_named(name)), None)

    def by_certificate(self, common_name: str | None) -> Account | None:
        """Return the account that the certificate is mapped to."""
        return next((one for one in self._accounts if common_name and one.certificate == common_name), None)

    def acceptor(self, scheme: str) -> spnego.ContextProxy:
        """Begin a handshake. Raises SpnegoError or ImportError where Kerberos has no key or no library."""
        protocol = scheme.lower()
        options = spnego.NegotiateOptions.wrapping_winrm
        if protocol == "negotiate":
            options |= spnego.NegotiateOptions.use_negotiate
        with self._secrets():
            return spnego.server(protocol=protocol, options=options)

    def step(self, context: spnego.ContextProxy, token: bytes) -> bytes | None:
        """Advance a handshake. Raises SpnegoError, ValueError or struct.error for a token that is no good."""
        with self._secrets():
            return context.step(token)

    @contextmanager
    def _secrets(self) -> Iterator[None]:
        with _ENVIRONMENT:
            os.environ["NTLM_USER_FILE"] = str(self._store)
            if self._keytab is not None:
                os.environ["KRB5_KTNAME"] = f"FILE:{self._keytab}"
            yield

    @property
    def _store(self) -> Path:
        return Path("" if self._folder is None else self._folder.name) / "accounts"

    def _write_store(self) -> None:
        lines = [line for account in self._accounts for line in _store_lines(account)]
        with _ENVIRONMENT:
            self._store.touch(mode=0o600)
            self._store.write_text("\n".join(lines))

    def count(self, account: Account) -> None:
        """Count a logon."""
        with self._lock:
            self.logons[account.username] += 1

    def refuse(self, name: str) -> LogonRefusedError:
        """Count a refused logon; return what to raise."""
        account = self.by_name(name)
        with self._lock:
            self.refused[name if account is None else account.username] += 1
        return LogonRefusedError(name)


@dataclass(frozen=True)
class Progress:
    """How far a request's authentication is: a token to send back, and the account once it is known."""

    scheme: str = ""
    token: bytes | None = None
    account: Account | None = None


class Logon:
    """The security context of one connection."""

    def __init__(self, authority: Authority, peer: Peer) -> None:
        self._authority = authority
        self._peer = peer
        self._context: spnego.ContextProxy | None = None
        self._account: Account | None = None

    def authenticate(self, request: HttpRequest) -> Progress:
        """Read the request's Authorization header. Raises LogonRefusedError."""
        header = request.headers.get("authorization", "")
        scheme, _, credentials = header.partition(" ")
        if not header:
            return Progress(account=self._account)
        if header == _MUTUAL and "certificate" in self._authority.schemes:
            return Progress(account=self._certificate())
        if scheme.lower() not in self._authority.schemes:
            raise LogonRefusedError(scheme)
        try:
            token = base64.b64decode(credentials, validate=True)
        except binascii.Error:
            raise LogonRefusedError(scheme) from None
        return (
            Progress(account=self._basic(token))
            if scheme.lower() == "basic"
            else self._negotiate(scheme, token)
        )

    def decrypt(self, request: HttpRequest) -> bytes:
        """Return the message in a multipart/encrypted body. Raises UndecipherableError."""
        length = _ORIGINAL_LENGTH.search(request.body)
        _, _, payload = request.body.partition(_OCTETS)
        payload = payload.removesuffix(f"--{_BOUNDARY}--\r\n".encode())
        if self._context is None or length is None or len(payload) < _SIZE.size:
            raise UndecipherableError
        (head_bytes,) = _SIZE.unpack_from(payload)
        head, data = payload[_SIZE.size :][:head_bytes], payload[_SIZE.size + head_bytes :]
        try:
            return self._context.unwrap_winrm(head, data)
        except (SpnegoError, ValueError, struct.error) as error:
            raise UndecipherableError from error

    def encrypt(self, message: bytes, request: HttpRequest) -> tuple[str, bytes]:
        """Return content type and body of an encrypted answer, in the protocol that the request used."""
        assert self._context is not None  # noqa: S101 - decrypt came first
        match = _PROTOCOL.search(request.headers.get("content-type", ""))
        protocol = match.group(1) if match else "application/HTTP-SPNEGO-session-encrypted"
        wrapped = self._context.wrap_winrm(message)
        head = (
            f"--{_BOUNDARY}\r\n\tContent-Type: {protocol}\r\n\tOriginalContent: type=application/soap+xml;"
            f"charset=UTF-8;Length={len(message) + wrapped.padding_length}\r\n--{_BOUNDARY}\r\n\t"
        )
        body = head.encode() + _OCTETS + _SIZE.pack(len(wrapped.header)) + wrapped.header + wrapped.data
        content_type = f'multipart/encrypted;protocol="{protocol}";boundary="{_BOUNDARY}"'
        return content_type, body + f"--{_BOUNDARY}--\r\n".encode()

    def _certificate(self) -> Account:
        account = self._authority.by_certificate(self._peer.common_name)
        if account is None:
            raise self._authority.refuse(self._peer.common_name or "")
        if self._account is None:
            self._authority.count(account)
        self._account = account
        return account

    def _basic(self, credentials: bytes) -> Account:
        name, _, password = credentials.decode("utf-8", "replace").partition(":")
        account = self._authority.by_name(name)
        if account is None or account.password != password:
            raise self._authority.refuse(name)
        if self._account is not account:
            self._authority.count(account)
        self._account = account
        return account

    def _negotiate(self, scheme: str, token: bytes) -> Progress:
        begins = self._context is None or self._context.complete
        try:
            if self._context is None or begins:
                self._account = None
                self._context = self._authority.acceptor(scheme)
            answer = self._authority.step(self._context, token)
        except (SpnegoError, ImportError, ValueError, struct.error) as error:
            self._context = None
            name = _ntlm_name(token)
            if begins or name is None:
                # The second half of a handshake whose connection was lost says nothing about the password.
                raise LogonRefusedError(scheme) from error
            raise self._authority.refuse(name) from error
        if not self._context.complete:
            return Progress(scheme, answer)
        return Progress(scheme, answer, self._logged_on(self._context.client_principal or ""))

    def _logged_on(self, principal: str) -> Account:
        account = self._authority.by_name(principal)
        if account is None:
            self._context = None
            raise self._authority.refuse(principal)
        self._authority.count(account)
        self._account = account
        return account


def _store_lines(account: Account) -> Iterable[str]:
    """Return the account's lines in pyspnego's credential file, one per way to spell its name."""
    if ":" in account.password or ":" in account.username:
        raise ValueError("the credential file of the NTLM acceptor has no way to write a colon")
    domain, _, user = account.username.rpartition("\\")
    yield f"{domain}:{user}:{account.password}"
    if account.principal is not None:
        yield f":{account.principal}:{account.password}"


def _ntlm_name(token: bytes) -> str | None:
    """Return the user name in an NTLM AUTHENTICATE message (MS-NLMP 2.2.1.3), None if there is none."""
    start = token.find(_NTLM_AUTHENTICATE)
    if start < 0:
        return None
    try:
        domain, user = (_ntlm_text(token[start:], at) for at in (28, 36))
    except struct.error:
        return None
    return f"{domain}\\{user}" if domain else user


def _ntlm_text(message: bytes, at: int) -> str:
    length, _, offset = struct.unpack_from("<HHI", message, at)
    return message[offset : offset + length].decode("utf-16-le", "replace")
