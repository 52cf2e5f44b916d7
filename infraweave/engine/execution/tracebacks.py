"""Short tracebacks of exceptions in author code, in Python's format.

Frames of InfraWeave and asyncio are left out: they are always the same. Paths are relative to the working
folder or to the folder that a file is imported from, so that they do not reveal how the machine is laid out.
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

#: The longest traceback, and how much of its beginning remains when it is cut, in characters.
MOST, _HEAD = 4_000, 1_200
#: The longest text of one exception, and the longest line; the message holds the whole text.
_TEXT = 500
#: How many levels of causes and groups are shown, and how many members of a group.
_DEPTH, _MEMBERS = 4, 3
#: How many frames of a stack are shown.
_STACK = 12
_OURS = re.compile(r"(?:infraweave|asyncio|concurrent\.futures)(?:\.|$)")
_INSTALLED = re.compile(r".*/((?:site|dist)-packages/.*)")
_STDLIB = f"{Path(os.__file__).parent.as_posix()}/"
#: The prefix that the loader gives the module of an author's file, to make its name unique.
_LOADED = re.compile(r"\binfraweave_file_[0-9a-f]{12}_")
_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"


def traceback_of(error: BaseException) -> str | None:
    """Return the traceback of an exception, innermost frame last; None if no frame is in author code.

    Lines in the middle are left out beyond ``MOST`` characters. Secrets are redacted.

    Raises:
        Exception: whatever an author's class raises when it is asked for its text.
    """
    if not any(_author_frames(one) for one in _related(error, _DEPTH)):
        return None
    lines = [_short(line) for block in _blocks(error, _DEPTH) for line in block.split("\n")]
    return _cut(lines).encode(errors="replace").decode()  # file names may contain lone surrogates


def stack_of(frame: FrameType | None) -> str:
    """Return the stack of a thread in one line, innermost first: ``flow.py:8 in work < flow.py:3 in run``."""
    walked = list(traceback.walk_stack(frame))
    in_author_code = [
        (one, line) for one, line in walked if not _OURS.match(str(one.f_globals.get("__name__")))
    ]
    lines = [
        f"{_path(one.f_code.co_filename)}:{line} in {one.f_code.co_name}"
        for one, line in (in_author_code or walked)[:_STACK]
    ]
    return redact(" < ".join(lines)) or "nowhere"


def _related(error: BaseException, depth: int) -> Iterator[BaseException]:
    """Yield an exception, its causes, and its members."""
    yield error
    if depth:
        cause = _cause(error)
        for one in (*([] if cause is None else [cause]), *_members(error)):
            yield from _related(one, depth - 1)


def _blocks(error: BaseException, depth: int) -> Iterator[str]:
    cause = _cause(error) if depth else None
    if cause is not None:
        yield from _blocks(cause, depth - 1)
        yield f"\n{_CAUSE if error.__cause__ is cause else _CONTEXT}\n"
    frames = _frames(error)
    if frames:
        yield "Traceback (most recent call last):"
        yield from (redact(frame.rstrip("\n")) for frame in frames)
    yield _text(error)
    for one in _members(error) if depth else ():
        yield from ("  | " + block.replace("\n", "\n  | ") for block in _blocks(one, depth - 1))


def _cause(error: BaseException) -> BaseException | None:
    """Return the cause or the context of an exception."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause in _members(error):
        return None  # it is shown below
    # A process pool adds the text of its own frames as a cause.
    return None if _OURS.match(type(cause).__module__) and type(cause).__name__[0] == "_" else cause


def _members(error: BaseException) -> tuple[BaseException, ...]:
    return error.exceptions[:_MEMBERS] if isinstance(error, BaseExceptionGroup) else ()


def _author_frames(error: BaseException) -> list[tuple[FrameType, int]]:
    """Return the frames of an exception in author code, each with its line, outermost first."""
    walked = traceback.walk_tb(error.__traceback__)
    return [(frame, line) for frame, line in walked if not _OURS.match(str(frame.f_globals.get("__name__")))]


def _frames(error: BaseException) -> list[str]:
    """Return those frames in Python's format, each with its source line."""
    found = traceback.StackSummary.extract(_author_frames(error), lookup_lines=False)
    # Without columns, which would add a line of markers to each.
    shown = (
        traceback.FrameSummary(_path(f.filename), f.lineno, f.name, lookup_line=False, line=f.line or "")
        for f in found
    )
    return traceback.StackSummary.from_list(shown).format()


def _path(file: str) -> str:
    path = _LOADED.sub("", file.replace("\\", "/"))
    installed = _INSTALLED.match(path)
    if installed is not None:
        return installed[1]
    if path.startswith(_STDLIB):
        return f"python3.{sys.version_info.minor}/{path.removeprefix(_STDLIB)}"
    folders = (folder for folder in _folders() if path.startswith(folder))
    return path.removeprefix(next(folders, ""))


def _folders() -> Iterator[str]:
    """Yield the folders that paths are relative to: the working folder, then those of imports."""
    with suppress(FileNotFoundError):  # it may have been removed
        yield f"{Path.cwd().as_posix()}/"
    for folder in sorted(
        filter(None, sys.path), key=len, reverse=True
    ):  # the loader adds the folders of its files
        yield folder.replace("\\", "/").rstrip("/") + "/"


def _text(error: BaseException) -> str:
    text = "".join(traceback.format_exception_only(error)).rstrip("\n")
    text = redact(_LOADED.sub("", text))
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"


def _short(line: str) -> str:
    return line if len(line) <= _TEXT else line[: _TEXT - 1] + "…"


def _cut(lines: list[str]) -> str:
    """Join lines; in a long text, replace the middle with the number of omitted lines."""
    text = "\n".join(lines)
    if len(text) <= MOST:
        return text
    first, last = _count_fitting(lines, _HEAD), _count_fitting(reversed(lines), MOST - _HEAD - 50)
    between = f"  [{len(lines) - first - last} lines left out]"
    return "\n".join([*lines[:first], between, *lines[len(lines) - last :]])


def _count_fitting(lines: Iterable[str], room: int) -> int:
    """Return how many of the first lines fit into ``room`` characters."""
    count = 0
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        count += 1
    return count
