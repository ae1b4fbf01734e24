"""Loading the configuration again while the exporter runs.

A file with mistakes changes nothing: what was in force stays in force, and the mistakes go to whoever asked
and to the log.
"""

from pathlib import Path
from threading import Lock

import structlog

from dhcp_failover_exporter import config
from dhcp_failover_exporter.engine import Engine
from dhcp_failover_exporter.errors import ConfigurationError
from dhcp_failover_exporter.web.own import OwnMetrics

log = structlog.get_logger(__name__)


class Reload:
    """Reads the file anew and hands it to the engine; one at a time, from any thread."""

    def __init__(self, path: Path, engine: Engine, own: OwnMetrics) -> None:
        self._path = path
        self._engine = engine
        self._own = own
        self._lock = Lock()

    def __call__(self) -> None:
        """Put the file in force.

        Raises:
            ConfigurationError: the file has mistakes, and the old configuration stays in force.
        """
        with self._lock:
            try:
                settings = config.load(self._path)
            except ConfigurationError as refused:
                self._own.note_reload(successful=False)
                for mistake in refused.mistakes:
                    log.warning("configuration refused, the old one stays in force", mistake=str(mistake))
                raise
            self._engine.reload(settings)
            self._own.note_reload(successful=True)
            log.info("configuration loaded", file=str(self._path), servers=len(settings.servers))
