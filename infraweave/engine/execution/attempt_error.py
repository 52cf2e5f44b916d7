"""The failure of an attempt, and what an exception of author code means for it."""

from __future__ import annotations

from functools import partial
from typing import Any

from infraweave.core.data.redact import redact
from infraweave.engine.execution.exception_text import ask, describe, leaves, text_of
from infraweave.engine.execution.tracebacks import traceback_of
from infraweave.errors import NonRetryable

#: Longer messages are cut, because an event must stay a line that clients can read (64 kB).
MAX_MESSAGE = 2_000


class AttemptError(Exception):
    """An attempt failed.

    ``final``: another attempt cannot help; otherwise none starts before ``retry_after`` seconds.
    ``traceback``: the place in the author's code; None if the failure was not there.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        final: bool,
        retry_after: float | None = None,
        traceback: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.final, self.retry_after, self.traceback = code, final, retry_after, traceback
        message = message.encode(errors="replace").decode()  # file names may contain lone surrogates
        message = redact(message)
        self.message = message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it be pickled, which plain exceptions with keyword arguments cannot be."""
        made = partial(AttemptError, final=self.final, retry_after=self.retry_after, traceback=self.traceback)
        return made, (self.code, self.message)


def error_of(error: BaseException, *, with_traceback: bool = True) -> AttemptError:
    """Return the attempt error of an exception that author code raised."""
    traceback = safe_traceback(error) if with_traceback else None
    # A TaskGroup raises what its tasks raised as a group.
    members = leaves(error)
    refusal = next((one for one in members if isinstance(one, NonRetryable)), None)
    if refusal is not None:
        message = text_of(refusal) or type(refusal).__name__
        message += f" (in a group: {describe(error)})" if len(members) > 1 else ""
        return AttemptError("non_retryable", message, final=True, traceback=traceback)
    return AttemptError("error", describe(error), final=False, traceback=traceback)


def safe_traceback(error: BaseException) -> str | None:
    """Return the traceback in author code, or None."""
    return ask(traceback_of, error, None)
