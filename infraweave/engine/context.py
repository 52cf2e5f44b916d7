"""What a node body is given as its ``Context``."""

from __future__ import annotations

import logging
from functools import cached_property

from infraweave.core import ids, trace
from infraweave.core.address import Address
from infraweave.core.events import Origin
from infraweave.core.facts import NO_USAGE, Usage
from infraweave.engine import clock


class RunContext:
    """One attempt's view of its run. Safe to read from a thread."""

    def __init__(self, run_id: str, origin: Origin, address: Address, attempt: int) -> None:
        self.run_id, self.address, self.attempt = run_id, address, attempt
        self.node, self.iteration, self.index, _ = address
        self._origin = origin
        #: True once the attempt should stop: the run is stopping, or its time is over.
        self.cancelled = False
        self.usage = NO_USAGE

    @cached_property
    def idempotency_key(self) -> str:
        """A key for calls to other systems, the same over retries and crashes."""
        return ids.idempotency_key(self.run_id, self.address)

    @cached_property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records name the run, the node and the attempt."""
        extra = {"run_id": self.run_id, "node": str(self.address), "attempt": self.attempt}
        return logging.LoggerAdapter(logging.getLogger("infraweave.node"), extra)

    @property
    def trace_headers(self) -> dict[str, str]:
        """Headers for one outgoing call; each read is a new span under the node's span."""
        origin = self._origin
        joined = trace.TraceContext(
            trace_id=origin.trace_id,
            parent_span_id=ids.span_id(self.run_id, self.address, self.attempt),
            flags=origin.trace_flags,
            tracestate=origin.tracestate,
        )
        return trace.headers(joined, clock.span_id())

    def report(self, *, tokens: int = 0, cost_micro_usd: int = 0, model: str | None = None) -> None:
        """Add to what this attempt has used.

        Raises:
            ValueError: a number is negative.
        """
        if tokens < 0 or cost_micro_usd < 0:
            raise ValueError("report() takes what was used: numbers of 0 or more")
        self.usage = Usage(
            tokens=self.usage.tokens + int(tokens),
            cost_micro_usd=self.usage.cost_micro_usd + int(cost_micro_usd),
            model=model or self.usage.model,
        )
