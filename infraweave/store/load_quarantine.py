"""The runs that are being loaded right now, in a small file beside the database that outlives the process.

A run whose history needs more memory than there is kills every process that loads it. So the id of a run is
written to the file before the run is loaded, and deleted once the load is over. At its start a process finds
there the runs that the last process was loading when it died, and how many processes in a row died while
loading them. After ``MAX_CRASHES`` of them the run is quarantined: it is not loaded before somebody releases
it.

The words: a run is on *probation* from its load until it has proved harmless. It is a *suspect* if the last
process died during that time; suspects are loaded one by one. After ``MAX_CRASHES`` it is in *quarantine*,
which the wire and the console call *set aside*.

Nothing is synced: the file has to survive the process, and after a power cut no run is to blame. An ordinary
start costs two small writes for each run, and no transaction.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

log = logging.getLogger("infraweave.store")

#: Crashes in a row after which a run is quarantined.
MAX_CRASHES = 3
#: A run id and the number of its loads that have not ended; an unused record is blank.
_RECORD = re.compile(rb"(\S{1,100}) +(\d{1,9})\n")
_WIDTH = 64


class LoadQuarantine:
    """The runs that this process is loading, and those that earlier processes died loading."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(f"{database.name}.taking-up")
        self._file: int | None = None
        self._is_broken = False
        #: How many processes in a row died while loading a run.
        self._crashes = self._left_behind()
        self._slots = {run_id: slot for slot, run_id in enumerate(self._crashes)}
        self._free: list[int] = []
        self._quarantined = {run_id for run_id, crashes in self._crashes.items() if crashes >= MAX_CRASHES}
        if self._crashes:
            self._rewrite()

    @property
    def quarantined(self) -> frozenset[str]:
        """The quarantined runs."""
        return frozenset(self._quarantined)

    @property
    def suspected(self) -> frozenset[str]:
        """The runs that the last process died loading, including quarantined ones."""
        return frozenset(self._crashes)

    def is_quarantined(self, run_id: str) -> bool:
        """Tell whether a run must not be loaded."""
        return run_id in self._quarantined

    def crashes(self, run_id: str) -> int:
        """Return how many processes in a row died while loading a run."""
        return self._crashes.get(run_id, 0)

    def release(self, run_id: str) -> None:
        """Release a run from quarantine; one more crash puts it back."""
        self._quarantined.discard(run_id)

    def begin_load(self, run_id: str) -> None:
        """Record that the load of a run begins."""
        if run_id not in self._slots:
            self._slots[run_id] = self._free.pop() if self._free else len(self._slots)
        self._write(self._slots[run_id], b"%-54s %8d\n" % (run_id.encode(), self.crashes(run_id) + 1))

    def pause_load(self, run_id: str) -> None:
        """Record that the load of a run stopped to wait for something; it begins anew later."""
        slot = self._slots.get(run_id)
        if slot is not None and run_id not in self._quarantined:
            del self._slots[run_id]
            self._free.append(slot)
            self._write(slot, b" " * (_WIDTH - 1) + b"\n")

    def end_load(self, run_id: str) -> None:
        """Record that the load of a run ended without harm."""
        self.pause_load(run_id)
        if run_id not in self._quarantined:
            self._crashes.pop(run_id, None)

    def close(self) -> None:
        """Keep only quarantined runs in the file: this process ends normally."""
        for run_id in list(self._slots):
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
        """Move the records found to the front of the file, atomically."""
        made = self._path.with_name(f"{self._path.name}.new")
        made.touch(0o600)
        made.write_bytes(b"".join(b"%-54s %8d\n" % (r.encode(), n) for r, n in self._crashes.items()))
        made.replace(self._path)

    def _write(self, slot: int, record: bytes) -> None:
        if self._is_broken:
            return
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            os.lseek(self._file, slot * _WIDTH, os.SEEK_SET)
            os.write(self._file, record)
        except OSError as error:
            self._is_broken = True
            log.error(
                "%s cannot be written, so runs that kill the process are not detected: %s", self._path, error
            )
