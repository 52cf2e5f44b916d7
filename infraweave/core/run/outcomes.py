"""What the result of an attempt, or of a child run, means for its node.

A result of an attempt that is no longer open changes nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from infraweave.core.data.json_codec import measured
from infraweave.core.data.json_schema import validator
from infraweave.core.data.sizes import MAX_VALUE_BYTES, json_size
from infraweave.core.data.values import Json
from infraweave.core.run.entries import Entry
from infraweave.core.run.facts import AttemptFailed, AttemptInterrupted, AttemptSucceeded, ChildEnded
from infraweave.core.run.recorder import TurnRecorder
from infraweave.core.run.state import RunState
from infraweave.core.workflow.document import Loop, Map, Node, Router, Subworkflow

#: The nodes whose output decides something.
_DECIDING = (Map, Loop, Router)


def failed(recorder: TurnRecorder, fact: AttemptFailed) -> None:
    """Close an attempt that failed."""
    entry = _in_flight(recorder.state, fact)
    if entry is not None:
        recorder.fail(entry, fact)


def interrupted(recorder: TurnRecorder, fact: AttemptInterrupted) -> None:
    """Close an attempt that the shutdown of the server ends."""
    entry = _in_flight(recorder.state, fact)
    if entry is not None and not recorder.is_abandoned(entry):
        recorder.interrupt_by_shutdown(entry, fact)


def _in_flight(state: RunState, fact: AttemptSucceeded | AttemptFailed | AttemptInterrupted) -> Entry | None:
    entry = state.entries.get(fact.address)
    return entry if entry and entry.status == "running" and entry.attempt == fact.attempt else None


def succeeded(recorder: TurnRecorder, fact: AttemptSucceeded) -> None:
    """Close an attempt that returned, as its output says: a router chooses, a loop repeats or ends."""
    entry = _in_flight(recorder.state, fact)
    if entry is None:
        return
    node = recorder.graph.nodes[fact.address.node]
    if not isinstance(node, _DECIDING) or fact.address.phase == "compensation":
        recorder.complete(entry, fact.latency_ms, fact.usage, fact.output)  # nearly all: nothing to decide
        return
    fields = _decision(recorder, entry, node, fact.output)
    if isinstance(fields, _Rejection):
        recorder.fail_permanently(entry, fields.code, fields.message, fact.latency_ms, fact.usage)
    else:
        recorder.complete(entry, fact.latency_ms, fact.usage, fact.output, **fields)


class _Rejection(NamedTuple):
    """Why an output is not accepted."""

    code: str
    message: str


def _decision(
    recorder: TurnRecorder, entry: Entry, node: Map | Loop | Router, output: Json
) -> dict[str, Any] | _Rejection:
    """Return the event fields with which a router or the condition of a loop decides."""
    if isinstance(node, Map):
        return _overflow(entry, output) or {}
    if isinstance(node, Loop):
        return _repetition(recorder, node, output)
    routes = _chosen(node, output)
    return _Rejection("unknown_route", routes) if isinstance(routes, str) else {"routes": routes}


def _overflow(entry: Entry, output: Json) -> _Rejection | None:
    """Return why the result of an item does not fit into the results of its map."""
    items = entry.item_of
    if items is None or items.size + json_size(output) <= MAX_VALUE_BYTES:
        return None
    message = (
        f"With this item, the results of {entry.address.node} would have more than"
        f" {MAX_VALUE_BYTES:,} bytes as JSON"
    )
    return _Rejection("output_too_large", message)


def _repetition(recorder: TurnRecorder, node: Loop, output: Json) -> dict[str, Any] | _Rejection:
    if not isinstance(output, bool):
        return _Rejection("output_invalid", f"{node.name} returned {output!r:.200}; expected True or False")
    if output and recorder.state.repetitions.get(node.name, 0) + 1 >= node.max_iterations:
        if node.on_exhausted == "fail":
            times = f"{node.max_iterations} iterations" if node.max_iterations > 1 else "one iteration"
            return _Rejection("loop_exhausted", f"{node.name} would go on after {times}, its max_iterations")
        output = False
    return {"again": output, "repeats": recorder.graph.repeated(node.name) if output else ()}


def _chosen(node: Router, output: Json) -> tuple[str, ...] | str:
    """Return the routes in the output of a router, or the message of an invalid output."""
    names = [output] if isinstance(output, str) else output
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return f"{node.name} returned {output!r:.200}; expected a route, a list of routes, or []"
    unknown = [name for name in names if name not in node.routes]
    if unknown:
        return f"{node.name} returned the unknown route {unknown[0]!r:.200}; it has {', '.join(node.routes)}"
    if len(names) > 1 and not node.many:
        return f"{node.name} is declared to return one route and returned {', '.join(names)}"
    return tuple(name for name in node.routes if name in names)


def child_ended(recorder: TurnRecorder, fact: ChildEnded) -> None:
    """Close the attempt whose child run ended."""
    entry = recorder.state.entries.get(fact.address)
    if entry is None or entry.child_run_id != fact.child_run_id:
        return
    latency_ms = recorder.open_ms(entry)
    problem = _child_problem(recorder.graph.nodes[fact.address.node], fact) or _overflow(entry, fact.output)
    if problem is None:
        recorder.complete(entry, latency_ms, output=fact.output)
        return
    stopped = fact.state == "cancelled" and recorder.is_abandoned(entry)
    code = "cancelled" if stopped else problem.code
    recorder.fail(
        entry,
        AttemptFailed(
            address=fact.address,
            attempt=fact.attempt,
            code=code,
            message=problem.message,
            latency_ms=latency_ms,
            final=problem.code in ("output_invalid", "output_too_large"),
            chance=fact.chance,
        ),
    )


def _child_problem(node: Node, fact: ChildEnded) -> _Rejection | None:
    """Return why the end of a child run is not a success of its parent's entry."""
    if fact.state == "succeeded":
        try:
            measured(fact.output)
        except ValueError as error:  # a result that combines several outputs may be nested too deeply
            return _Rejection(
                "output_invalid", f"The result of child {fact.child_run_id} cannot be kept: {error}"
            )
        schema = node.schema if isinstance(node, Subworkflow | Map) else None
        faults = [] if schema is None else validator(schema).faults(fact.output)
        if not faults:
            return None
        message = f"The result of child {fact.child_run_id} does not fit: {faults[0].sentence}"
        return _Rejection("output_invalid", message)
    why = f": {fact.error.message}" if fact.error else ""
    return _Rejection(f"child_{fact.state}", f"Child {fact.child_run_id} {fact.state}{why}")
