"""The simulated WinRM as a Kerberos service of a real KDC."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan

from dhcp_failover_exporter.simulator.wsman import Account, Caller, Endpoint, WinRM
from e2e.kdc import Kdc

pytestmark = pytest.mark.e2e

SVC = Account(r"LAB\svc", "pass word", principal="svc@LAB.TEST")


class Machine:
    """Says who asks."""

    def invoke(self, command: str, parameters: Mapping[str, object], caller: Caller) -> Iterator[str]:
        del command, parameters
        yield caller.account.username


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]) -> Iterator[Kdc]:
    made = Kdc(tmp_path_factory.mktemp("kdc"), program)
    made.create()
    made.add_user("svc@LAB.TEST", SVC.password)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def keytab(realm: Kdc) -> Path:
    return realm.keytab("host/localhost")


@pytest.mark.parametrize(
    ("schemes", "auth", "username", "negotiated", "protocol"),
    [
        (("negotiate", "kerberos"), "kerberos", "svc@LAB.TEST", "kerberos", "SPNEGO"),
        (("negotiate", "kerberos"), "negotiate", "svc@LAB.TEST", "kerberos", "SPNEGO"),
        (("negotiate", "kerberos"), "negotiate", r"LAB\svc", "ntlm", "SPNEGO"),
        (("kerberos",), "kerberos", "svc@LAB.TEST", "kerberos", "Kerberos"),
    ],
)
def test_logon_and_call(  # noqa: PLR0913 - a case has five sides, and two fixtures
    realm: Kdc,
    keytab: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    schemes: tuple[str, ...],
    auth: str,
    username: str,
    negotiated: str,
    protocol: str,
) -> None:
    monkeypatch.setenv("KRB5_CONFIG", realm.environment["KRB5_CONFIG"])
    endpoint = Endpoint(functions=frozenset({"Get-Thing"}))
    with WinRM(Machine(), [SVC], [endpoint], auth=schemes, keytab=keytab) as winrm:
        with WSMan(
            "localhost",
            port=winrm.port,
            ssl=False,
            username=username,
            password=SVC.password,
            auth=auth,
            no_proxy=True,
        ) as wsman:
            with RunspacePool(wsman) as pool:
                assert PowerShell(pool).add_cmdlet("Get-Thing").invoke() == [SVC.username]
            transport: Any = wsman.transport  # with all that its first logon made
            context = transport.session.auth.contexts["localhost"]
            assert context.negotiated_protocol == negotiated
            assert transport.encryption.protocol == f"application/HTTP-{protocol}-session-encrypted"
        assert winrm.logons == {SVC.username: 1}
