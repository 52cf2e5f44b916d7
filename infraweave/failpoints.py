"""Failpoints, at which a test kills the process: ``INFRAWEAVE_FAILPOINTS="commit.before@3 recovery"``.

The process dies when it reaches a failpoint for the given time, by default the first. Unless the variable was
set when the process started, nothing happens.
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
    """Return at which time of reaching it each failpoint kills the process.

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
