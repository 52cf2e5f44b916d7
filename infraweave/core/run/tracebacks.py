"""What a traceback tells in a few words: where it happened. Pure; ``engine/tracebacks`` writes them."""

from __future__ import annotations

import re

_FRAME = re.compile(r'^[ |]*File "(.+?)", line (\d+), in (.+)$', re.MULTILINE)
#: How the files of libraries, and what has no file, are spelled in tracebacks.
_LIBRARY = re.compile(r"^(?:(?:site|dist)-packages|python3\.\d+)/|^<")


def innermost_place(traceback: str) -> str | None:
    """Return the innermost place that a traceback names, ``flows.py:12 in z``; None where it names none.

    A place in an author's file goes before those in libraries that it called.
    """
    frames = _FRAME.findall(traceback)
    own = [frame for frame in frames if not _LIBRARY.search(frame[0])]
    for file, line, name in reversed(own or frames):
        return f"{file}:{line} in {name}"
    return None
