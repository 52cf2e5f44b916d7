"""Sets up the server's log: one record is one line, without secrets.

Untrusted text may hold line breaks and escape sequences, which could forge log lines. The text format escapes
them and indents tracebacks; JSON escapes them anyway.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from infraweave.core.data.redact import one_line, redact

#: The most characters of a message and of a traceback.
_MESSAGE, _TRACEBACK = 4_000, 16_000
_KNOWN = ("run_id", "node", "attempt", "request_id")
_INDENT = "    | "
_handler = logging.StreamHandler()


class TextFormatter(logging.Formatter):
    """Time, level, logger and message on one line; an indented traceback below."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line of the record."""
        record.message = one_line(redact(record.message), _MESSAGE)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return the traceback, indented."""
        text = redact(super().formatException(ei))[:_TRACEBACK]
        return "\n".join(_INDENT + one_line(line, _MESSAGE) for line in text.split("\n"))


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        known = {key: getattr(record, key) for key in _KNOWN if hasattr(record, key)}
        line = {"at": self.formatTime(record), "level": record.levelname.lower(), "logger": record.name}
        line |= {"message": _cut(redact(record.getMessage()), _MESSAGE), **known}
        if record.exc_info:
            line["exception"] = _cut(redact(self.formatException(record.exc_info)), _TRACEBACK)
        return json.dumps(line)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def set_up_logging(log_format: str, *, access: bool) -> None:
    """Log warnings, records of node bodies, and with ``access`` every response to stderr."""
    _handler.setStream(sys.stderr)
    _handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[_handler])
    logging.getLogger("infraweave.node").setLevel(logging.INFO)
    logging.getLogger("infraweave.access").setLevel(logging.INFO if access else logging.WARNING)


def restore_logging() -> None:
    """Restore our loggers after loading workflow files.

    By default, ``logging.config`` in such a file disables existing loggers and removes their handlers.
    """
    ours = logging.getLogger("infraweave")
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == ours.name:
            logging.getLogger(name).disabled = False
    ours.setLevel(logging.WARNING)
    if _handler not in logging.getLogger().handlers:
        ours.addHandler(_handler)
