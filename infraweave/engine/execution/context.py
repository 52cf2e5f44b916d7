"""The ``Context`` that a node body receives."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from functools import cached_property

from infraweave.core import trace_context
from infraweave.core.run import ids
from infraweave.core.run.address import Address
from infraweave.core.run.events import Origin
from infraweave.core.run.facts import NO_USAGE, AttemptUsage
from infraweave.engine.clock import span_id

#: The largest number that one attempt may report: larger ones are not exact in JavaScript.
MAX_USAGE = 2**53 - 1
#: The longest name of a model, in characters.
MAX_MODEL = 200


class RunContext:
    """One attempt's view of its run. It may be read from any thread."""

    def __init__(self, run_id: str, origin: Origin, address: Address, attempt: int) -> None:
        self.run_id, self.address, self.attempt = run_id, address, attempt
        self.node, self.iteration, self.index, _ = address
        self._origin = origin
        #: True once the attempt should stop: the run is stopping, or its time is over.
        self.cancelled = False
        self.usage = NO_USAGE

    @property
    def tenant(self) -> str:
        """The tenant of the run."""
        return self._origin.tenant

    @cached_property
    def idempotency_key(self) -> str:
        """A key for calls to other systems, the same in retries and after crashes."""
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
        joined = trace_context.TraceContext(
            trace_id=origin.trace_id,
            parent_span_id=ids.span_id(self.run_id, self.address, self.attempt),
            flags=origin.trace_flags,
            tracestate=origin.tracestate,
        )
        return trace_context.headers(joined, span_id())

    def report(self, *, tokens: int = 0, cost_micro_usd: int = 0, model: str | None = None) -> None:
        """Add to the usage of this attempt.

        Raises:
            ValueError: a number is negative or too large, or ``model`` is not a short printable text.
        """
        total, cost = self.usage.tokens + tokens, self.usage.cost_micro_usd + cost_micro_usd
        if not (tokens >= 0 and cost_micro_usd >= 0 and total <= MAX_USAGE and cost <= MAX_USAGE):
            raise ValueError("report() takes usage: numbers of 0 or more, in sum less than 2**53")
        if model is not None and not _is_name(model):
            raise ValueError(f"report() takes the name of a model: printable, at most {MAX_MODEL} characters")
        self.usage = AttemptUsage(
            tokens=int(total), cost_micro_usd=int(cost), model=model or self.usage.model
        )


def _is_name(model: object) -> bool:
    return isinstance(model, str) and len(model) <= MAX_MODEL and model.isprintable()


#: The context of the running body, also in the tasks and callbacks that it creates.
CURRENT_BODY: ContextVar[RunContext | None] = ContextVar("infraweave_body", default=None)
