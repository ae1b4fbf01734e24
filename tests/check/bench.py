"""The simulated pair that these tests check, and certificates for it."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dhcp_failover_exporter import check, config
from dhcp_failover_exporter.check import Finding, Measurement
from dhcp_failover_exporter.simulator.collector import Collector
from dhcp_failover_exporter.simulator.lab import Host, Lab
from dhcp_failover_exporter.simulator.wsman import Tls, WinRM

PRIMARY, SECONDARY = "dhcp01.lab.local", "dhcp02.lab.local"


@dataclass
class Bench:
    """The pair, and what `check` finds there."""

    lab: Lab
    measurements: list[Measurement]

    @property
    def primary(self) -> Host:
        return self.lab.hosts[PRIMARY]

    @property
    def secondary(self) -> Host:
        return self.lab.hosts[SECONDARY]

    def serve(self, host: Host, **options: object) -> None:
        """Put the host behind another listener."""
        host.winrm.stop()
        host.winrm = WinRM(Collector(host.dhcp), [host.account], **options)  # type: ignore[arg-type]  # as WinRM takes them
        host.winrm.start()

    def settings(self, **options: object) -> config.Settings:
        return config.parse(self.lab.configuration(**options), self.lab.folder)  # type: ignore[arg-type]  # as Lab takes them

    def check(self, settings: config.Settings | None = None, **options: object) -> list[Finding]:
        settings = settings or self.settings(**options)
        self.measurements = check.measure_all(settings, settings.servers)
        return check.findings(self.measurements)


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def file(self) -> Path:
        path = self.folder / "ca.pem"
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def issue(self, name: str, *, valid_days: float) -> Tls:
        """A server's certificate, which ends so many days from now (in the past: it has ended)."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        made = certificate(name, self.certificate.subject, key, self.key, names, valid_days)
        certificate_file, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return Tls(certificate_file, key_file)


def certificate(
    name: str,
    issuer: x509.Name | None,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
    valid_days: float,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=100))
        .not_valid_after(now + dt.timedelta(days=valid_days))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .sign(signer, hashes.SHA256())
    )
