"""Loading the configuration again while the exporter runs.

A file with mistakes changes nothing: what was in force stays in force, and the mistakes go to whoever asked
and to the log.
"""

import time
from pathlib import Path
from threading import Lock

import structlog

from dhcp_failover_exporter import config
from dhcp_failover_exporter.engine import Engine
from dhcp_failover_exporter.errors import ConfigurationError
from dhcp_failover_exporter.web.own import OwnMetrics
from dhcp_failover_exporter.web.view import Refusal

log = structlog.get_logger(__name__)


class Reload:
    """Reads the file anew and hands it to the engine; one at a time, from any thread.

    Attributes:
        refused: the file as it was last tried, None while what is in force is what it says. `since` is the
            first of several tries in a row.
    """

    def __init__(self, path: Path, engine: Engine, own: OwnMetrics) -> None:
        self._path = path
        self._engine = engine
        self._own = own
        self._lock = Lock()
        self.refused: Refusal | None = None

    def __call__(self) -> None:
        """Put the file in force.

        Raises:
            ConfigurationError: the file has mistakes, and the old configuration stays in force.
        """
        with self._lock:
            try:
                settings = config.load(self._path)
            except ConfigurationError as refused:
                self._note(refused)
                raise
            self._engine.reload(settings)
            self._own.note_reload(successful=True)
            self.refused = None
            log.info("configuration loaded", file=str(self._path), servers=len(settings.servers))

    def _note(self, refused: ConfigurationError) -> None:
        mistakes = tuple(map(str, refused.mistakes))
        self._own.note_reload(successful=False)
        self.refused = Refusal(self.refused.since if self.refused else time.time(), mistakes)
        for mistake in mistakes:
            log.warning(
                "configuration refused, the old one stays in force", file=str(self._path), mistake=mistake
            )
