"""What the server logs, and how: one event is one line whatever it says, and no secret is in it.

Texts from outside can hold line breaks and escape sequences; a line that they begin could not be told from
ours. In text format they are escaped, and the lines of a traceback are set in; JSON escapes them anyway.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from infraweave.core.data.redact import one_line, redact

#: Characters of a message, and of a traceback, that are kept.
_MESSAGE, _TRACEBACK = 4_000, 16_000
_KNOWN = ("run_id", "node", "attempt", "request_id")
_INDENT = "    | "
_handler = logging.StreamHandler()


class TextFormatter(logging.Formatter):
    """Time, level, logger, message; below it, set in, what was raised."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the record's own line."""
        record.message = one_line(redact(record.message), _MESSAGE)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return what was raised, set in."""
        text = redact(super().formatException(ei))[:_TRACEBACK]
        return "\n".join(_INDENT + one_line(line, _MESSAGE) for line in text.split("\n"))


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

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
    """Log warnings, what node bodies log, and, with ``access``, every answer, to stderr."""
    _handler.setStream(sys.stderr)
    _handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[_handler])
    logging.getLogger("infraweave.node").setLevel(logging.INFO)
    logging.getLogger("infraweave.access").setLevel(logging.INFO if access else logging.WARNING)


def restore_logging() -> None:
    """Let our loggers log as they did before files were loaded.

    A file's ``logging.config`` turns off those that are there, by default, and takes the handlers away.
    """
    ours = logging.getLogger("infraweave")
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == ours.name:
            logging.getLogger(name).disabled = False
    ours.setLevel(logging.WARNING)
    if _handler not in logging.getLogger().handlers:
        ours.addHandler(_handler)
