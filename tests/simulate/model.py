"""The contract, as plainly as it can be said, judging what is committed. It shares no code with the product.

It hears of each commit at the moment at which it is on the disk, reads the rows of events as any client would
read the feed, and keeps what the contract promises to be true of them. Nothing here decides what happens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import define, field

from infraweave.core.run.event_codec import TYPES, beside_by_name, feed_fields
from infraweave.store.sqlite.row_changes import Row, RowChanges

TERMINAL = {"completed": "succeeded", "failed": "failed", "cancelled": "cancelled"}

Json = dict[str, Any]
#: Node, iteration, index, phase.
Key = tuple[str, int | None, int | None, str]


@define(eq=False)
class Step:
    """An open entry."""

    opened: Json
    attempt: int
    #: Its next attempt may not open before; None: an attempt is open.
    retry_at: int | None = None


@define(eq=False)
class Run:
    """What the events of a run say, and nothing that they do not."""

    run_id: str
    run_key: int
    origin: Json = field(factory=dict)
    seq: int = 0
    state: str = ""
    at: int = 0
    created_at: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    end: Json | None = None
    cancel: bool = False
    stopping: bool = False
    terminated: bool = False
    tokens: int = 0
    cost: int = 0
    open: dict[Key, Step] = field(factory=dict)
    completed: set[Key] = field(factory=set)
    #: Completed entries that can be undone, in order of completion.
    undoable: list[Key] = field(factory=list)
    #: Nodes whose results another run gave.
    reused: list[str] = field(factory=list)
    undone: list[str] = field(factory=list)
    not_undone: list[str] = field(factory=list)
    #: Accepted signals by id, and those that nothing has consumed, oldest first.
    signals: dict[str, Json] = field(factory=dict)
    mailbox: list[str] = field(factory=list)
    #: A digest of all events, to compare a file with.
    rows: list[int] = field(factory=list)

    def due(self, but: Collection[str] = ()) -> int | None:
        """Return the earliest time at which something that waits must go on, ``but`` for some nodes."""
        times = [t for key, step in self.open.items() if key[0] not in but and (t := _due(step)) is not None]
        return min(times, default=None)


def _due(step: Step) -> int | None:
    if step.retry_at is not None:
        return step.retry_at
    wake = step.opened.get("wake_at")
    return step.opened.get("deadline") if wake is None else wake


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(text: str) -> int:
    """Return a time of the feed in milliseconds since the epoch."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)


def name(key: Key) -> str:
    """Return an entry's name as terminal events spell it."""
    node, iteration, index, _ = key
    return node + ("" if iteration is None else f"#{iteration}") + ("" if index is None else f"[{index}]")


def key_of(data: Mapping[str, Any]) -> Key:
    """Return which entry an event is about."""
    return data["node"], data.get("iteration"), data.get("index"), data.get("phase") or "forward"


@define(eq=False)
class Model:
    """All runs of a file. ``undoes`` tells whether a node of a workflow declares a compensation."""

    undoes: Callable[[str, str], bool]
    #: The latest time that an event may bear.
    now: Callable[[], int]
    faults: list[str] = field(factory=list)
    runs: dict[int, Run] = field(factory=dict)
    open: dict[int, Run] = field(factory=dict)
    ids: dict[str, Run] = field(factory=dict)
    keys: dict[tuple[str, str], str] = field(factory=dict)
    #: Runs that have changed since the file was last compared.
    dirty: dict[int, None] = field(factory=dict)
    events: int = 0
    log: list[str] = field(factory=list)
    #: Whether a process has removed old runs.
    removes: bool = False
    #: Told of each run that a commit has touched, those first that have ended.
    hear: Callable[[Run], object] = lambda _: None
    #: Told of each run that was removed.
    gone: Callable[[Run], object] = lambda _: None
    #: Yields what else is wrong with an event of a node.
    wrong: Callable[[Run, str, Json, Key], Iterable[str]] = lambda *_: ()
    fault: Callable[[str], object] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.fault = self.faults.append

    def root(self, run: Run) -> Run:
        """Return the run that nobody's node has started, from which a run descends."""
        while (parent := run.origin.get("parent_run_id")) is not None:
            run = self.ids[parent]
        return run

    # --- commits -------------------------------------------------------------------------------------------

    def commit(self, works: Iterable[RowChanges], stamp: str) -> None:
        """Take in what one transaction has written."""
        touched: dict[int, Run] = {}
        for rows in works:
            for row in rows.events:
                run = self._event(row, self._told(row, rows), stamp)
                touched[run.run_key] = run
        for run in touched.values():
            self.dirty[run.run_key] = None
            if run.end is not None:
                self.open.pop(run.run_key, None)
            self._after(run)
        for run in sorted(touched.values(), key=lambda run: run.end is None):
            self.hear(run)

    def _told(self, row: Row, rows: RowChanges) -> Json:
        """Return what the feed says of an event, with its payloads, of which a commit holds the originals."""
        run_key, seq, code, at, text, payload = row
        run_id = json.loads(text)["run_id"] if seq == 1 else self.runs[run_key].run_id
        if isinstance(payload, int) and TYPES[code] == "completed":
            (payload,) = [other[-1] for other in rows.events if other[:2] == (run_key, payload)]
        told = feed_fields(run_id, TYPES[code], seq, at, text)
        if isinstance(payload, str):
            told.update(json.loads(beside_by_name(TYPES[code], payload.encode())))
        return told

    def _event(self, row: Row, data: Json, stamp: str) -> Run:
        run_key, seq, code, at, text, payload = row
        kind = TYPES[code]
        for when in ("wake_at", "deadline", "retry_at"):
            if data.get(when) is not None:
                data[when] = milliseconds(data[when])
        run = self.runs.get(run_key) or self._new(run_key, data)
        self.events += 1
        where = "/".join(str(data.get(part)) for part in ("node", "iteration", "index", "phase", "attempt"))
        self.log.append(f"{stamp} {run.run_id} {seq} {kind} {at} {where}")
        self._expect(seq == run.seq + 1, run, f"seq {seq} after {run.seq}")
        self._expect(run.end is None, run, f"{kind} after the end")
        self._expect(at <= self.now(), run, f"{kind} is from the future")
        run.seq, run.at = seq, at
        run.rows.append(hash((seq, code, at, text, payload)))
        getattr(self, f"_{kind}")(run, data)
        for said in self.wrong(run, kind, data, key_of(data)) if "node" in data else ():
            self._expect(False, run, f"{name(key_of(data))}: {said}")
        return run

    def _new(self, run_key: int, data: Json) -> Run:
        run = self.open[run_key] = self.runs[run_key] = self.ids[data["run_id"]] = Run(
            data["run_id"], run_key
        )
        return run

    def _expect(self, holds: object, run: Run, said: str) -> None:
        if not holds:
            self.fault(f"{run.run_id} event {run.seq}: {said}")

    # --- one event -----------------------------------------------------------------------------------------

    def _status_changed(self, run: Run, data: Json) -> None:
        if run.seq == 1:
            run.origin, run.created_at = data["origin"], run.at
            run.reused = data.get("reused") or []
            key = run.origin.get("idempotency_key")
            if key is not None:
                first = self.keys.setdefault((run.origin["tenant"], key), run.run_id)
                self._expect(first == run.run_id, run, f"{key} has made {first} already")
        run.state = data["state"]
        if run.state == "running" and run.started_at is None:
            run.started_at = run.at
        run.cancel |= bool(data.get("cancel_requested"))
        run.stopping |= run.cancel
        run.terminated |= data.get("cause") == "terminated"

    def _node_started(self, run: Run, data: Json) -> None:
        key, attempt = key_of(data), data["attempt"]
        self._expect(key not in run.completed, run, f"{name(key)} begins again, and was completed")
        step = run.open.get(key)
        if step is None:
            self._expect(attempt == 1 or key[3] == "forward", run, f"{name(key)} begins with {attempt}")
            run.open[key] = Step(data, attempt)
            if key[3] == "compensation":
                self._undo(run, key)
            else:
                self._expect(not run.stopping, run, f"{name(key)} begins while the run is stopping")
            return
        self._expect(attempt == step.attempt + 1, run, f"{name(key)}: {attempt} after {step.attempt}")
        self._expect(step.retry_at is not None, run, f"{name(key)} begins while an attempt is open")
        self._expect(run.at >= (step.retry_at or 0), run, f"{name(key)} is tried again early")
        step.opened, step.attempt, step.retry_at = data, attempt, None

    def _undo(self, run: Run, key: Key) -> None:
        others = [other for other in run.open if other != key]
        self._expect(not others, run, f"{name(key)} is undone while {others} are open")
        last = run.undoable.pop() if run.undoable else None
        expected = None if last is None else (*last[:3], "compensation")
        self._expect(key == expected, run, f"{name(key)} is undone, and {expected} should be")

    def _close(self, run: Run, data: Json) -> Step:
        key = key_of(data)
        step = run.open.pop(key, None)
        if step is None:
            self._expect(False, run, f"{name(key)} closes and is not open")
            return Step({}, 0)
        return step

    def _node_completed(self, run: Run, data: Json) -> None:
        key, step = key_of(data), self._close(run, data)
        self._expect(step.attempt == data["attempt"], run, f"{name(key)}: not the attempt that is open")
        self._expect(step.retry_at is None, run, f"{name(key)} completes between two attempts")
        self._expect(key not in run.completed, run, f"{name(key)} completes twice")
        wake = step.opened.get("wake_at")
        self._expect(wake is None or run.at >= wake, run, f"{name(key)} rings early: {wake} at {run.at}")
        if data.get("on_timeout"):
            self._late(run, key, step)
        self._consume(run, data.get("answered_with"), step.opened.get("signal"))
        self._spend(run, data)
        run.completed.add(key)
        if key[3] == "compensation":
            run.undone.append(name(key))
        elif step.opened.get("items") is None and self.undoes(run.origin["workflow_id"], key[0]):
            run.undoable.append(key)

    def _late(self, run: Run, key: Key, step: Step) -> None:
        deadline = step.opened.get("deadline")
        self._expect(deadline is not None and run.at >= deadline, run, f"{name(key)} times out early")

    def _node_failed(self, run: Run, data: Json) -> None:
        key = key_of(data)
        self._spend(run, data)
        if data["will_retry"]:
            step = run.open.get(key)
            if step is None or step.retry_at is not None:
                self._expect(False, run, f"{name(key)} fails and is not open")
                return
            self._expect(step.attempt == data["attempt"], run, f"{name(key)}: another attempt fails")
            step.retry_at = data["retry_at"]
            self._expect(data["retry_at"] >= run.at, run, f"{name(key)} is to be tried again in the past")
            return
        step = self._close(run, data)
        if data["code"] == "timeout" and step.opened.get("signal"):
            self._late(run, key, step)
        if key[3] == "compensation":
            run.not_undone.append(name(key))
        elif data["code"] != "cancelled" and not data.get("tolerated"):
            run.stopping = True

    def _spend(self, run: Run, data: Json) -> None:
        run.tokens += data.get("tokens") or 0
        run.cost += data.get("cost_micro_usd") or 0

    def _input_requested(self, run: Run, data: Json) -> None:
        key = key_of(data)
        self._expect(key not in run.open, run, f"{name(key)} is asked twice at once")
        self._expect(key not in run.completed, run, f"{name(key)} is asked again, and was answered")
        self._expect(not run.stopping, run, f"{name(key)} is asked while the run is stopping")
        run.open[key] = Step(data, 1)

    def _input_resolved(self, run: Run, data: Json) -> None:
        key, step, outcome = key_of(data), self._close(run, data), data["outcome"]
        self._expect(
            step.opened.get("request_id") == data["request_id"], run, f"{name(key)}: another request"
        )
        if outcome == "answered":
            self._expect(data.get("answered_with"), run, f"{name(key)} is answered with nothing")
            self._consume(run, data.get("answered_with"), step.opened.get("signal"))
            run.completed.add(key)
        elif outcome == "timed_out":
            self._late(run, key, step)
            run.completed.add(key)
            run.stopping |= not data.get("on_timeout")

    def _signal_received(self, run: Run, data: Json) -> None:
        request_id = data["request_id"]
        self._expect(request_id not in run.signals, run, f"{request_id} is accepted twice")
        self._expect(not run.stopping, run, "a signal is accepted while the run is stopping")
        run.signals[request_id] = data
        run.mailbox.append(request_id)

    def _consume(self, run: Run, request_id: str | None, signal: str | None) -> None:
        if request_id is None:
            return
        first = next((r for r in run.mailbox if run.signals[r]["name"] == signal), None)
        self._expect(request_id == first, run, f"{request_id} is consumed for {signal} before {first}")
        if request_id in run.mailbox:
            run.mailbox.remove(request_id)

    def _end(self, run: Run, data: Json) -> None:
        run.end, run.finished_at = data, run.at
        self._expect(run.state == TERMINAL[data["type"]], run, f"it ends {data['type']} and is {run.state}")
        self._expect(not run.open, run, f"it ends, and {[name(key) for key in run.open]} are open")
        forced = bool(data.get("forced"))
        self._expect(forced == run.terminated, run, f"forced: {forced}, terminated: {run.terminated}")
        if data["type"] != "completed" and not forced:
            left = [name(key) for key in run.undoable]
            self._expect(not left, run, f"it ends, and {left} are not undone")
            self._expect(list(data.get("compensated") or ()) == run.undone, run, f"not {run.undone}")
            listed = list(data.get("not_compensated") or ())
            kept = [node for node in run.reused if self.undoes(run.origin["workflow_id"], node)]
            not_undone = [*run.not_undone, *kept]
            self._expect(listed == not_undone, run, f"{listed}, not {not_undone}")

    _completed = _failed = _cancelled = _end

    # --- a commit ------------------------------------------------------------------------------------------

    def _after(self, run: Run) -> None:
        """What holds between two commits."""
        if run.state in TERMINAL.values() and run.end is None:
            self.fault(f"{run.run_id}: {run.state}, and no terminal event")
        backs_off = any(step.retry_at is not None for step in run.open.values())
        if run.end is None and run.state in ("running", "retrying"):
            self._expect(
                backs_off == (run.state == "retrying"), run, f"{run.state}, backing off: {backs_off}"
            )
        self._expect(run.state != "queued" or not run.open, run, "it is queued, and works")
        self._family(run)

    def _family(self, run: Run) -> None:
        """A child's end is its parent's answer: both change in one commit."""
        parent = self.ids.get(run.origin.get("parent_run_id") or "")
        if parent is not None:
            self._expect(parent.origin["tenant"] == run.origin["tenant"], run, "its parent is another's")
            waits = any(
                step.opened.get("child_run_id") == run.run_id and step.retry_at is None
                for step in parent.open.values()
            )
            if waits == (run.end is not None):
                self.fault(f"{run.run_id} has ended: {run.end is not None}, {parent.run_id} waits: {waits}")
        for step in run.open.values():
            child = step.opened.get("child_run_id")
            if child and step.retry_at is None and (child not in self.ids or self.ids[child].end is not None):
                self.fault(f"{run.run_id} waits for {child}, which has ended or is not there")
