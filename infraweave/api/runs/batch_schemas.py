"""The shapes of starting many runs at once."""

from __future__ import annotations

from attrs import field, frozen

from infraweave.api.runs.schemas import ErrorInfo, StartedRun, StartRun, said
from infraweave.core.data.values import Json

#: Starts that one request may ask for (the contract's).
MOST_STARTS = 1_000


@frozen(kw_only=True)
class BatchItem(StartRun):
    """One of many starts, with a key of its own."""

    idempotency_key: str | None = said(
        "Printable ASCII; the same key with the same item gives the run that it made, here and for a single"
        " start with it as Idempotency-Key.",
        default=None,
        minLength=1,
        maxLength=255,
    )


@frozen(kw_only=True)
class StartBatch:
    """Many starts. Each is read, allowed, checked and refused by itself."""

    runs: tuple[Json, ...] = field(
        metadata={
            "doc": "The starts; one that does not fit is refused in its result and holds up no other.",
            "schema": {"maxItems": MOST_STARTS},
            "each": BatchItem,
        }
    )


@frozen(kw_only=True)
class BatchResult:
    """What became of one start: 201 or 200 and the run, or another status and the error."""

    status: int = said("What a single start would have been answered with.")
    run: StartedRun | None = said("The run, durable.", default=None, omit=True)
    error: ErrorInfo | None = said("Why it was refused.", default=None, omit=True)


@frozen(kw_only=True)
class BatchResults:
    """What became of each start, in order."""

    results: tuple[BatchResult, ...]
