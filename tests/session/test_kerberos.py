"""Kerberos with a real KDC: tickets by password and keytab, message encryption, and what fails how."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dhcp_failover_exporter import errors
from dhcp_failover_exporter.config import Credential
from dhcp_failover_exporter.session import kerberos_available
from dhcp_failover_exporter.simulator.wsman import Account, WinRM
from e2e.kdc import REALM, Kdc

pytestmark = pytest.mark.e2e

USER = f"svc-monitor@{REALM}"
PASSWORD = "Gänse-7-fürs-Schloss"
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]) -> Iterator[Kdc]:
    made = Kdc(tmp_path_factory.mktemp("kdc"), program)
    made.create()
    made.add_user(USER, PASSWORD)
    yield made
    made.stop()


@pytest.fixture
def kdc(realm: Kdc, monkeypatch: pytest.MonkeyPatch) -> Kdc:
    """The realm, running, and this process a member of it, without a ticket."""
    monkeypatch.setenv("KRB5_CONFIG", realm.environment["KRB5_CONFIG"])
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{realm.folder / 'no-such-cache'}")
    if realm.process is None:
        realm.start()
    return realm


@pytest.fixture(scope="module")
def host_keytab(realm: Kdc) -> Path:
    return realm.keytab("host/dhcp01.lab.test")


@pytest.fixture
def account() -> Account:
    return Account("LAB\\svc-monitor", PASSWORD, principal=USER)


@pytest.fixture
def credential(password_file: Path) -> Credential:
    return Credential(name="lab", username=USER, password_file=password_file)


@pytest.fixture
def member(kdc: Kdc, host_keytab: Path, serve: Open) -> WinRM:
    """A host that is a member of the realm; the client reaches it by its address."""
    assert kdc.process
    return serve(keytab=host_keytab)  # type: ignore[no-any-return]  # the fixture says so


def test_the_exporter_can_do_kerberos_here() -> None:
    assert kerberos_available()


@pytest.mark.parametrize("auth", ["kerberos", "negotiate"])
def test_a_ticket_by_password(auth: str, member: WinRM, credential: Credential, open_session: Open) -> None:
    opened = open_session(member, auth=auth, credential=credential)
    assert opened.collect() == ['{"contract":1}']
    assert opened.session.auth == "kerberos"
    assert member.logons == {"LAB\\svc-monitor": 1}


def test_a_ticket_by_keytab(kdc: Kdc, member: WinRM, open_session: Open) -> None:
    robot = kdc.keytab(f"robot@{REALM}")
    member.replace_accounts([Account("LAB\\robot", "unused", principal=f"robot@{REALM}")])
    opened = open_session(
        member, auth="kerberos", credential=Credential(name="k", username=f"robot@{REALM}", keytab=robot)
    )
    assert opened.collect() == ['{"contract":1}']
    assert opened.session.auth == "kerberos"


def test_a_ticket_over_tls(
    kdc: Kdc, host_keytab: Path, serve: Open, https: Any, credential: Credential, open_session: Open
) -> None:
    assert kdc.process
    tls, options = https
    opened = open_session(
        serve(tls=tls, keytab=host_keytab), **{**options, "auth": "kerberos", "credential": credential}
    )
    assert opened.collect() == ['{"contract":1}']
    assert opened.session.auth == "kerberos"


def test_a_closed_connection_gets_a_new_ticket(
    member: WinRM, credential: Credential, open_session: Open
) -> None:
    opened = open_session(member, auth="kerberos", credential=credential)
    for _ in range(5):
        opened.collect()
        member.close_connections()
    assert opened.collect() == ['{"contract":1}']
    assert member.shells_opened == 1


def test_a_windows_style_name_is_no_kerberos_name(
    member: WinRM, password_file: Path, open_session: Open
) -> None:
    """With DOMAIN and backslash, negotiate comes to NTLM, and says so; a principal is written user@REALM."""
    windows_style = Credential(name="lab", username="LAB\\svc-monitor", password_file=password_file)
    opened = open_session(member, auth="negotiate", credential=windows_style)
    opened.collect()
    assert opened.session.auth == "ntlm"
    with pytest.raises(errors.AuthError, match="not found in Kerberos database"):
        open_session(member, auth="kerberos", credential=windows_style).collect()


def test_another_service_name(kdc: Kdc, serve: Open, credential: Credential, open_session: Open) -> None:
    web = serve(keytab=kdc.keytab("HTTP/web.lab.test"))
    opened = open_session(
        web, auth="kerberos", credential=credential, spn_service="HTTP", spn_host="web.lab.test"
    )
    assert opened.collect() == ['{"contract":1}']


def test_a_server_that_the_kdc_does_not_know(
    member: WinRM, credential: Credential, open_session: Open
) -> None:
    with pytest.raises(errors.ProtocolError, match="SPN"):
        open_session(member, auth="kerberos", credential=credential, name="dhcp99.lab.test").collect()
    assert member.refused_logons == {}


def test_a_wrong_password_is_refused_by_the_kdc(
    member: WinRM, credential: Credential, open_session: Open, password_file: Path
) -> None:
    told: list[type[BaseException] | None] = []
    gate = ExitStack()
    gate.push(lambda kind, *_: told.append(kind))
    password_file.write_text("not-the-password")
    with pytest.raises(errors.AuthError) as caught:
        open_session(member, auth="kerberos", credential=credential, logon=lambda: gate).collect()
    assert "not-the-password" not in str(caught.value)
    assert told == [errors.AuthError]
    assert (member.logons, member.refused_logons) == ({}, {})


def test_without_a_ticket_and_without_a_credential(member: WinRM, open_session: Open) -> None:
    with pytest.raises(errors.AuthError):
        open_session(member, auth="kerberos", credential=Credential(name="cache")).collect()


def test_a_kdc_that_is_down(kdc: Kdc, member: WinRM, credential: Credential, open_session: Open) -> None:
    kdc.stop()
    began = time.monotonic()
    with pytest.raises(errors.UnreachableError, match="KDC"):
        open_session(member, auth="kerberos", credential=credential).collect()
    assert time.monotonic() - began < 5
    opened = open_session(member, auth="negotiate", credential=credential)
    assert opened.collect() == ['{"contract":1}']
    assert opened.session.auth == "ntlm"
