"""Lanes: which runs a limit counts together. Pure; who is in a lane is ``engine/gate``'s business.

A limit without a key counts all runs of its workflow. A limit with a key counts those whose key is filled
with the same values, which is a lane of its own for each.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

from infraweave.core.data.template import faults, render
from infraweave.core.data.values import Json
from infraweave.core.workflow.document import INPUT, Concurrency

#: A key's value beyond this is named by its digest, so that a lane's name stays short.
_LONGEST_VALUE = 200
_LONGEST_KEY = 500


def concurrency_key(limits: Sequence[Concurrency], value: Json) -> str | None:
    """Return the name of the lane that a run with this input is in; None where no limit has a key.

    Raises:
        TemplateError: the key names something that the input does not have.
    """
    key = next((limit.key for limit in limits if limit.key is not None), None)
    if key is None:
        return None
    filled = render(key, {INPUT: value})
    if len(filled) > _LONGEST_VALUE:
        filled = f"sha256:{hashlib.sha256(filled.encode()).hexdigest()}"
    return f"{key} = {filled}"


def limit_faults(limits: Sequence[Concurrency]) -> Iterator[str]:
    """Yield what is wrong with the limits of a workflow."""
    for limit in limits:
        if limit.limit < 1:
            yield f"concurrency: limit is {limit.limit}; expected 1 or more"
        if limit.key is not None and len(limit.key) > _LONGEST_KEY:
            yield f"concurrency: a key has {len(limit.key):,} characters; expected at most {_LONGEST_KEY}"
        elif limit.key is not None:
            yield from (f"concurrency: key: {fault}" for fault in faults(limit.key, {INPUT}))
    counts = Counter(limit.key is None for limit in limits)
    for is_whole, count in counts.items():
        if count > 1:
            kind = "without" if is_whole else "with"
            yield f"concurrency: {count} limits are {kind} a key; expected one {kind} and one more at most"
