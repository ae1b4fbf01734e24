"""A simulated pair to check, behind WinRM listeners; with TLS where a test brings a certificate."""

from collections.abc import Callable, Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from check.bench import Authority, Bench, certificate
from dhcp_failover_exporter.simulator.lab import Lab
from dhcp_failover_exporter.simulator.windows import Pair, load_balance, scopes


@pytest.fixture
def bench() -> Iterator[Bench]:
    pair = Pair.of()
    pair.relationships = [load_balance("dhcp01-dhcp02", *pair.servers, scopes(12, "10.1.0.0/24"))]
    with Lab([pair]) as lab:
        yield Bench(lab, [])
        for host in lab.hosts.values():
            host.winrm.faults.clear()


@pytest.fixture
def authority(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Authority]:
    def make(name: str) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        basic = x509.BasicConstraints(ca=True, path_length=0)
        own = certificate(name, None, key, key, basic, valid_days=365)
        return Authority(tmp_path_factory.mktemp(name), key, own)

    return make
