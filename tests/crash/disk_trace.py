"""What a traced server did to its database files, and what it said to callers, in the order in which it did.

Reads what strace wrote (``-f -y -xx``). A write counts from the moment it was begun, a sync once it has
returned, and an answer as soon as its first byte was handed to the kernel: the strictest reading of each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from attrs import field, frozen

CALLS = "openat,pwrite64,write,ftruncate,fdatasync,fsync,rename,renameat,unlink,unlinkat,sendto,sendmsg"


@frozen
class Write:
    file: str
    offset: int
    data: bytes = field(repr=lambda data: f"{len(data)} bytes")


@frozen
class Truncate:
    file: str
    size: int


@frozen
class Sync:
    """Of a file, or of the folder ("") that they are in. Covers what was begun before ``since``."""

    file: str
    since: int


@frozen
class Entry:
    """A file's name appears in the folder, or goes."""

    file: str
    there: bool


@frozen
class Said:
    """Bytes that went to a caller: what they tell of must never be lost."""

    events: frozenset[tuple[str, int]]
    runs: frozenset[str]
    signals: frozenset[tuple[str, str]]
    cancelled: frozenset[str]


Op = Write | Truncate | Sync | Entry | Said

_LINE = re.compile(rb"(\d+) +(.*)", re.DOTALL)
_CALL = re.compile(rb"(\w+)\((.*)", re.DOTALL)
_RESUMED = re.compile(rb"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_FILE = re.compile(rb"^\d+<([^>]*)>")
_TEXT = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_RESULT = re.compile(rb"\) += (-?\d+)(?:<([^>]*)>)?")
_EVENT = re.compile(rb'"run_id":"(run_\w{26})","type":"\w+","seq":(\d+)')


class Trace:
    """The operations of one or several lifetimes of a server, on the files of one database."""

    def __init__(self, db: Path) -> None:
        self.ops: list[Op] = []
        self._folder, self._name = str(db.parent).encode(), db.name.encode()
        self._names: set[str] = set()
        #: By thread: a call that has not returned, what it began with, and where.
        self._open: dict[bytes, tuple[bytes, bytes, int]] = {}

    def read(self, file: Path) -> None:
        """Take in what strace wrote of one lifetime."""
        self._open.clear()
        with file.open("rb") as lines:
            for line in lines:
                match = _LINE.match(line.rstrip(b"\n"))
                if match:
                    self._line(match[1], match[2])

    def _line(self, thread: bytes, text: bytes) -> None:
        if resumed := _RESUMED.match(text):
            call, arguments, since = self._open.pop(thread, (b"", b"", 0))
            if call == resumed[1]:
                self._returned(call, arguments, resumed[2], since)
        elif begun := _CALL.match(text):
            since = len(self.ops)
            self._begun(begun[1], begun[2])
            if text.endswith(b"<unfinished ...>"):
                self._open[thread] = (begun[1], begun[2], since)
            else:
                self._returned(begun[1], begun[2], begun[2], since)

    def _begun(self, call: bytes, arguments: bytes) -> None:
        """A write may reach the disk from now on, and an answer its caller."""
        if call in (b"sendto", b"sendmsg"):
            said = _said(_text(arguments))
            if said is not None:
                self.ops.append(said)
        name = self._file(arguments)
        if name is None:
            return
        if call == b"pwrite64":
            self.ops.append(
                Write(name, int(arguments.split(b", ")[3].split(b")")[0].split()[0]), _text(arguments))
            )
        elif call == b"ftruncate":
            self.ops.append(Truncate(name, int(re.split(rb"[,) ]+", arguments)[1])))
        elif call == b"write":
            raise AssertionError("a database file was written without a place")

    def _returned(self, call: bytes, arguments: bytes, rest: bytes, since: int) -> None:
        result = _RESULT.search(rest)
        if result is None or int(result[1]) < 0:
            return
        if call in (b"fsync", b"fdatasync"):
            name = "" if self._is_folder(arguments) else self._file(arguments)
            if name is not None:
                self.ops.append(Sync(name, since))
        elif call == b"openat" and b"O_CREAT" in arguments:
            self._entry(_text(arguments), there=True)
        elif call in (b"unlink", b"unlinkat"):
            self._entry(_text(arguments), there=False)
        elif call in (b"rename", b"renameat"):
            assert self._ours(_text(arguments)) is None, "a database file was renamed"

    def _entry(self, path: bytes, *, there: bool) -> None:
        name = self._ours(path)
        if name is not None and there != (name in self._names):
            self._names ^= {name}
            self.ops.append(Entry(name, there))

    def _file(self, arguments: bytes) -> str | None:
        match = _FILE.match(arguments)
        return None if match is None else self._ours(_unhex(match[1]))

    def _is_folder(self, arguments: bytes) -> bool:
        match = _FILE.match(arguments)
        return match is not None and _unhex(match[1]) == self._folder

    def _ours(self, path: bytes) -> str | None:
        """Return the name of a database file; what is in ``-shm`` is made anew when a file is opened."""
        folder, _, name = path.rpartition(b"/")
        ours = folder == self._folder and name in (self._name, self._name + b"-wal", self._name + b"-journal")
        return name.decode() if ours else None


def _unhex(text: bytes) -> bytes:
    return bytes.fromhex(text.replace(b"\\x", b"").decode())


def _text(arguments: bytes) -> bytes:
    match = _TEXT.search(arguments)
    assert match is not None
    assert match[2] is None, "strace cut a text short"
    return _unhex(match[1])


def _said(data: bytes) -> Said | None:
    """Return what bytes of an answer tell of, None for nothing."""
    events = frozenset((run.decode(), int(seq)) for run, seq in _EVENT.findall(data))
    bodies = list(_bodies(data))
    runs = frozenset(body["run_id"] for body in bodies)
    signals = frozenset((body["run_id"], body["request_id"]) for body in bodies if "duplicate" in body)
    cancelled = frozenset(body["run_id"] for body in bodies if body.get("cancel_requested"))
    return Said(events, runs, signals, cancelled) if events or runs else None


def _bodies(data: bytes) -> Iterator[dict]:
    """Yield an answer that is about one run: a start, a signal, a cancel, or the run."""
    body = data.rpartition(b"\r\n\r\n")[2]
    if body.startswith(b'{"run_id":"run_'):
        yield json.loads(body)
