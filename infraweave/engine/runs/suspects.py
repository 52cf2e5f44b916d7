"""Runs that the last process was loading when it died. They are loaded one by one, to find the guilty one."""

from __future__ import annotations

import logging

from infraweave.errors import RunSetAside
from infraweave.store.load_quarantine import LoadQuarantine
from infraweave.store.runs import Runs

log = logging.getLogger("infraweave.engine")


class Suspects:
    """The suspects that were not loaded yet, including those that are set aside."""

    def __init__(self, quarantine: LoadQuarantine, runs: Runs) -> None:
        self._quarantine, self._runs = quarantine, runs
        self._keys: set[int] = set()
        #: Suspects that admission control has admitted: each keeps its slots until it is loaded.
        self._withheld: set[int] = set()

    def __contains__(self, run_key: int) -> bool:
        return run_key in self._keys

    @property
    def keys(self) -> list[int]:
        """The keys of the suspects, the oldest first."""
        return sorted(self._keys)

    async def find(self) -> None:
        """Find the suspects that earlier processes left."""
        for run_id in sorted(self._quarantine.suspected):
            row = await self._runs.get(run_id)
            if row is None or row.finished_at is not None:
                self._quarantine.release(run_id)
                self._quarantine.end_load(run_id)
                continue
            self._keys.add(row.run_key)
            if self._quarantine.is_quarantined(run_id):
                log.error("%s", self.why_set_aside(run_id))

    def release(self, run_key: int, run_id: str) -> bool:
        """Release a run that is set aside; return False where it is not."""
        if not self._quarantine.is_quarantined(run_id):
            return False
        self._quarantine.release(run_id)
        self._keys.discard(run_key)
        return True

    def check(self, run_id: str) -> None:
        """Refuse a run that is set aside.

        Raises:
            RunSetAside: the run is set aside.
        """
        if self._quarantine.is_quarantined(run_id):
            raise RunSetAside(self.why_set_aside(run_id))

    def withhold(self, run_key: int) -> bool:
        """Let a suspect keep its slot until it is loaded; return False where it is none."""
        if run_key not in self._keys:
            return False
        self._withheld.add(run_key)
        return True

    def clear(self, run_key: int) -> bool:
        """Clear a run that was loaded; return True where a slot was withheld from it."""
        self._keys.discard(run_key)
        withheld = run_key in self._withheld
        self._withheld.discard(run_key)
        return withheld

    def why_set_aside(self, run_id: str) -> str:
        """Return why a run is not loaded, and what to do."""
        return (
            f"Run {run_id} is set aside, because {self._quarantine.crashes(run_id)} processes in a row have"
            " died while they loaded it: resume it, cancel it, or terminate it. Of its payloads, terminating"
            " reads only the input."
        )
