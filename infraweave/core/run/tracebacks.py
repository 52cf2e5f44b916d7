"""Find the place of an error in a traceback that ``engine/execution/tracebacks`` wrote."""

from __future__ import annotations

import re

_FRAME = re.compile(r'^[ |]*File "(.+?)", line (\d+), in (.+)$', re.MULTILINE)
#: Matches the files of libraries, and code without a file.
_LIBRARY = re.compile(r"^(?:(?:site|dist)-packages|python3\.\d+)/|^<")


def innermost_place(traceback: str) -> str | None:
    """Return the innermost place in a traceback, such as ``flows.py:12 in z``; None if there is none.

    Places in the author's own files take precedence over places in libraries.
    """
    frames = _FRAME.findall(traceback)
    own = [frame for frame in frames if not _LIBRARY.search(frame[0])]
    for file, line, name in reversed(own or frames):
        return f"{file}:{line} in {name}"
    return None
