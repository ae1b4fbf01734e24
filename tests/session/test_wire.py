"""Logons, trust and what the connection refuses to do."""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dhcp_failover_exporter import errors
from dhcp_failover_exporter.config import Credential, Tls
from dhcp_failover_exporter.simulator import wsman

pytestmark = pytest.mark.wire

Open = Callable[..., Any]


def test_negotiate_says_what_it_came_to(winrm: wsman.WinRM, open_session: Open) -> None:
    opened = open_session(winrm, auth="negotiate")
    assert opened.session.auth == "negotiate"
    opened.collect()
    assert opened.session.auth == "ntlm"


@pytest.mark.parametrize("auth", ["ntlm", "basic"])
def test_a_password_over_tls(auth: str, serve: Open, https: Any, open_session: Open) -> None:
    tls, options = https
    winrm = serve(tls=tls, auth=("negotiate", "basic"))
    opened = open_session(winrm, **{**options, "auth": auth})
    assert opened.collect() == ['{"contract":1}']
    assert opened.session.auth == auth
    assert winrm.logons == {"LAB\\svc-monitor": 1} if auth == "ntlm" else winrm.logons


def test_basic_in_clear_is_refused(winrm: wsman.WinRM, open_session: Open) -> None:
    with pytest.raises(ValueError, match="encryption"):
        open_session(winrm, auth="basic")


def test_a_client_certificate(serve: Open, https: Any, authority: Any, open_session: Open) -> None:
    tls, options = https
    people = authority("people")
    winrm = serve(
        tls=wsman.Tls(tls.certificate_file, tls.key_file, client_ca_file=people.file), auth=("certificate",)
    )
    file, key = people.issue("svc-monitor")
    mine = Credential(name="cert", certificate_file=file, certificate_key_file=key)
    opened = open_session(winrm, **{**options, "auth": "certificate", "credential": mine})
    assert opened.collect() == ['{"contract":1}']
    assert opened.session.auth == "certificate"
    file, key = people.issue("somebody")
    other = Credential(name="cert", certificate_file=file, certificate_key_file=key)
    with pytest.raises(errors.AuthError):
        open_session(winrm, **{**options, "auth": "certificate", "credential": other}).collect()


def test_a_certificate_of_another_authority(
    serve: Open, https: Any, authority: Any, open_session: Open
) -> None:
    tls, options = https
    trust = Tls(ca_file=authority("other").file)
    with pytest.raises(errors.TlsError, match="unable to get"):
        open_session(serve(tls=tls), **{**options, "tls": trust}).collect()


def test_without_a_ca_file_an_unknown_authority_is_refused(
    serve: Open, https: Any, open_session: Open
) -> None:
    tls, options = https
    with pytest.raises(errors.TlsError):
        open_session(serve(tls=tls), **{**options, "tls": Tls()}).collect()


def test_a_certificate_of_another_name(serve: Open, authority: Any, open_session: Open) -> None:
    lab = authority("lab")
    winrm = serve(tls=wsman.Tls(*lab.issue("dhcp02.lab.test", address="127.0.0.1")))
    with pytest.raises(errors.TlsError, match=r"not valid for 'dhcp01\.lab\.test'"):
        open_session(winrm, scheme="https", tls=Tls(ca_file=lab.file)).collect()


def test_tls_to_a_port_that_speaks_http(winrm: wsman.WinRM, open_session: Open) -> None:
    with pytest.raises(errors.TlsError):
        open_session(winrm, scheme="https").collect()


def test_a_ca_file_that_is_gone(serve: Open, https: Any, open_session: Open, tmp_path: Path) -> None:
    tls, options = https
    with pytest.raises(errors.TlsError, match="ca_file"):
        open_session(serve(tls=tls), **{**options, "tls": Tls(ca_file=tmp_path / "gone.pem")}).collect()


def test_the_environment_decides_nothing(
    winrm: wsman.WinRM, open_session: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert open_session(winrm).collect() == ['{"contract":1}']


def test_a_redirection_is_not_followed(listening: Any, winrm: wsman.WinRM, open_session: Open) -> None:
    location = f"http://127.0.0.1:{winrm.port}/wsman"
    port = listening(
        f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    )
    with pytest.raises(errors.ProtocolError, match="redirects"):
        open_session(port).collect()
    assert winrm.requests == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM !!!\r\nContent-Length: 0\r\n\r\n" * 2,
        b"HTTP/1.1 200 OK\r\nContent-Type: multipart/encrypted;\r\nContent-Length: 3\r\n\r\nxyz",
    ],
)
def test_what_is_not_winrm_is_a_failed_poll_and_nothing_else(
    answer: bytes, listening: Any, open_session: Open
) -> None:
    with pytest.raises(errors.PollError) as caught:
        open_session(listening(answer)).collect(timeout_seconds=1.0)
    assert caught.value.reason in {"protocol", "auth", "unreachable"}


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    real = socket.getaddrinfo

    def resolve(host: str, *args: Any, **more: Any) -> Any:
        if host != "many.lab.test":
            return real(host, *args, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_the_second_address_of_a_name_is_tried(
    winrm: wsman.WinRM, open_session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "127.0.0.2", "127.0.0.1")  # nobody listens on the first
    assert open_session(winrm, address="many.lab.test").collect() == ['{"contract":1}']


def test_addresses_that_swallow_everything_share_the_time(
    full: int, open_session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "127.0.0.1", "127.0.0.1", "127.0.0.1")
    began = time.monotonic()
    with pytest.raises(errors.UnreachableError, match="does not answer"):
        open_session(full, address="many.lab.test").collect(timeout_seconds=0.6)
    assert 0.5 < time.monotonic() - began < 1.6


def test_a_resolver_that_hangs_is_not_waited_for(
    winrm: wsman.WinRM, open_session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait() and [])
    began = time.monotonic()
    with pytest.raises(errors.DeadlineError):
        open_session(winrm).collect(timeout_seconds=0.4)
    assert time.monotonic() - began < 1.4
    answered.set()


def test_a_lost_connection_is_not_replaced_by_one_without_logon(
    winrm: wsman.WinRM, open_session: Open
) -> None:
    opened = open_session(winrm)
    opened.collect()
    winrm.close_connections()
    opened.collect()
    assert winrm.actions.get("Other", 0) == 0  # no message that the host could not decrypt


def test_nothing_is_left_open_after_many_losses(winrm: wsman.WinRM, open_session: Open) -> None:
    opened = open_session(winrm)
    opened.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        winrm.faults.cut_next_answer(action="Receive")
        opened.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
