"""Failpoints kill the process for tests: ``INFRAWEAVE_FAILPOINTS="commit.before@3 recovery"``.

The process dies when it reaches a failpoint for the n-th time (``@n``), by default the first. Without the
variable in the environment at the start of the process, failpoints do nothing.
"""

from __future__ import annotations

import os
import signal

#: All failpoints.
NAMES = (
    "commit.before",
    "commit.after",
    "batch.middle",
    "checkpoint",
    "recovery",
    "compensation",
    "shutdown",
    "migration",
    "copy",
    "removal",
)


def parse(text: str) -> dict[str, int]:
    """Return for each failpoint which visit kills the process, counted from 1.

    Raises:
        ValueError: a name or a count is not valid.
    """
    left = {}
    for word in text.split():
        name, _, count = word.partition("@")
        if name not in NAMES:
            raise ValueError(f"there is no failpoint {name}; there are {', '.join(NAMES)}")
        left[name] = int(count or 1)
    return left


_left = parse(os.environ.get("INFRAWEAVE_FAILPOINTS", ""))


def reach(name: str) -> None:
    """Kill the process if this failpoint says so."""
    if name in _left:
        _left[name] -= 1
        if _left[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
