"""Keeps a process running when its stdout or stderr is not read.

Writing fails when the reader is gone, and blocks for ever when the reader does not read. Neither may stop a
server. Output that is not read is dropped. The number of dropped bytes is written when reading resumes.
"""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from typing import Any

#: Seconds that a write waits for the reader.
PATIENCE = 0.5
#: Bytes that a pipe accepts at once if it accepts any, less room for the note about dropped bytes.
_PIECE = select.PIPE_BUF - 64
#: What the real standard streams write to. Replacements made by tests are left alone.
_REAL_FILES = (io.BufferedWriter, io.FileIO)


def never_block_on_output(*names: str) -> None:
    """Make writing to the named streams ("stdout", "stderr") neither fail nor block for long."""
    for name in names:
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and isinstance(stream.buffer, _REAL_FILES):
            stream.flush()
            setattr(sys, name, _text(NonblockingOutput(stream.fileno()), stream.encoding))


def open_standard_streams() -> None:
    """Open /dev/null for each closed standard stream. Else the next opened file would get its number."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
            setattr(sys, name, os.fdopen(opened, "w" if descriptor else "r", closefd=False))


def _text(raw: io.RawIOBase, encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", line_buffering=True)  # type: ignore[arg-type]


class NonblockingOutput(io.RawIOBase):
    """Writes to a file descriptor and drops what the reader does not take."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._dropped = 0
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._descriptor

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Tell whether this is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: Any, /) -> int:
        """Write what the reader takes within PATIENCE; always report that all was written."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PIECE):
            self._write_piece(bytes(view[start : start + _PIECE]))
        return len(view)

    def _write_piece(self, piece: bytes) -> None:
        # If the process was forked while another thread was writing, this lock is never released.
        is_locked = self._lock.acquire(timeout=PATIENCE)
        try:
            if is_locked and self._try_write(piece):
                self._dropped = 0
            else:
                self._dropped += len(piece)
        finally:
            if is_locked:
                self._lock.release()

    def _try_write(self, piece: bytes) -> bool:
        # After the first dropped piece, do not wait again.
        if not self._poll.poll(0 if self._dropped else PATIENCE * 1000):
            return False
        if self._dropped:
            piece = b"[%d unread bytes were dropped]\n" % self._dropped + piece
        try:
            while piece:
                piece = piece[os.write(self._descriptor, piece) :]
        except OSError:  # the reader or the terminal is gone, or the disk is full
            return False
        return True
