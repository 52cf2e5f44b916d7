"""The files that SQLite has open, and whether they still have their names.

SQLite goes on writing to a file that was moved, removed or replaced, and reports no error. It also writes to
the old end of a log that was cut short. So this module checks names and sizes before each batch and after
each commit, before the commit is acknowledged. Both checks are needed: after a write to its old end, a log
that was cut short has its full size again. A check is three ``stat`` and one ``pread``, some ten
microseconds.

It also prevents other processes from removing the log. The last process that closes a database removes its
log, and it finds out from POSIX locks whether it is the last. Our POSIX locks vanish as soon as any code in
this process, such as a node that copies a folder, opens and closes the file. Locks of open file descriptions
(``ofd_locks``) stay.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

from infraweave.store.sqlite import ofd_locks
from infraweave.store.sqlite.lock import closing_descriptor, lock_path

#: The ranges that SQLite locks, shared, while a file is open: in the database, and in the ``-shm`` file.
_SHARED_BYTES = (0x40000000 + 2, 510)
_OPEN_BYTE = (128, 1)
#: The header of the ``-shm`` file (sqlite.org/walformat.html), stored twice: page size, frames in the log,
#: pages.
_HEADER = struct.Struct("=14xHII24x")
#: Bytes in the log before its first frame, and bytes of a frame besides its page.
_LOG_HEADER, _FRAME_HEADER = 32, 24
#: Places of the files in what a check finds; where this machine has no OFD locks, the lock file follows.
_DATABASE, _LOG, _INDEX = 0, 1, 2

_NEXT = "Stop whatever does that; then stop this server, and start it again."
_SAVED = "Nothing that was acknowledged is lost: it was copied from the log into the database."

#: The status of each file, None where there is no file of that name.
Found: TypeAlias = Sequence[os.stat_result | None]


class FileLost(Exception):
    """The names no longer lead to the open files: the last writes may be in a file without a name."""

    def __init__(self, what: str, then: str = _NEXT, *, may_merge: bool) -> None:
        super().__init__(what)
        self.what, self.then = what, then
        #: Whether the log is whole and ours, so that SQLite may copy it into the database.
        self.may_merge = may_merge

    def __str__(self) -> str:
        return f"{self.what} {self.then}"

    def mark_saved(self) -> None:
        """Add to the message that the log was copied into the database."""
        self.then = f"{_SAVED} {self.then}"


class OpenFiles:
    """The files of one open database; ``descriptor`` is one of the database file itself."""

    def __init__(self, path: Path, descriptor: int) -> None:
        files = (path, _beside(path, "-wal"), _beside(path, "-shm"))
        self._paths = files if ofd_locks.SUPPORTED else (*files, lock_path(path))
        self._names = tuple(map(str, self._paths))  # twice as fast to look up as paths
        self._descriptor, self._index_descriptor = descriptor, -1
        self._opened = ExitStack()
        self._identities: list[tuple[int, int] | None] = []
        self._size = self._pages = 0
        #: The first fault that a check found.
        self.lost: FileLost | None = None

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Remember the files as they are now, and prevent others from removing them, within the block.

        Every connection must have read once before the block: only then has it opened the log.

        Raises:
            OSError: the files cannot be read.
        """
        index = os.open(self._names[_INDEX], os.O_RDWR)
        self._index_descriptor = self._opened.enter_context(closing_descriptor(index))
        try:
            found = [os.lstat(name) for name in self._names]
            self._identities = [_identity(status) for status in found]
            self._size = found[_DATABASE].st_size
            page, _, pages = self._header()
            self._pages = pages or self._size // (page or 1)  # the header of an empty log has 0 pages
            self._lock()
            yield
        finally:
            if self.lost is None or self.lost.may_merge:
                self._unlock()  # or SQLite, the last to close the database, would leave the log behind

    def close(self) -> None:
        """Close the descriptors. SQLite must have closed its own before, or it would lose its locks."""
        self._opened.close()

    def _lock(self) -> None:
        ofd_locks.lock(self._descriptor, *_SHARED_BYTES, shared=True)
        ofd_locks.lock(self._index_descriptor, *_OPEN_BYTE, shared=True)

    def _unlock(self) -> None:
        ofd_locks.unlock(self._descriptor, *_SHARED_BYTES)
        ofd_locks.unlock(self._index_descriptor, *_OPEN_BYTE)

    @property
    def has_name(self) -> bool:
        """True while the open database file has any name."""
        return os.fstat(self._descriptor).st_nlink > 0

    def check(self) -> None:
        """Check the names and the sizes of the files.

        Raises:
            FileLost: the names lead to other files than the open ones, or a file lost some of its content.
        """
        try:
            header, found = self._header(), [_stat(name) for name in self._names]
            if _links(found) != 1 or [_identity(status) for status in found] != self._identities:
                self._check_names(found)
            self._check_sizes(header, found)
        except FileLost as lost:
            self.lost = self.lost or lost
            raise

    def _check_names(self, found: Found) -> None:
        may_merge = found[_LOG] is None or self._is_ours(_LOG, found)
        for place, (path, status) in enumerate(zip(self._paths, found, strict=True)):
            if status is None:
                raise FileLost(f"{path} was removed or moved while it was in use.", may_merge=may_merge)
            if not self._is_ours(place, found):
                aside = self._set_aside(found) if place == _DATABASE else ""
                what = f"{path} was replaced by another file while it was in use.{aside}"
                raise FileLost(what, may_merge=may_merge)
        if (names := _links(found)) > 1:
            what = f"{self._paths[_DATABASE]} has {names} names now (hard links); each name has its own log."
            raise FileLost(what, f"Remove the other names. {_NEXT}", may_merge=True)

    def _is_ours(self, place: int, found: Found) -> bool:
        return _identity(found[place]) == self._identities[place]

    def _set_aside(self, found: Found) -> str:
        """Rename our log, so that the new file of our name does not use it; return a sentence about it."""
        log, index = self._paths[_LOG], self._paths[_INDEX]
        aside = _beside(log, ".replaced")
        if not self._is_ours(_LOG, found):
            return ""
        try:
            log.rename(aside)
            if self._is_ours(_INDEX, found):
                index.unlink()
        except OSError as error:
            return f" Remove {log} and {index}: they belong to the old file ({error})."
        return f" The log of the old file was renamed to {aside.name}."

    def _check_sizes(self, header: tuple[int, int, int], found: Found) -> None:
        page, frames, pages = header
        if not page:
            return  # another process is just writing the header; the next check sees the result
        pages = pages or self._pages
        size, logged = _size(found[_DATABASE]), _size(found[_LOG])
        # The file changes its size only when the log is copied into it, and then has as many pages as there
        # are.
        is_cut = size < min(self._size, self._pages * page, pages * page)
        log_is_cut = frames > 0 and logged < _LOG_HEADER + frames * (_FRAME_HEADER + page)
        if (is_cut or log_is_cut) and self._header() == header:  # else the log was copied just now
            raise _cut(self._paths[_DATABASE if is_cut else _LOG])
        self._size, self._pages = size, pages

    def _header(self) -> tuple[int, int, int]:
        """Return page size, frames in the log, and pages; page size 0 while the header is being written."""
        header = os.pread(self._index_descriptor, 2 * _HEADER.size, 0)
        if len(header) < 2 * _HEADER.size or header[: _HEADER.size] != header[_HEADER.size :]:
            return 0, 0, 0
        page, frames, pages = _HEADER.unpack_from(header)
        return (65536 if page == 1 else page), frames, pages


def _cut(path: Path) -> FileLost:
    what = f"{path} was cut short while it was in use."
    return FileLost(
        what, f"Keep a copy of the files as they are, and restore a backup. {_NEXT}", may_merge=False
    )


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _stat(name: str) -> os.stat_result | None:
    try:
        return os.lstat(name)  # a symbolic link in place of the file leads to a file with another log
    except FileNotFoundError:
        return None


def _identity(status: os.stat_result | None) -> tuple[int, int] | None:
    return None if status is None else (status.st_dev, status.st_ino)


def _links(found: Found) -> int:
    database = found[_DATABASE]
    return 0 if database is None else database.st_nlink


def _size(status: os.stat_result | None) -> int:
    return 0 if status is None else status.st_size
