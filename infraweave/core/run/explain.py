"""Explain to a person in one sentence why a run is not moving."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from infraweave.core.data.values import format_duration, rfc3339
from infraweave.core.records import frozen
from infraweave.core.run.address import Address
from infraweave.core.run.entries import Entry
from infraweave.core.run.events import Cancelled, Failed, RunError
from infraweave.core.run.state import RunState
from infraweave.core.workflow.document import Map, Timer
from infraweave.core.workflow.graph import Graph

#: The number of entries that one sentence names.
_LISTED = 3


@frozen
class Explanation:
    """The sentence. ``moving``: the run is not waiting, because its code is running."""

    moving: bool
    sentence: str


def explain(
    graph: Graph,
    state: RunState,
    now: int,
    *,
    blocked: Sequence[str] = (),
    queued: str = "",
    not_started: Mapping[Address, str] | None = None,
) -> Explanation:
    """Return why a run is not moving, or that it is.

    ``blocked``: the nodes whose code is not loaded. ``queued``: the reason why a queued run waits.
    ``not_started``: what the open attempts wait for whose code has not been called.
    """
    if state.end is not None:
        return Explanation(False, _ended(state))
    if state.state == "queued":
        return Explanation(False, f"It is queued: {queued}.")
    entries = list(state.entries.values())
    running, not_started = [entry for entry in entries if entry.status == "running"], not_started or {}
    moving = [_runs(entry) for entry in running if entry.address not in not_started]
    waiting = [f"{_name(e)} waits for {not_started[e.address]}" for e in running if e.address in not_started]
    waiting += [f"no code for {name} is loaded, so it cannot open" for name in blocked]
    waiting += [_waits(graph, entry, now) for entry in entries if _counts(state, entry, blocked)]
    why = _stopping(state)
    if moving:
        return Explanation(True, f"{why or 'It is moving'}: {_listed(moving)}.")
    if waiting:
        return Explanation(False, f"{why or 'It waits'}: {_listed(waiting)}.")
    return Explanation(True, f"{why or 'It is about to go on'}.")


def _ended(state: RunState) -> str:
    at = rfc3339(state.finished_at or 0)
    if isinstance(state.end, Failed | Cancelled):
        verb = "failed" if isinstance(state.end, Failed) else "was cancelled"
        return f"It {verb} at {at}: {_cause(state.end.error)}."
    return f"It succeeded at {at}."


def _stopping(state: RunState) -> str:
    if state.stopping is None:
        return ""
    verb = "being cancelled" if state.stopping.outcome == "cancelled" else "failing"
    return f"It is {verb} ({_cause(state.stopping.error)})"


def _cause(error: RunError) -> str:
    """Return the message of an error and its node, without a full stop."""
    message = error.message.rstrip(".")
    if error.node is None:
        return message
    return f"{Address(error.node, error.iteration, error.index)}: {message}"


def _runs(entry: Entry) -> str:
    return f"{_name(entry)} has been running since {rfc3339(entry.opened_at)} (attempt {entry.attempt})"


def _name(entry: Entry) -> str:
    name = str(entry.address.forward)
    return f"the compensation of {name}" if entry.address.phase == "compensation" else name


def _counts(state: RunState, entry: Entry, blocked: Collection[str]) -> bool:
    """Tell whether a run waits for this entry.

    A map with open items waits for them. An entry in backoff whose code is not loaded waits for the code.
    """
    if entry.status == "running" or (entry.status == "backoff" and entry.address.node in blocked):
        return False
    items = state.maps.get(entry.address)
    return items is None or not items.open


def _waits(graph: Graph, entry: Entry, now: int) -> str:
    name = entry.address
    if entry.status == "backoff":
        wait = format_duration(max(0, (entry.due_at or now) - now) / 1000)
        return f"attempt {entry.attempt} of {_name(entry)} failed, and the next begins in {wait}"
    until = "" if entry.due_at is None else f", until {rfc3339(entry.due_at)}"
    since = rfc3339(entry.opened_at)
    if entry.request is not None:
        prompt = " ".join(entry.request.prompt.split())
        return f"a person must answer {name} ({prompt!r:.100}), asked at {since}{until}"
    if entry.signal is not None:
        return f"no signal {entry.signal} has come since {since}{until}"
    if entry.child_run_id is not None:
        return f"{name} has waited for its child run {entry.child_run_id} since {since}"
    if isinstance(graph.nodes[name.node], Timer):
        return f"{name} sleeps{until}"
    what = "its items" if isinstance(graph.nodes[name.node], Map) else "its result"
    return f"{name} waits for {what}"


def _listed(parts: Iterable[str]) -> str:
    every = list(parts)
    more = len(every) - _LISTED
    return "; ".join(every[:_LISTED]) + (f"; and {more:,} more" if more > 0 else "")
