"""Places at which a test lets the process die: ``INFRAWEAVE_FAILPOINTS="commit.before@3 recovery"``.

A name alone means the first time that the place is reached. Unless the variable was set when the process
began, nothing happens and nothing is counted.
"""

from __future__ import annotations

import os
import signal

#: Every place there is.
NAMES = (
    "commit.before",
    "commit.after",
    "batch.middle",
    "checkpoint",
    "recovery",
    "compensation",
    "shutdown",
)


def parse(text: str) -> dict[str, int]:
    """Return how often each place may still be reached.

    Raises:
        ValueError: there is no such place, or no such count.
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
    """Die here, if it is time to."""
    if name in _left:
        _left[name] -= 1
        if _left[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
