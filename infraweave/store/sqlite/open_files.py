"""The files that SQLite has open, and whether they are still the ones that have their names.

SQLite writes on into a file that was moved, removed or replaced, and says that all is well; and a log that
was cut short is written at its old end. So before a commit is acknowledged, and before the next one begins,
this looks at the names and sizes: three ``stat`` and one ``pread``, some ten microseconds.

It also keeps others from removing the log. A process that closes a database last removes its log, and knows
by the POSIX locks of others that it is not the last. But ours are gone as soon as anything in this process,
such as a node that copies a folder, has opened and closed the file. The same locks held by descriptors
(``ofd``) stay.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

from infraweave.store.sqlite import ofd_locks
from infraweave.store.sqlite.lock import closing_descriptor, lock_path

#: What SQLite locks, shared, for as long as it has a file open: in the database, and in the ``-shm`` file.
_SHARED_BYTES = (0x40000000 + 2, 510)
_OPEN_BYTE = (128, 1)
#: The head of the ``-shm`` file (sqlite.org/walformat.html), twice: page size, frames in the log, pages.
_HEAD = struct.Struct("=14xHII24x")
#: Bytes of the log: before its first frame, and of a frame beside its page.
_LOG_HEAD, _FRAME_HEAD = 32, 24

_NEXT = "Stop whatever does that; then stop this server, and start it again."
_SAVED = "Nothing that was acknowledged is lost: it was brought over from the log."


Found: TypeAlias = "dict[Path, os.stat_result | None]"


class FileLost(Exception):
    """The files are no longer the ones that we write: what was written last may be in none with a name."""

    def __init__(self, what: str, then: str = _NEXT, *, may_merge: bool) -> None:
        super().__init__(what)
        self.what, self.then = what, then
        #: Whether the log is whole and ours, so that SQLite may bring it over into the database.
        self.may_merge = may_merge

    def __str__(self) -> str:
        return f"{self.what} {self.then}"

    def saved(self) -> None:
        """Say that the log was brought over."""
        self.then = f"{_SAVED} {self.then}"


class OpenFiles:
    """The files of one open database; ``descriptor`` is one of the database file itself."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._log, self._index = path, _beside(path, "-wal"), _beside(path, "-shm")
        self._names = (path, self._log, self._index, *(() if ofd_locks.KNOWN else (lock_path(path),)))
        self._descriptor, self._index_descriptor = descriptor, -1
        self._opened = ExitStack()
        self._identities: dict[Path, tuple[int, int]] = {}
        self._size = self._pages = 0
        #: The first thing that was found wrong.
        self.lost: FileLost | None = None

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Know the files by what they are now, and keep others from removing them, for the length of a block.

        Every connection must have read once before it begins, for only then has it opened the log.

        Raises:
            OSError: they cannot be looked at.
        """
        self._index_descriptor = self._opened.enter_context(
            closing_descriptor(os.open(self._index, os.O_RDWR))
        )
        try:
            self._identities = {name: _identity(name.lstat()) for name in self._names}
            self._size = self._path.lstat().st_size
            page, _, pages = self._head()
            self._pages = pages or self._size // (page or 1)  # an empty log counts none
            self._guard()
            yield
        finally:
            if self.lost is None or self.lost.may_merge:
                self._let_go()  # or the last to close, which is us, would leave the log behind

    def close(self) -> None:
        """Close what was opened here. SQLite must have closed its own before: it would lose its locks."""
        self._opened.close()

    def _guard(self) -> None:
        ofd_locks.lock(self._descriptor, *_SHARED_BYTES, shared=True)
        ofd_locks.lock(self._index_descriptor, *_OPEN_BYTE, shared=True)

    def _let_go(self) -> None:
        ofd_locks.unlock(self._descriptor, *_SHARED_BYTES)
        ofd_locks.unlock(self._index_descriptor, *_OPEN_BYTE)

    @property
    def has_name(self) -> bool:
        """True while the database that is open has a name, though perhaps another one."""
        return os.fstat(self._descriptor).st_nlink > 0

    def check(self) -> None:
        """Look at the files.

        Raises:
            FileLost: they are not the ones that are open, or hold less than was written.
        """
        try:
            head, found = self._head(), {name: _stat(name) for name in self._names}
            self._check_names(found)
            self._check_sizes(head, found)
        except FileLost as lost:
            self.lost = self.lost or lost
            raise

    def _check_names(self, found: Found) -> None:
        may_merge = found[self._log] is None or self._is_ours(self._log, found)
        for name, status in found.items():
            if status is None:
                raise FileLost(f"{name} was removed or moved while it was in use.", may_merge=may_merge)
            if not self._is_ours(name, found):
                aside = self._set_aside(found) if name == self._path else ""
                what = f"{name} was replaced by another file while it was in use.{aside}"
                raise FileLost(what, may_merge=may_merge)
        if (names := _links(found[self._path])) > 1:
            what = f"{self._path} has {names} names now (hard links); by another one it has another log."
            raise FileLost(what, f"Remove the other names. {_NEXT}", may_merge=True)

    def _is_ours(self, name: Path, found: Found) -> bool:
        status = found[name]
        return status is not None and _identity(status) == self._identities[name]

    def _set_aside(self, found: Found) -> str:
        """Keep our log from being taken for that of the file that has our name now; say what became of it."""
        aside = _beside(self._log, ".replaced")
        if not self._is_ours(self._log, found):
            return ""
        try:
            self._log.rename(aside)
            if self._is_ours(self._index, found):
                self._index.unlink()
        except OSError as error:
            return f" Remove {self._log} and {self._index}: they belong to the old one ({error})."
        return f" The log of the old one is {aside.name} now."

    def _check_sizes(self, head: tuple[int, int, int], found: Found) -> None:
        page, frames, pages = head
        if not page:
            return  # somebody else is just writing it; the next look sees what came of that
        pages = pages or self._pages
        size, logged = (status.st_size if (status := found[name]) else 0 for name in (self._path, self._log))
        # The file grows and shrinks only as the log is brought over, and then to as many pages as there are.
        is_cut = size < min(self._size, self._pages * page, pages * page)
        log_is_cut = frames > 0 and logged < _LOG_HEAD + frames * (_FRAME_HEAD + page)
        if (is_cut or log_is_cut) and self._head() == head:  # else somebody has just brought the log over
            raise _cut(self._path if is_cut else self._log)
        self._size, self._pages = size, pages

    def _head(self) -> tuple[int, int, int]:
        """Return page size, frames in the log, and pages; page size 0 while the head is being written."""
        head = os.pread(self._index_descriptor, 2 * _HEAD.size, 0)
        if len(head) < 2 * _HEAD.size or head[: _HEAD.size] != head[_HEAD.size :]:
            return 0, 0, 0
        page, frames, pages = _HEAD.unpack_from(head)
        return (65536 if page == 1 else page), frames, pages


def _cut(path: Path) -> FileLost:
    what = f"{path} was cut short while it was in use."
    return FileLost(
        what, f"Keep a copy of the files as they are, and restore a backup. {_NEXT}", may_merge=False
    )


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()  # a link that is there now leads to a file with another log
    except FileNotFoundError:
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _links(status: os.stat_result | None) -> int:
    return 0 if status is None else status.st_nlink
