"""Which scopes' configuration was changed, by the records of the channel Operational.

What lives here: which of these records are new, and which scopes they name. What this file does not know:
what was changed, and who reads the scopes again.

How the inserts of these records are written is unconfirmed, so every address in any of them counts. A scope
too many costs one reading. A change that names no address waits for the next audit, and so does one that is
not among the newest, which are all that the collector lists.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from dhcp_failover_exporter.snapshot import Event, Scope

_ADDRESS: Final = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\d)")


@dataclass(frozen=True)
class ChangeLog:
    """How far the changes were read.

    `watermark` is the newest record, None before the first read, which only sets it: the first audit reads
    everything in any case.
    """

    watermark: int | None = None

    def unread(self, changes: Sequence[Event]) -> Sequence[Event]:
        """What came since the last read; where the log was cleared in between, all of it."""
        if self.watermark is None:
            return ()
        after = self.watermark if _newest(changes) >= self.watermark else 0
        return [change for change in changes if change.record_id > after]

    def read(self, changes: Sequence[Event]) -> "ChangeLog":
        """After that answer."""
        return ChangeLog(_newest(changes))


def _newest(changes: Sequence[Event]) -> int:
    return max((change.record_id for change in changes), default=0)


def changed_scopes(
    changes: Iterable[Event], members: AbstractSet[str], scopes: Iterable[Scope]
) -> AbstractSet[str]:
    """The scopes that these records name, by their id or by an address of their subnet.

    Args:
        changes: what was not read yet.
        members: ids of the scopes in failover; no others are named.
        scopes: what is known of the server's scopes, for their subnets.
    """
    named = set(_addresses(changes))
    within = {
        scope.scope_id
        for scope in scopes
        if (subnet := _subnet(scope)) and any(address in subnet for address in named)
    }
    return members & (within | {str(address) for address in named})


def _addresses(changes: Iterable[Event]) -> Iterator[IPv4Address]:
    text = "\n".join(insert for change in changes for insert in change.properties)
    for spelled in _ADDRESS.findall(text):
        with suppress(ValueError):
            yield IPv4Address(spelled)


def _subnet(scope: Scope) -> IPv4Network | None:
    with suppress(ValueError):
        return IPv4Network(f"{scope.scope_id}/{scope.subnet_mask}", strict=False)
    return None
