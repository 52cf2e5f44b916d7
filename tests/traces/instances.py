"""Real workflows' task graphs and run times (WfFormat 1.5) as workflows of ours; and what holds of a run.

The data is no part of the repository: it is looked for in ``shared/data/wfinstances`` beside the repository
and beside each folder above it, or where INFRAWEAVE_TRACES says.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from functools import cached_property
from pathlib import Path

import pytest
from attrs import frozen

from infraweave.core.data.values import from_rfc3339
from infraweave.core.workflow.document import Document, Timer

ROOT = Path(__file__).parent.parent.parent


def _files() -> list[Path]:
    named = os.environ.get("INFRAWEAVE_TRACES")
    folders = [Path(named)] if named else [above / "shared/data/wfinstances" for above in ROOT.parents]
    return next((found for folder in folders if (found := sorted(folder.glob("*.json")))), [])


FILES = _files()
needs_traces = pytest.mark.skipif(
    not FILES, reason="there are no workflow traces in shared/data/wfinstances or INFRAWEAVE_TRACES"
)
#: Parametrizes a test over all traces.
each_trace = pytest.mark.parametrize("file", FILES or [None], ids=lambda file: getattr(file, "stem", "none"))


@frozen
class Task:
    """One task: its name among ours, those that it waits for, and how long it takes, in milliseconds."""

    name: str
    parents: tuple[str, ...]
    ms: int


@frozen(slots=False)
class Trace:
    """One workflow that someone ran; tasks stand in the order of the file."""

    workflow_id: str
    tasks: tuple[Task, ...]

    @cached_property
    def finishes(self) -> dict[str, int]:
        """When each task ends, in milliseconds after the start, if nothing ever waits for anything else."""
        by_name, ends = {task.name: task for task in self.tasks}, {}

        def end(name: str) -> int:
            if name not in ends:
                ends[name] = max(map(end, by_name[name].parents), default=0) + by_name[name].ms
            return ends[name]

        return {task.name: end(task.name) for task in self.tasks}

    @property
    def critical_path(self) -> int:
        """How long the workflow must take, in milliseconds."""
        return max(self.finishes.values())

    def begins(self, task: Task) -> int:
        """Return when a task begins, in milliseconds after the start."""
        return self.finishes[task.name] - task.ms

    def document(self) -> Document:
        """Return the workflow with a timer for each task."""
        nodes = tuple(Timer(name=task.name, after=task.parents, delay=task.ms / 1000) for task in self.tasks)
        return Document(workflow_id=self.workflow_id, version="v1", nodes=nodes)


def read(file: Path, scale: float) -> Trace:
    """Return a trace whose tasks take ``scale`` times as long as they did."""
    workflow = json.loads(file.read_text())["workflow"]
    took = {task["id"]: task["runtimeInSeconds"] for task in workflow["execution"]["tasks"]}
    tasks = workflow["specification"]["tasks"]
    names = {task["id"]: f"t{place}" for place, task in enumerate(tasks)}
    return Trace(
        file.stem,
        tuple(
            Task(
                names[task["id"]],
                tuple(names[parent] for parent in dict.fromkeys(task["parents"])),
                round(took[task["id"]] * scale * 1000),
            )
            for task in tasks
        ),
    )


def read_to_last(file: Path, seconds: float) -> Trace:
    """Return a trace scaled so that its critical path takes that long."""
    return read(file, seconds / (read(file, 1.0).critical_path / 1000))


def check(trace: Trace, events: list[dict], slack: int = 0) -> None:
    """Check a run's log: every task once, none before its parents, none too short; the run succeeded.

    ``slack``: milliseconds by which a task may seem too short, where real bodies sleep by one clock and
    events are dated by another, which may be set meanwhile.
    """
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "completed"
    done = Counter(event["node"] for event in events if event["type"] == "node_completed")
    assert done == Counter(task.name for task in trace.tasks)
    opened = Counter((event["node"], event["attempt"]) for event in events if event["type"] == "node_started")
    assert set(opened.values()) == {1}
    completed = {event["node"]: event for event in events if event["type"] == "node_completed"}
    started = {event["node"]: event for event in events if event["type"] == "node_started"}  # the last one
    first = {event["node"]: event["seq"] for event in reversed(events) if event["type"] == "node_started"}
    for task in trace.tasks:
        assert all(completed[parent]["seq"] < first[task.name] for parent in task.parents), task
        took = from_rfc3339(completed[task.name]["at"]) - from_rfc3339(started[task.name]["at"])
        assert took >= task.ms - slack, (task, started[task.name], completed[task.name])
