"""The two clocks that the engine reads: one that tells the time, one that only ever goes forward."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where every moment in the engine comes from; tests hand in one that they move themselves."""

    def now(self) -> float:
        """Epoch seconds: for what is shown."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start: for what is waited for."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that no change of the time of day moves."""
        return time.monotonic()
