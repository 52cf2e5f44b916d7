"""The ``Context`` that a node's function may ask for by annotation."""

from __future__ import annotations

import logging
from typing import Protocol


class Context(Protocol):
    """What an attempt knows of its run. The engine supplies it; safe to read from a thread."""

    run_id: str
    node: str
    #: The iteration of a loop, from 1, and the item of a map, from 0; None elsewhere.
    iteration: int | None
    index: int | None
    #: From 1; counts retries and interruptions.
    attempt: int
    #: True once the attempt should stop: the run is stopping, or its time is over.
    cancelled: bool

    @property
    def idempotency_key(self) -> str:
        """A key for calls to other systems, the same over retries and crashes."""

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records name the run, the node and the attempt."""

    @property
    def trace_headers(self) -> dict[str, str]:
        """Headers for one outgoing call; each read is a new span under the node's span."""

    def report(self, *, tokens: int = 0, cost_micro_usd: int = 0, model: str | None = None) -> None:
        """Add to what this attempt has used; shown in events, history and sums.

        Raises:
            ValueError: a number is negative.
        """
