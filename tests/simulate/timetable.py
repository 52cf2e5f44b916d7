"""The schedules of a world, and a model of their own: which runs they may make, and which they must.

It hears of runs as the contract's model does, once they are on the disk, and looks into the table of
schedules only to see that no time is lost between what was noted and what was made.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from attrs import define, evolve, field

from infraweave.core.workflow.document import Document
from infraweave.core.workflow.triggers import Schedule
from infraweave.engine.engine import Engine
from infraweave.store.schedules import ScheduleRow
from tests.simulate.model import Run, milliseconds

#: Seconds between two times. Where all are made up for, a day that is jumped over stays within the bounds.
OFTEN, SELDOM = (10.0, 60.0, 600.0), (1_800.0, 3_600.0)
#: Milliseconds that a cancel may take to be on the disk.
LATE = 75_000


def timed(rng: random.Random, documents: tuple[Document, ...]) -> tuple[Document, ...]:
    """Return documents with schedules."""
    return tuple(
        evolve(document, schedules=tuple(_drawn(rng, f"s{n}") for n in range(rng.choice([1, 2]))))
        for document in documents
    )


def _drawn(rng: random.Random, name: str) -> Schedule:
    makes_up = rng.random() < 0.4
    return Schedule(
        name=name,
        every=rng.choice(SELDOM if makes_up else OFTEN),
        anchor=rng.choice([None, "2025-12-31T23:00:01.500Z"]),
        input=list(range(rng.choice([0, 1, 3]))),
        catch_up="all" if makes_up else rng.choice(["last", "skip"]),
        overlap="queue" if makes_up else rng.choice(["skip", "queue", "cancel_running"]),
    )


@define(eq=False)
class Line:
    """What is known of one schedule."""

    schedule: Schedule
    #: Times that have made a run, and the newest run of each.
    made: dict[int, Run] = field(factory=dict)
    #: Their runs, and those of them that are open.
    known: set[str] = field(factory=set)
    open: dict[str, Run] = field(factory=dict)
    #: Runs that are in the way of its next time, and until when they may go on without being cancelled.
    spared: dict[str, int] = field(factory=dict)
    #: When its newest run ended.
    ended_at: int = 0

    @property
    def every(self) -> int:
        """Milliseconds."""
        return round((self.schedule.every or 0) * 1000)

    @property
    def anchor(self) -> int:
        """Milliseconds."""
        return 0 if self.schedule.anchor is None else milliseconds(self.schedule.anchor)


@define(eq=False)
class Timetable:
    """All schedules of a world.

    ``furthest`` gives the latest time so far, ``is_gone`` tells of a run whether it was removed, and
    ``fault`` hears of violations.
    """

    furthest: Callable[[], int]
    is_gone: Callable[[Run], bool]
    fault: Callable[[str], object]
    #: By tenant and id.
    lines: dict[tuple[str, str], Line]

    @classmethod
    def of(
        cls, documents: tuple[Document, ...], tenants: tuple[str, ...], *told: Callable[..., Any]
    ) -> Timetable:
        """Return the timetable of some documents, which each tenant has."""
        all_ = [(f"{document.workflow_id}:{s.name}", s) for document in documents for s in document.schedules]
        return cls(*told, {(tenant, name): Line(s) for tenant in tenants for name, s in all_})

    def restart(self) -> None:
        """Begin another life: nobody is late for what could not be done."""
        for line in self.lines.values():
            line.spared.clear()

    def hear(self, run: Run) -> None:
        """Take in what one commit has told of a run; one that a person triggered does not count."""
        origin = run.origin
        if origin["trigger"] != "schedule" or not origin["by"].startswith("schedule:"):
            return
        name = f"{origin['workflow_id']}:{origin['tags']['schedule']}"
        line, at = self.lines[origin["tenant"], name], milliseconds(origin["tags"]["scheduled_at"])
        if run.run_id not in line.known:
            self._made(name, line, at, run)
        if run.end is not None:
            line.open.pop(run.run_id, None)
            line.ended_at = run.at

    def _made(self, name: str, line: Line, at: int, run: Run) -> None:
        said = f"{name} has made {run.run_id} for {at}"
        if (at - line.anchor) % line.every:
            self.fault(f"{said}, which is none of its times")
        if at > self.furthest():
            self.fault(f"{said} at {self.furthest()}, which is early")
        if at in line.made and not self.is_gone(line.made[at]):
            self.fault(f"{said}, which has made {line.made[at].run_id}")
        if line.open:
            self.fault(f"{said}, while {list(line.open)} is open")
        line.made[at] = run
        line.known.add(run.run_id)
        line.open[run.run_id] = run

    def late(self, engine: Engine, before: int) -> Iterator[str]:
        """Yield what should have happened before a time."""
        for key, state in engine.scheduler._states.items():
            line, row, name = self.lines[key], state.row, key[1]
            if state.next_at is not None and state.next_at < before:
                yield f"{name} should have looked at {state.next_at}, and it is {before}"
            if state.next_at is not None and state.next_at > before + LATE + line.every:
                yield f"{name} waits for {state.next_at}, and it is {before} + {LATE} ms: others come first"
            others = [run_id for run_id in row.running if run_id not in line.open]
            is_due = not row.paused and row.waiting and row.waiting[0] < before
            if is_due and not line.open and not others and line.ended_at < before:
                yield f"{name} should have made a run for {row.waiting[0]}, and it is {before}"
            yield from self._not_cancelled(name, line, row, before)

    def _not_cancelled(self, name: str, line: Line, row: ScheduleRow, before: int) -> Iterator[str]:
        """Yield which runs are in the way of a time and have not been cancelled, since a while."""
        spared = [run.run_id for run in line.open.values() if not (run.cancel or run.stopping)]
        if not (row.waiting and row.schedule.overlap == "cancel_running"):
            spared = []
        line.spared = {run_id: line.spared.get(run_id, before + LATE) for run_id in spared}
        for run_id, until in line.spared.items():
            if until < before:
                yield f"{name} should have cancelled {run_id}"

    def compare(self, path: Path) -> Iterator[str]:
        """Yield which times are lost: from the first on, each has made a run or waits, where all must."""
        with closing(sqlite3.connect(path)) as file:
            rows = file.execute("SELECT tenant, schedule_id, next_at, waiting FROM schedules").fetchall()
        for tenant, name, next_at, text in rows:
            waiting, line = json.loads(text), self.lines[tenant, name]
            if sorted(set(waiting)) != waiting:
                yield f"{name}: {waiting} wait"
            yield from self._lost(name, line, {*line.made, *waiting}, next_at)

    def _lost(self, name: str, line: Line, known: set[int], next_at: int | None) -> Iterator[str]:
        if line.schedule.catch_up != "all" or not known or next_at is None:
            return
        if lost := sorted(set(range(min(known), next_at, line.every)) - known):
            yield f"{name}: before {next_at} these are lost: {lost[:5]}"
