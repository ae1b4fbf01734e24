"""A thread for a worker: steps, sleeps until the next or until woken, closes the session at the end.

What this file does not know: what a step does.
"""

import math
import threading
from concurrent.futures import Future
from typing import Final

import structlog

from dhcp_failover_exporter.engine.dossier import Entry
from dhcp_failover_exporter.engine.worker import Worker

# After a mistake of ours in a step: its data becomes absent in the meantime, and the log stays readable.
_PAUSE_AFTER_BUG_SECONDS: Final = 60.0


class Runner:
    """Runs one worker. The thread is a daemon: a server that never answers must not hold up the exit."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopping = False

    @property
    def running(self) -> bool:
        """Whether the worker has its thread."""
        return self._thread is not None

    def start(self) -> None:
        """Give the worker its thread, if it has none."""
        with self._lock:
            if self._thread is None and not self._stopping:
                name = f"worker-{self.worker.settings.name}"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()

    def probe(self) -> Future[Entry]:
        """The worker's next state result, woken up for it."""
        future = self.worker.probe()
        self._wake.set()
        self.start()
        return future

    def wake(self) -> None:
        """Look again at what is due."""
        self._wake.set()

    def stop(self) -> None:
        """Begin the end, once: the running call is cut short, the session is closed by its own thread."""
        with self._lock:
            if self._stopping:
                return  # another interruption would cut the closing short
            self._stopping = True
        self.worker.interrupt()
        self._wake.set()

    def join(self, seconds: float) -> bool:
        """Wait for the thread's end; False if it is still busy."""
        if (thread := self._thread) is None:
            return True
        thread.join(max(0.0, seconds))
        return not thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            pause = self._step()
            if self._ended(pause):
                return
            self._wake.wait(min(pause, threading.TIMEOUT_MAX))
            # Cleared before the reasons to wake are looked at, or one that comes now would be lost.
            self._wake.clear()
        self.worker.close()
        self._thread = None

    def _ended(self, pause: float) -> bool:
        """Nothing to do until asked. Under the lock: a probe finds this thread awake or starts a new one."""
        with self._lock:
            if pause < math.inf or self._wake.is_set() or self._stopping:
                return False
            self._thread = None
            return True

    def _step(self) -> float:
        try:
            return self.worker.step()
        except Exception:  # noqa: BLE001 - a mistake of ours must not end the watch over a server
            structlog.get_logger().exception("worker failed", server=self.worker.settings.name)
            return _PAUSE_AFTER_BUG_SECONDS
