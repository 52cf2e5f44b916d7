"""The program of a compute process: performs one call after the other until the server closes the pipe.

The kernel enforces its limits, because no other thread of the process runs while a library computes.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from infraweave.core.data import expressions
from infraweave.core.data.json_codec import dumps, loads
from infraweave.core.data.json_schema import LONG, validator
from infraweave.core.data.values import Json

#: Bytes of the length before each message.
LENGTH = 8
#: Bytes of memory that the process may use.
MAX_MEMORY = 2 * 2**30
#: The functions that may be called, by name.
WORKS: Mapping[str, Callable[..., Json]] = {
    "evaluate": expressions.evaluate,
    "faults": lambda schema, value: [
        [f.path, f.code, f.message] for f in validator(schema).faults(value, LONG)
    ],
}


def main() -> None:
    """Perform the calls that arrive, and end with the server."""
    # A terminal or a supervisor signals all processes of a server; the server ends this one.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, MAX_MEMORY)
    given, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that what a library prints is not taken for an answer
    while request := _read(given):
        work, seconds, *arguments = loads(request)
        _limit(resource.RLIMIT_CPU, _used() + seconds)
        answer = dumps(_outcome(WORKS[work], arguments))
        answers.write(len(answer).to_bytes(LENGTH, "big") + answer)
        answers.flush()


def _outcome(work: Callable[..., Json], arguments: list[Any]) -> tuple[str, Json]:
    try:
        return "done", work(*arguments)
    except ValueError as error:
        return "rejected", str(error)


def _read(file: BinaryIO) -> bytes:
    return file.read(int.from_bytes(file.read(LENGTH), "big"))


def _used() -> int:
    """Return the seconds of processor time that this process has used, rounded up."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return math.ceil(used.ru_utime + used.ru_stime)


def _limit(what: int, most: int) -> None:
    """Set a limit, as far as the system allows."""
    with suppress(ValueError, OSError):
        resource.setrlimit(what, (most, resource.getrlimit(what)[1]))
