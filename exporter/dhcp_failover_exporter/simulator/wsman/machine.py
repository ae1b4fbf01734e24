"""What stands behind the wire: a machine that runs commands, its accounts and its endpoints.

Knows nothing of HTTP, SOAP or PSRP. A simulated Windows server implements `Machine`.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Account:
    r"""An account that may log on.

    `username` is what a client types (`LAB\svc` or `svc`); `principal` is its Kerberos name and UPN
    (`svc@LAB.TEST`); `certificate` the common name of a client certificate mapped to it. `endpoints` holds
    the configuration names that it may use, None for all of them.
    """

    username: str
    password: str = field(repr=False)
    principal: str | None = None
    certificate: str | None = None
    endpoints: frozenset[str] | None = None

    def is_named(self, name: str) -> bool:
        """Whether a logon under this name is this account's (Windows ignores case)."""
        return name.casefold() in {self.username.casefold(), (self.principal or self.username).casefold()}

    def may_use(self, endpoint: str) -> bool:
        """Whether the endpoint's access list has this account."""
        return self.endpoints is None or endpoint.casefold() in {name.casefold() for name in self.endpoints}


@dataclass(frozen=True)
class Endpoint:
    """A session configuration: its name, its language mode and the functions that exist from the start.

    `language` is FullLanguage, ConstrainedLanguage (scripts define functions there too; what they may do is
    the machine's business) or NoLanguage, as JEA has it.
    """

    name: str = "Microsoft.PowerShell"
    language: str = "FullLanguage"
    functions: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Caller:
    """On whose behalf a command runs. `stopped` is set when the client no longer wants the answer."""

    account: Account
    endpoint: Endpoint
    shell_id: str
    stopped: threading.Event


class CommandError(Exception):
    """A terminating error of a command, as PowerShell's error record has it.

    Any exception with these three attributes is taken for one.
    """

    def __init__(self, fully_qualified_error_id: str, category: str, message: str) -> None:
        super().__init__(message)
        self.fully_qualified_error_id = fully_qualified_error_id
        self.category = category
        self.message = message


class Machine(Protocol):
    """Runs commands; called in the thread of the shell's runspace."""

    def invoke(self, command: str, parameters: Mapping[str, object], caller: Caller) -> Iterator[str]:
        """Yield the strings that the command writes; raise to fail the pipeline with that error record."""
        ...
