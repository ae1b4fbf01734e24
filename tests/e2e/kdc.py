"""A real KDC for one realm: MIT's, as `tests/run` unpacked it."""

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_connection

from e2e.servers import eventually, free_port

REALM = "LAB.TEST"

KRB5_CONF = """
[libdefaults]
 default_realm = {realm}
 dns_lookup_realm = false
 dns_lookup_kdc = false
 dns_canonicalize_hostname = false
 rdns = false
[realms]
 {realm} = {{
  kdc = 127.0.0.1:{port}
 }}
"""
KDC_CONF = """
[realms]
 {realm} = {{
  database_name = {folder}/principal
  key_stash_file = {folder}/stash
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
 }}
[dbmodules]
 db_module_dir = {modules}
[logging]
 kdc = FILE:{folder}/kdc.log
"""


@dataclass
class Kdc:
    """MIT's KDC for one realm in a folder, unpacked, not installed."""

    folder: Path
    program: Callable[[str], str]
    port: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        self.port = free_port()
        libraries = next(Path(self.program("krb5kdc")).parents[1].glob("lib/*-linux-gnu"))
        values = {
            "realm": REALM,
            "port": self.port,
            "folder": self.folder,
            "modules": libraries / "krb5/plugins/kdb",
        }
        (self.folder / "krb5.conf").write_text(KRB5_CONF.format(**values))
        (self.folder / "kdc.conf").write_text(KDC_CONF.format(**values))
        self.environment = {
            **os.environ,
            "KRB5_CONFIG": str(self.folder / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"),
            "LD_LIBRARY_PATH": str(libraries),
        }
        self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "master")

    def add_user(self, principal: str, password: str) -> None:
        """As in Active Directory, a wrong password is refused before a ticket is given."""
        self.administer(f'addprinc +requires_preauth -pw "{password}" {principal}')

    def administer(self, query: str) -> None:
        self._run("kadmin.local", "-r", REALM, "-q", query)

    def keytab(self, principal: str, *, fresh: bool = True) -> Path:
        """A keytab for the principal; a fresh one has a random key instead of a password."""
        path = self.folder / f"{principal.replace('/', '-')}.keytab"
        if fresh:
            self.administer(f"addprinc -randkey {principal}")
        self.administer(f"ktadd -k {path} {'' if fresh else '-norandkey '}{principal}")
        return path

    def start(self) -> None:
        self.process = subprocess.Popen(
            [self.program("krb5kdc"), "-n", "-r", REALM, "-P", str(self.folder / "pid")],
            env=self.environment,
        )
        eventually(self._listens, 10, "the KDC listens")

    def _listens(self) -> bool:
        with suppress(OSError), create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=10)
            self.process = None

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [self.program(name), *arguments], env=self.environment, check=True, capture_output=True
        )
