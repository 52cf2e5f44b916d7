"""Which runs are being taken up at this moment, in a small file beside the database: it outlives the process.

A run whose history takes more memory than there is kills whoever takes it up, again and again. The process
that dies can tell nobody, so before a run is taken up its name is written here, and wiped out once it has
survived that. What a process finds here at its start is what the one before was taking up when it died, and
how many did so in a row. Nothing is synced: the file is to outlive the process, and after a power cut nobody
is to blame. An ordinary start costs two small writes a run, and no transaction.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

log = logging.getLogger("infraweave.store")

#: Deaths in a row after which a run is not taken up any more, unless somebody says so.
MAX_CRASHES = 3
#: A run and how often it has been taken up without an end; blanks where there is none.
_RECORD = re.compile(rb"(\S{1,100}) +(\d{1,9})\n")
_WIDTH = 64


class LoadQuarantine:
    """The runs that this process takes up, and those at whose taking-up earlier ones have died."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(f"{database.name}.taking-up")
        self._file: int | None = None
        self._is_broken = False
        #: How many processes in a row have died at the taking-up of a run.
        self._crashes = self._left_behind()
        self._places = {run_id: place for place, run_id in enumerate(self._crashes)}
        self._free: list[int] = []
        self._quarantined = {run_id for run_id, deaths in self._crashes.items() if deaths >= MAX_CRASHES}
        if self._crashes:
            self._rewrite()

    @property
    def quarantined(self) -> frozenset[str]:
        """The runs that are set aside."""
        return frozenset(self._quarantined)

    @property
    def suspected(self) -> frozenset[str]:
        """The runs at whose taking-up the last process died, those that are set aside included."""
        return frozenset(self._crashes)

    def is_quarantined(self, run_id: str) -> bool:
        """Tell whether a run is not to be taken up."""
        return run_id in self._quarantined

    def crashes(self, run_id: str) -> int:
        """Return how many processes in a row have died at the taking-up of a run."""
        return self._crashes.get(run_id, 0)

    def release(self, run_id: str) -> None:
        """Let a run be taken up that was set aside; one more death, and it is set aside again."""
        self._quarantined.discard(run_id)

    def begin_load(self, run_id: str) -> None:
        """Write down that a run is being taken up."""
        if run_id not in self._places:
            self._places[run_id] = self._free.pop() if self._free else len(self._places)
        self._write(self._places[run_id], b"%-54s %8d\n" % (run_id.encode(), self.crashes(run_id) + 1))

    def pause_load(self, run_id: str) -> None:
        """Write down that a run is not being taken up now: it has to wait, and is begun again."""
        place = self._places.get(run_id)
        if place is not None and run_id not in self._quarantined:
            del self._places[run_id]
            self._free.append(place)
            self._write(place, b" " * (_WIDTH - 1) + b"\n")

    def end_load(self, run_id: str) -> None:
        """Write down that the taking-up of a run is over, and has done no harm."""
        self.pause_load(run_id)
        if run_id not in self._quarantined:
            self._crashes.pop(run_id, None)

    def close(self) -> None:
        """Leave only what is set aside: this process does not die."""
        for run_id in list(self._places):
            self.end_load(run_id)
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if not self._quarantined:
            self._path.unlink(missing_ok=True)

    def _left_behind(self) -> dict[str, int]:
        try:
            found = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        return {name.decode(errors="replace"): int(count) for name, count in _RECORD.findall(found)}

    def _rewrite(self) -> None:
        """Put what was found to the front, in one go: the file never holds less than is known."""
        made = self._path.with_name(f"{self._path.name}.new")
        made.touch(0o600)
        made.write_bytes(b"".join(b"%-54s %8d\n" % (r.encode(), n) for r, n in self._crashes.items()))
        made.replace(self._path)

    def _write(self, place: int, record: bytes) -> None:
        if self._is_broken:
            return
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            os.lseek(self._file, place * _WIDTH, os.SEEK_SET)
            os.write(self._file, record)
        except OSError as error:
            self._is_broken = True
            log.error(
                "%s cannot be written, so runs that kill the process are not found: %s", self._path, error
            )
