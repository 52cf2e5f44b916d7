"""Which runs a concurrency limit counts together. Pure; ``engine/admission`` counts them.

A limit without a key counts all runs of its workflow. A limit with a key counts the runs whose key renders to
the same text: each text is a group with a limit of its own.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

from infraweave.core.data.template import faults, render
from infraweave.core.data.values import Json
from infraweave.core.workflow.document import INPUT, Concurrency
from infraweave.errors import Fault

#: Longer rendered keys are replaced by their digest, so that the name of a group stays short.
_LONGEST_VALUE = 200
_LONGEST_KEY = 500


def concurrency_key(limits: Sequence[Concurrency], value: Json) -> str | None:
    """Return the name of the group that a run with this input belongs to; None where no limit has a key.

    Raises:
        TemplateError: the key names something that the input does not have.
    """
    key = next((limit.key for limit in limits if limit.key is not None), None)
    if key is None:
        return None
    rendered = render(key, {INPUT: value})
    if len(rendered) > _LONGEST_VALUE:
        rendered = f"sha256:{hashlib.sha256(rendered.encode()).hexdigest()}"
    return f"{key} = {rendered}"


def limit_faults(limits: Sequence[Concurrency]) -> Iterator[Fault]:
    """Yield what is wrong with the limits of a workflow; paths lead into the list of them."""
    for place, limit in enumerate(limits):
        yield from (fault.within(f"/{place}", "concurrency: ") for fault in _limit_faults(limit))
    counts = Counter(limit.key is None for limit in limits)
    for is_whole, count in counts.items():
        if count > 1:
            kind = "without" if is_whole else "with"
            message = (
                f"concurrency: {count} limits are {kind} a key; expected one {kind} and one more at most"
            )
            yield Fault("", "duplicate", message)


def _limit_faults(limit: Concurrency) -> Iterator[Fault]:
    if limit.limit < 1:
        yield Fault("/limit", "range", f"limit is {limit.limit}; expected 1 or more")
    if limit.key is not None and len(limit.key) > _LONGEST_KEY:
        message = f"a key has {len(limit.key):,} characters; expected at most {_LONGEST_KEY}"
        yield Fault("/key", "length", message)
    elif limit.key is not None:
        yield from (fault.within("/key", "key: ") for fault in faults(limit.key, {INPUT}))
