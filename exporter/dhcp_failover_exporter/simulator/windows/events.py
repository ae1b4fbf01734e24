"""The channels of the DHCP server's event log.

Ids and inserts: https://learn.microsoft.com/en-us/windows-server/networking/technologies/dhcp/dhcp-failover-events
"""

from dataclasses import dataclass
from typing import Final

ADMIN: Final = "Microsoft-Windows-DHCP Server Events/Admin"
OPERATIONAL: Final = "Microsoft-Windows-DHCP Server Events/Operational"

ERROR, WARNING, INFORMATION = 2, 3, 4

STATE_CHANGED = 20251
STATE_CHANGED_ERROR = 20252
TIME_OUT_OF_SYNC = 20253
LINK_UP = 20254
LINK_DOWN = 20255
STATE_REACHED = 20259
CONNECT_DIGEST_WRONG = 20264
UPDATE_DROPPED = 20286
POOL_EXHAUSTED = 20287
ACK_REJECT_SENT = 20291
ACK_REJECT_RECEIVED = 20292


@dataclass(frozen=True)
class Event:
    """One record; `time_created` in seconds since 1970 by the server's own clock."""

    record_id: int
    id: int
    time_created: float
    level: int
    properties: tuple[str, ...]


class EventLog:
    """One channel: records are numbered in the order of their time, old ones fall out."""

    def __init__(self, capacity: int = 20_000) -> None:
        self.capacity = capacity
        self._records: list[Event] = []
        self._waiting: list[tuple[float, int, int, tuple[str, ...]]] = []
        self._next_id = 1

    def write(self, time: float, event_id: int, level: int, *properties: str) -> None:
        """Add a record; those written since the last read may come in any order."""
        self._waiting.append((time, event_id, level, properties))

    def read(self) -> list[Event]:
        """Every record, oldest first."""
        for time, event_id, level, properties in sorted(self._waiting, key=lambda waiting: waiting[0]):
            self._records.append(Event(self._next_id, event_id, time, level, properties))
            self._next_id += 1
        self._waiting.clear()
        del self._records[: -self.capacity]
        return list(self._records)

    def clear(self) -> None:
        """What an administrator's "Clear Log" does: ids start again."""
        self._records.clear()
        self._waiting.clear()
        self._next_id = 1
