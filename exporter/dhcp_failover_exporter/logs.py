"""How log lines look and where they go: one line each, logfmt or JSON, to standard error.

Everything logs by structlog; what libraries write to `logging` takes the same form.
"""

import logging
import sys
from typing import Final

import structlog
from structlog.typing import Processor

LEVELS: Final = ("debug", "info", "warn", "error")
FORMATS: Final = ("logfmt", "json")
# Their information is about themselves.
_QUIET: Final = ("hypercorn.error", "asyncio")


def configure(level: str, form: str) -> None:
    """Set up logging of the process, once; `level` is one of `LEVELS`, `form` one of `FORMATS`."""
    number = {"warn": logging.WARNING}.get(level, logging.getLevelNamesMapping()[level.upper()])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(form))
    logging.basicConfig(level=number, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, number))
    structlog.configure(
        processors=[*_common(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def _common() -> list[Processor]:
    return [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
    ]


def _formatter(form: str) -> logging.Formatter:
    renderer: Processor = structlog.processors.JSONRenderer(default=str)
    if form == "logfmt":
        renderer = structlog.processors.LogfmtRenderer(key_order=["ts", "level", "msg"])
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_common(),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.EventRenamer("msg"),
            renderer,
        ],
    )
