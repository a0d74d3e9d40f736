"""Structured logs, one event per line: readable on a console, JSON for machines."""

import io
import logging
import sys
from typing import Literal, TextIO

import structlog

from trackfarm.text import clean

Level = Literal["debug", "info", "warning", "error"]
OURS = ("trackfarm", "trackfarm_scheduler", "trackfarm_worker", "trackfarm_fleet")
_LEVELS: dict[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure(log_format: str = "console", log_level: Level = "info") -> None:
    """Send structlog and the standard library's loggers to stderr in one format.

    Debug lines of other libraries are dropped at every level: they repeat whole requests, with the
    signatures of URLs and the keys in headers.
    """
    level = _LEVELS[log_level]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [
            _printable,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=_traceback
            ),
        ]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.INFO), force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for noisy in ("httpx", "httpcore", "alembic", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _printable(
    _logger: object, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Escape untrusted text (a worker's name, an error) for the console.

    It must neither control the operator's terminal nor look like another log line. JSON needs no
    escaping.
    """
    return {name: _one_line(value) for name, value in event.items()}


def _traceback(out: TextIO, error: structlog.typing.ExcInfo) -> None:
    # Not rich's: they print every local variable, secrets included, and take seconds to draw,
    # which would block an event loop.
    text = io.StringIO()
    structlog.dev.plain_traceback(text, error)
    out.write(clean(text.getvalue()))


def _one_line(value: object) -> object:
    if not isinstance(value, str) or value.isprintable():
        return value
    return clean(value).replace("\n", "\\n").replace("\t", "\\t")
