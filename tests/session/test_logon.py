"""What a logon is made of, and that nothing shows a secret."""

import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pypsrp.negotiate import HTTPNegotiateAuth
from requests.adapters import HTTPAdapter
from spnego import KerberosKeytab

from dhcp_failover_exporter import errors
from dhcp_failover_exporter.config import Credential, ServerSettings
from dhcp_failover_exporter.session import kerberos_available, logon, quiet_libraries

Make = Callable[..., ServerSettings]


def negotiation(settings: ServerSettings) -> HTTPNegotiateAuth:
    auth = logon.http_session(settings, HTTPAdapter()).auth
    assert isinstance(auth, HTTPNegotiateAuth)
    return auth


def test_the_spn_is_of_the_name_whatever_the_address(settings: Make) -> None:
    auth = negotiation(settings(5985, address="10.0.0.2"))
    assert (auth.service, auth.hostname_override) == ("host", "dhcp01.lab.test")


def test_the_spn_can_be_overridden(settings: Make) -> None:
    auth = negotiation(settings(5985, spn_service="HTTP", spn_host="alias.lab.test"))
    assert (auth.service, auth.hostname_override) == ("HTTP", "alias.lab.test")


def test_messages_are_encrypted_over_http_always(settings: Make) -> None:
    for auth in ("negotiate", "kerberos", "ntlm"):
        assert negotiation(settings(5985, auth=auth)).wrap_required


def test_a_keytab_is_a_credential_of_its_own(settings: Make, tmp_path: Path) -> None:
    file = tmp_path / "monitor.keytab"
    credential = Credential(name="k", username="svc@LAB.TEST", keytab=file)
    auth: Any = negotiation(settings(5985, auth="kerberos", credential=credential))
    assert auth.username == KerberosKeytab(keytab=f"FILE:{file}", principal="svc@LAB.TEST")
    assert auth.password is None


def test_an_empty_credential_means_the_ticket_cache(settings: Make) -> None:
    auth = negotiation(settings(5985, auth="kerberos", credential=Credential(name="cache")))
    assert (auth.username, auth.password) == (None, None)


def test_a_secret_is_read_for_each_logon(settings: Make, password_file: Path) -> None:
    asked = settings(5985)
    password_file.write_text("another\n")
    assert negotiation(asked).password == "another"
    password_file.unlink()
    with pytest.raises(errors.AuthError):
        negotiation(asked)


def test_kerberos_is_available_only_with_gssapi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    assert not kerberos_available()


def test_libraries_do_not_log_messages() -> None:
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG)
    try:
        quiet_libraries()
        for name in ("pypsrp.wsman", "pypsrp.negotiate", "urllib3.connectionpool", "spnego._gss"):
            assert not logging.getLogger(name).isEnabledFor(logging.INFO)
        assert not logging.getLogger("pypsrp.wsman").isEnabledFor(logging.ERROR)
    finally:
        root.setLevel(before)


@pytest.mark.wire
@pytest.mark.parametrize("spoil", ["wrong password", "starting", "hang", "refused", "answer"])
def test_no_secret_in_any_message_repr_or_log(
    spoil: str,
    winrm: Any,
    open_session: Callable[..., Any],
    password_file: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    quiet_libraries()
    secret = "Kennwort-im-Klartext" if spoil == "wrong password" else password_file.read_text().strip()
    password_file.write_text(secret)
    winrm.faults.starting = spoil == "starting"
    winrm.faults.hang = spoil == "hang"
    if spoil == "refused":
        winrm.go_down()
    if spoil == "answer":
        winrm.quotas = type(winrm.quotas)(max_shells_per_user=0)
    opened = open_session(winrm)
    with pytest.raises(errors.PollError) as caught:
        opened.collect(timeout_seconds=0.5)
    shown = "".join(traceback.format_exception(caught.value)) + repr(opened.session) + caplog.text
    assert secret not in shown
    assert winrm.port
