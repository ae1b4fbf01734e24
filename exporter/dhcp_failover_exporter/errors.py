"""The exception tree: every failure that the exporter names.

    ExporterError
    |-- ConfigurationError        the file is wrong: every mistake in one go
    `-- PollError                 a server gave no usable answer; `reason` is the metric's label
        |-- AuthError             auth          the logon was refused
        |-- SuspendedError        suspended     no logon tried: the credential's gate is shut
        |-- UnreachableError      unreachable   name, route, port, or WinRM still starting
        |-- DeadlineError         timeout       no whole answer before the deadline
        |-- TlsError              tls           certificate or handshake
        |-- QuotaError            quota         WinRM refused one more shell, user or operation
        |-- EndpointDeniedError   permission    the account may not use the endpoint
        |-- ProtocolError         protocol      WSMan or PSRP said something unexpected
        `-- ContractError         contract      the collector's answer is missing or misshapen

Foreign exceptions become these in one place, `session.faults`. A section that failed on a server that
answered is no exception: it is data (`snapshot.SectionError`).
"""

from dataclasses import dataclass
from typing import ClassVar


class ExporterError(Exception):
    """Root of everything that this package raises on purpose."""


@dataclass(frozen=True, order=True)
class Mistake:
    """One mistake in the configuration: where it is (line 0: nowhere), and what to do about it."""

    path: str
    remedy: str
    line: int = 0

    def __str__(self) -> str:
        return f"{f'line {self.line}: ' if self.line else ''}{self.path}: {self.remedy}"


class ConfigurationError(ExporterError):
    """The configuration cannot be used; `mistakes` holds all of them, none shows a secret."""

    def __init__(self, *mistakes: Mistake, file: object = "the configuration") -> None:
        super().__init__("\n  ".join([f"{file} cannot be used:", *map(str, mistakes)]))
        self.mistakes = mistakes


class PollError(ExporterError):
    """A server gave no usable answer; `reason` is the value of the metrics' label."""

    reason: ClassVar[str]


class AuthError(PollError):
    """The logon was refused: one more step towards a locked account."""

    reason = "auth"


class SuspendedError(PollError):
    """No logon was tried, because the credential was refused a short while ago."""

    reason = "suspended"


class UnreachableError(PollError):
    """No connection: name, route or port, or WinRM is still starting (HTTP 503)."""

    reason = "unreachable"


class DeadlineError(PollError):
    """No whole answer before the deadline."""

    reason = "timeout"


class TlsError(PollError):
    """The certificate or the handshake was refused."""

    reason = "tls"


class QuotaError(PollError):
    """WinRM refused one more shell, user or operation."""

    reason = "quota"


class EndpointDeniedError(PollError):
    """The account may not use the endpoint."""

    reason = "permission"


class ProtocolError(PollError):
    """WSMan or PSRP said something that is not understood."""

    reason = "protocol"


class ContractError(PollError):
    """The collector's answer is missing or does not have the contract's shape.

    `error_id` is the FullyQualifiedErrorId where PowerShell gave one for the whole call.
    """

    reason = "contract"

    def __init__(self, text: str, error_id: str | None = None) -> None:
        super().__init__(text)
        self.error_id = error_id


REASONS: tuple[str, ...] = tuple(kind.reason for kind in PollError.__subclasses__())
