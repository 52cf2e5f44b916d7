"""Retries: the policy of each entry, and how long to wait before the next attempt."""

from __future__ import annotations

import math
from typing import assert_never

from infraweave.core.data.values import format_duration
from infraweave.core.run.address import Address
from infraweave.core.workflow.document import (
    Activity,
    Http,
    HumanInput,
    Loop,
    Map,
    Retry,
    Router,
    Signal,
    Subworkflow,
    Timer,
)
from infraweave.core.workflow.graph import Graph

#: A node that was interrupted by this many crashes in a row fails.
MAX_INTERRUPTIONS = 10
#: The longest wait, in seconds, that a called service can ask for.
MAX_RETRY_AFTER = 3600.0


def policy_of(graph: Graph, address: Address) -> Retry:
    """Return the retry policy of an entry."""
    if address.phase == "compensation":
        undo = graph.compensation(address.node)
        return undo.retry if undo else Retry(max_attempts=1)
    node = graph.nodes[address.node]
    match node:
        case Activity() | Router() | Loop() | Map() | Subworkflow() | Http():
            return node.retry
        case HumanInput() | Signal() | Timer():
            return Retry(max_attempts=1)
        case _:
            assert_never(node)


def delay(policy: Retry, failures: int, chance: float, retry_after: float | None = None) -> float:
    """Return the seconds to wait after the ``failures``-th failure. ``chance``: a random number in [0, 1).

    ``retry_after``: the minimum wait that the called service asked for. It counts up to one hour, or up to
    ``policy.maximum`` if that is longer.
    """
    full = (
        min(policy.maximum, policy.initial * _power(policy.factor, failures - 1)) if policy.initial else 0.0
    )
    wait = full * (0.5 + chance / 2) if policy.jitter else full
    if retry_after is None:
        return wait
    return max(wait, min(retry_after, max(policy.maximum, MAX_RETRY_AFTER)))


def _power(factor: float, exponent: int) -> float:
    try:
        return float(factor) ** exponent
    except OverflowError:
        return math.inf


def retry_message(message: str, wait: float, next_attempt: int, max_attempts: int) -> str:
    """Return the message of a failure that is retried."""
    return f"{message} — retrying in {format_duration(wait)} (attempt {next_attempt} of {max_attempts})"
