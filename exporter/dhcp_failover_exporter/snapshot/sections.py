"""A section's answer: what was read, what was not, and why."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from dhcp_failover_exporter.errors import PollError
from dhcp_failover_exporter.snapshot.records import Record, ScopeConfiguration, ServerOptions

SECTIONS: Final[tuple[str, ...]] = (
    "server",
    "relationships",
    "ports",
    "scopes",
    "statistics",
    "counters",
    "events",
    "settings",
    "firewall",
    "configuration",
)

REASONS: Final[tuple[str, ...]] = ("permission", "timeout", "dhcp", "contract", "other")

# WIN32 1722 (RPC server unavailable) and 1753 (no endpoint) come from a local call here: the DHCP service
# does not answer. Some builds show only the code of a refusal, others only its category.
_REASON_BY_CODE: Final = {
    "WIN32 5": "permission",
    "DHCP 20121": "permission",
    # What Get-WinEvent says of a channel that the account may not read.
    "System.UnauthorizedAccessException": "permission",
    # A performance class does not refuse who is no Performance Monitor User (inferred): it has no instance.
    "NoInstance": "permission",
    "WIN32 1722": "dhcp",
    "WIN32 1753": "dhcp",
    "WIN32 1460": "timeout",
    "UnknownSection": "contract",
}
_GONE: Final = {"DHCP 20005", "DHCP 20116"}
# The service manager answers administrators only; an answered relationships section says the same. Changes of
# the configuration only bring forward what the next audit reads in any case: nothing shown is missing.
_NOT_MISSED: Final = {("server", "ServiceStatus"), ("events", "Changes")}
_REASON_BY_CATEGORY: Final = {
    "permissiondenied": "permission",
    "securityerror": "permission",
    "operationtimeout": "timeout",
    "permission": "permission",
    "timeout": "timeout",
    "contract": "contract",
}


@dataclass(frozen=True)
class SectionError:
    """What could not be read: `item` of a section, or all of it where None.

    `id` is the FullyQualifiedErrorId, `category` PowerShell's, or ours: the reason of a `PollError`.
    """

    item: str | None
    id: str
    category: str
    message: str

    @property
    def reason(self) -> str:
        """One of `REASONS`, by code and category; messages are localised and never read."""
        return _REASON_BY_CODE.get(self.code) or _REASON_BY_CATEGORY.get(self.category.lower(), "other")

    @property
    def code(self) -> str:
        """`WIN32 5` of `WIN32 5,Get-DhcpServerv4Scope`."""
        return self.id.partition(",")[0].strip()


@dataclass(frozen=True)
class Section:
    """One section's answer.

    With `failure` nothing could be read. Otherwise `records` hold what could (exactly one record where the
    contract says one object) and `errors` what could not. `elapsed_seconds` is the server's own measure,
    `written` the server's clock (epoch seconds) at the last document.
    """

    name: str
    records: tuple[Record, ...] = ()
    errors: tuple[SectionError, ...] = ()
    failure: SectionError | None = None
    elapsed_seconds: float = 0.0
    written: float | None = None

    @classmethod
    def failed(cls, name: str, error: PollError) -> "Section":
        """The section of a call that gave no usable answer at all."""
        return cls(name, failure=SectionError(None, "", error.reason, str(error)))

    @property
    def reason(self) -> str | None:
        """Why something that should be there is missing: the weightiest of `REASONS`, or None."""
        if self.failure:
            return self.failure.reason
        return min(
            (error.reason for error in self.errors if not self._expects(error)),
            key=REASONS.index,
            default=None,
        )

    def _expects(self, error: SectionError) -> bool:
        """Whether a healthy server says this: a scope deleted meanwhile, what not every account may read."""
        return error.code in _GONE or (self.name, error.item) in _NOT_MISSED

    def without(self, scopes: Collection[str]) -> "Section":
        """The same, less the configuration of these scopes and what was said about them."""
        return replace(
            self,
            records=tuple(
                it
                for it in self.records
                if not (isinstance(it, ScopeConfiguration) and it.scope_id in scopes)
            ),
            errors=tuple(it for it in self.errors if it.item not in scopes),
        )


def merge(slices: Sequence[Section]) -> Section:
    """Join the slices of one section, at least one; a failed slice fails the section."""
    failure = next((piece.failure for piece in slices if piece.failure), None)
    return Section(
        name=slices[0].name,
        records=() if failure else _without_repeats([record for piece in slices for record in piece.records]),
        errors=tuple(error for piece in slices for error in piece.errors),
        failure=failure,
        elapsed_seconds=sum(piece.elapsed_seconds for piece in slices),
        written=slices[-1].written,
    )


def _without_repeats(records: Sequence[Record]) -> tuple[Record, ...]:
    """What is read more than once counts as it was read last.

    That is server options, which every slice of the configuration starts with, and scopes read out of turn.
    """
    return tuple({_subject(record): record for record in records}.values())


def _subject(record: Record) -> object:
    if isinstance(record, ServerOptions):
        return ServerOptions
    return record.scope_id if isinstance(record, ScopeConfiguration) else id(record)
