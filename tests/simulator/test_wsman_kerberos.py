"""The simulated WinRM as a Kerberos service of a real KDC."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan

from dhcp_failover_exporter.simulator.wsman import Account, Caller, Endpoint, WinRM

pytest.importorskip("gssapi", reason="Kerberos needs the extra `kerberos`")
pytestmark = pytest.mark.e2e

SVC = Account(r"LAB\svc", "pass word", principal="svc@LAB.TEST")


class Machine:
    """Says who asks."""

    def invoke(self, command: str, parameters: Mapping[str, object], caller: Caller) -> Iterator[str]:
        del command, parameters
        yield caller.account.username


@dataclass(frozen=True)
class Realm:
    """A running KDC of realm LAB.TEST with the account and the service host/localhost."""

    keytab: Path
    config: Path


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]) -> Iterator[Realm]:
    folder = tmp_path_factory.mktemp("kdc")
    [libraries] = (Path(program("krb5kdc")).parents[1] / "lib").glob("*-linux-gnu")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config, profile, keytab = folder / "krb5.conf", folder / "kdc.conf", folder / "winrm.keytab"
    modules = f"[dbmodules]\n db_module_dir = {libraries}/krb5/plugins/kdb\n"
    config.write_text(
        "[libdefaults]\n default_realm = LAB.TEST\n dns_lookup_kdc = false\n rdns = false\n"
        " dns_canonicalize_hostname = false\n"
        f"[realms]\n LAB.TEST = {{\n  kdc = 127.0.0.1:{port}\n }}\n[domain_realm]\n localhost = LAB.TEST\n{modules}"
    )
    profile.write_text(
        f"[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n"
        f"[realms]\n LAB.TEST = {{\n  database_name = {folder}/principal\n  key_stash_file = {folder}/stash\n }}\n"
        f"{modules}[logging]\n kdc = FILE:{folder}/kdc.log\n"
    )
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(libraries),
        "KRB5_CONFIG": str(config),
        "KRB5_KDC_PROFILE": str(profile),
    }
    subprocess.run(
        [program("kdb5_util"), "create", "-s", "-P", "master", "-r", "LAB.TEST"],
        env=environment,
        check=True,
        capture_output=True,
    )
    for query in (
        f'addprinc -pw "{SVC.password}" svc@LAB.TEST',
        "addprinc -randkey host/localhost@LAB.TEST",
        f"ktadd -k {keytab} host/localhost@LAB.TEST",
    ):
        subprocess.run(
            [program("kadmin.local"), "-r", "LAB.TEST", "-q", query],
            env=environment,
            check=True,
            capture_output=True,
        )
    with subprocess.Popen([program("krb5kdc"), "-n", "-r", "LAB.TEST"], env=environment) as kdc:
        wait_for_port(port)
        yield Realm(keytab, config)
        kdc.terminate()


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, "the KDC does not listen"
            time.sleep(0.02)
        else:
            return


@pytest.mark.parametrize(
    ("schemes", "auth", "username", "negotiated", "protocol"),
    [
        (("negotiate", "kerberos"), "kerberos", "svc@LAB.TEST", "kerberos", "SPNEGO"),
        (("negotiate", "kerberos"), "negotiate", "svc@LAB.TEST", "kerberos", "SPNEGO"),
        (("negotiate", "kerberos"), "negotiate", r"LAB\svc", "ntlm", "SPNEGO"),
        (("kerberos",), "kerberos", "svc@LAB.TEST", "kerberos", "Kerberos"),
    ],
)
def test_logon_and_call(
    realm: Realm,
    monkeypatch: pytest.MonkeyPatch,
    *,
    schemes: tuple[str, ...],
    auth: str,
    username: str,
    negotiated: str,
    protocol: str,
) -> None:
    monkeypatch.setenv("KRB5_CONFIG", str(realm.config))
    endpoint = Endpoint(functions=frozenset({"Get-Thing"}))
    with WinRM(Machine(), [SVC], [endpoint], auth=schemes, keytab=realm.keytab) as winrm:
        options = {"username": username, "password": SVC.password, "auth": auth, "no_proxy": True}
        with WSMan("localhost", port=winrm.port, ssl=False, **options) as wsman:
            with RunspacePool(wsman) as pool:
                assert PowerShell(pool).add_cmdlet("Get-Thing").invoke() == [SVC.username]
            context = wsman.transport.session.auth.contexts["localhost"]
            assert context.negotiated_protocol == negotiated
            assert wsman.transport.encryption.protocol == f"application/HTTP-{protocol}-session-encrypted"
        assert winrm.logons == {SVC.username: 1}
