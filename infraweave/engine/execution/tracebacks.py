"""Where an exception of an author's code happened, as Python writes it, and short.

Our own frames and asyncio's are left out: they are the same each time, and no author can change them. Files
are spelled from the working folder, or from the one that they are imported from: how the machine is laid out
is nobody's business.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

from infraweave.core.data.redact import redact

#: The longest traceback, and how much of its beginning stays where it is cut, in characters.
MOST, _HEAD = 4_000, 1_200
#: The longest text of one exception, and the longest line: the whole message stands beside the traceback.
_TEXT = 500
#: How many exceptions that one came of, or that it holds, are told; and how many of one group.
_DEPTH, _MEMBERS = 4, 3
#: How many frames of a stack are told.
_STACK = 12
_OURS = re.compile(r"(?:infraweave|asyncio|concurrent\.futures)(?:\.|$)")
_INSTALLED = re.compile(r".*/((?:site|dist)-packages/.*)")
_STDLIB = f"{Path(os.__file__).parent.as_posix()}/"
#: What the loader puts before the name of an author's file, so that no other module has it.
_LOADED = re.compile(r"\binfraweave_file_[0-9a-f]{12}_")
_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"


def traceback_of(error: BaseException) -> str | None:
    """Return the traceback of an exception, innermost last; None where no frame is but ours.

    At most ``MOST`` characters: of a longer one, lines in the middle are left out. Secrets are redacted.

    Raises:
        Exception: whatever an author's class raises where it is asked what it says.
    """
    if not any(_theirs(one) for one in _family(error, _DEPTH)):
        return None
    lines = [_short(line) for block in _told(error, _DEPTH) for line in block.split("\n")]
    return _cut(lines).encode(errors="replace").decode()  # names of files may hold lone surrogates


def stack_of(frame: FrameType | None) -> str:
    """Return where a thread is, in one line, innermost first: ``flow.py:8 in work < flow.py:3 in helper``."""
    walked = list(traceback.walk_stack(frame))
    theirs = [(one, line) for one, line in walked if not _OURS.match(str(one.f_globals.get("__name__")))]
    told = [
        f"{_spelled(one.f_code.co_filename)}:{line} in {one.f_code.co_name}"
        for one, line in (theirs or walked)[:_STACK]
    ]
    return redact(" < ".join(told)) or "nowhere"


def _family(error: BaseException, depth: int) -> Iterator[BaseException]:
    """Yield an exception, those that it came of, and those that it holds."""
    yield error
    if depth:
        before = _before(error)
        for one in (*([] if before is None else [before]), *_members(error)):
            yield from _family(one, depth - 1)


def _told(error: BaseException, depth: int) -> Iterator[str]:
    before = _before(error) if depth else None
    if before is not None:
        yield from _told(before, depth - 1)
        yield f"\n{_CAUSE if error.__cause__ is before else _CONTEXT}\n"
    frames = _frames(error)
    if frames:
        yield "Traceback (most recent call last):"
        yield from (redact(frame.rstrip("\n")) for frame in frames)
    yield _text(error)
    for one in _members(error) if depth else ():
        yield from ("  | " + block.replace("\n", "\n  | ") for block in _told(one, depth - 1))


def _before(error: BaseException) -> BaseException | None:
    """Return the exception that one came of."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before in _members(error):
        return None  # it is told below
    # A process pool gives what it carried over the text of its own frames as a cause.
    return None if _OURS.match(type(before).__module__) and type(before).__name__[0] == "_" else before


def _members(error: BaseException) -> tuple[BaseException, ...]:
    return error.exceptions[:_MEMBERS] if isinstance(error, BaseExceptionGroup) else ()


def _theirs(error: BaseException) -> list[tuple[FrameType, int]]:
    """Return the frames of an exception that are not ours, each with its line, outermost first."""
    walked = traceback.walk_tb(error.__traceback__)
    return [(frame, line) for frame, line in walked if not _OURS.match(str(frame.f_globals.get("__name__")))]


def _frames(error: BaseException) -> list[str]:
    """Return those frames as Python writes them, each with its source line."""
    found = traceback.StackSummary.extract(_theirs(error), lookup_lines=False)
    # Without columns, which would add a line of marks to each.
    spelled = (
        traceback.FrameSummary(_spelled(f.filename), f.lineno, f.name, lookup_line=False, line=f.line or "")
        for f in found
    )
    return traceback.StackSummary.from_list(spelled).format()


def _spelled(file: str) -> str:
    path = _LOADED.sub("", file.replace("\\", "/"))
    installed = _INSTALLED.match(path)
    if installed is not None:
        return installed[1]
    if path.startswith(_STDLIB):
        return f"python3.{sys.version_info.minor}/{path.removeprefix(_STDLIB)}"
    folders = (folder for folder in _folders() if path.startswith(folder))
    return path.removeprefix(next(folders, ""))


def _folders() -> Iterator[str]:
    """Yield the folders from which files are spelled: the working one, then those of imports."""
    with suppress(FileNotFoundError):  # somebody may have removed it
        yield f"{Path.cwd().as_posix()}/"
    for folder in sorted(filter(None, sys.path), key=len, reverse=True):  # the loader adds those of its files
        yield folder.replace("\\", "/").rstrip("/") + "/"


def _text(error: BaseException) -> str:
    text = "".join(traceback.format_exception_only(error)).rstrip("\n")
    text = redact(_LOADED.sub("", text))
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"


def _short(line: str) -> str:
    return line if len(line) <= _TEXT else line[: _TEXT - 1] + "…"


def _cut(lines: list[str]) -> str:
    """Return lines as one text; in the middle of a long one, only how many were left out."""
    text = "\n".join(lines)
    if len(text) <= MOST:
        return text
    first, last = _fitting(lines, _HEAD), _fitting(reversed(lines), MOST - _HEAD - 50)
    between = f"  [{len(lines) - first - last} lines left out]"
    return "\n".join([*lines[:first], between, *lines[len(lines) - last :]])


def _fitting(lines: Iterable[str], room: int) -> int:
    """Return how many lines, from the first on, have room."""
    count = 0
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        count += 1
    return count
