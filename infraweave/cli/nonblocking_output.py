"""Lets what is told go on whether somebody reads it or not.

A reader that has gone makes each write fail, and one that does not read lets it wait for ever: of a log line,
a remark on shutting down, or what a body prints. Neither may stop a server. What nobody takes is dropped, and
how much it was is told once somebody reads again.
"""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from typing import Any

#: Seconds that a reader gets to take something.
PATIENCE = 0.5
#: What a pipe takes at once, if it takes anything, with what is told of bytes that were dropped.
_PIECE = select.PIPE_BUF - 64
#: What the streams of a process write to, buffered or not; not what a test puts in their place.
_OF_DESCRIPTORS = (io.BufferedWriter, io.FileIO)


def never_block_on_output(*names: str) -> None:
    """Let writing on ``sys.stdout`` or ``sys.stderr``, by name, neither fail nor wait for long."""
    for name in names:
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and isinstance(stream.buffer, _OF_DESCRIPTORS):
            stream.flush()
            setattr(sys, name, _text(NonblockingOutput(stream.fileno()), stream.encoding))


def open_standard_streams() -> None:
    """Open nothing where stdin, stdout or stderr is closed: else the next file would take its number."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            setattr(sys, name, os.fdopen(opened, "w" if descriptor else "r", closefd=False))


def _text(raw: io.RawIOBase, encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", line_buffering=True)  # type: ignore[arg-type]


class NonblockingOutput(io.RawIOBase):
    """A descriptor to write to, by which what nobody takes is dropped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._dropped = 0
        self._turn = threading.Lock()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: Any, /) -> int:
        """Write what is taken within a moment, and say that all was."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PIECE):
            self._put(bytes(view[start : start + _PIECE]))
        return len(view)

    def _put(self, piece: bytes) -> None:
        # Whoever forks while another thread writes has a lock that nobody gives back.
        has_turn = self._turn.acquire(timeout=PATIENCE)
        try:
            if has_turn and self._is_taken(piece):
                self._dropped = 0
            else:
                self._dropped += len(piece)
        finally:
            if has_turn:
                self._turn.release()

    def _is_taken(self, piece: bytes) -> bool:
        # Whoever has dropped something already does not wait again.
        if not self._poll.poll(0 if self._dropped else PATIENCE * 1000):
            return False
        if self._dropped:
            piece = b"[%d bytes that nobody read were dropped]\n" % self._dropped + piece
        try:
            while piece:
                piece = piece[os.write(self._descriptor, piece) :]
        except OSError:  # the reader, or the terminal, has gone; or the disk is full
            return False
        return True
