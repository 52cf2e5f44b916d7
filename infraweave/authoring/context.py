"""The ``Context`` that a node's function gets if it annotates a parameter with it."""

from __future__ import annotations

import logging
from typing import Protocol


class Context(Protocol):
    """The context of an attempt. It is safe to use from a thread."""

    run_id: str
    node: str
    #: The iteration of a loop, from 1, and the index of a map item, from 0; otherwise None.
    iteration: int | None
    index: int | None
    #: Counts from 1, over retries and interruptions.
    attempt: int
    #: True once the attempt should stop, because the run is stopping or the attempt timed out.
    cancelled: bool

    @property
    def idempotency_key(self) -> str:
        """A key for calls to other systems. It is the same over retries and crashes."""

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that adds the run, the node and the attempt to each record."""

    @property
    def trace_headers(self) -> dict[str, str]:
        """Headers for one outgoing call. Each access starts a new span under the node's span."""

    def report(self, *, tokens: int = 0, cost_micro_usd: int = 0, model: str | None = None) -> None:
        """Add usage of this attempt, which events, history and totals show.

        Raises:
            ValueError: a number is negative.
        """
