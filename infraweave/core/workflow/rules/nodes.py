"""What makes a node valid in itself: its numbers, its schemas, and what goes with what."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import assert_never

from infraweave.core.data import template
from infraweave.core.data.expressions import faults as expression_faults
from infraweave.core.data.json_schema import schema_faults, validator
from infraweave.core.data.values import MAX_DURATION, format_duration, is_pointer
from infraweave.core.workflow.document import (
    Activity,
    Compensation,
    Http,
    HumanInput,
    Loop,
    Map,
    Node,
    Retry,
    Router,
    Signal,
    Subworkflow,
    Timer,
    Wait,
)
from infraweave.core.workflow.http_request import request_faults

#: What ids and versions of workflows look like.
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def own_faults(node: Node) -> Iterator[str]:
    """Yield what is wrong with a node in itself."""
    match node:
        case Activity():
            yield from _running(node.retry, node.timeout)
            yield from _expressed(node, "a node", "makes its output")
        case Http():
            yield from _running(node.retry, node.timeout)
            yield from request_faults(node.request, {param.name for param in node.params})
        case Router():
            yield from _running(node.retry, node.timeout)
            yield from _expressed(node, "a router", "chooses")
        case Loop():
            yield from _running(node.retry, node.timeout)
            yield from _expressed(node, "a loop", "tells whether to repeat")
            yield from _at_least("max_iterations", node.max_iterations, 1)
            if node.join == "any":
                yield "a loop's condition cannot join any: it waits for all that it repeats"
        case Map():
            yield from _map(node)
        case Subworkflow():
            yield from _running(node.retry, None)
            yield from _child(node)
        case HumanInput() | Signal():
            yield from _wait(node)
        case Timer():
            yield from _timer(node)
        case _:
            assert_never(node)
    if isinstance(node, Activity | Map | Subworkflow | Http) and node.compensate is not None:
        yield from (f"compensate: {fault}" for fault in _undo(node.compensate))


def _expressed(node: Activity | Router | Loop, kind: str, does: str) -> Iterator[str]:
    if (node.code is None) == (node.expression is None):
        rest = "; neither is there" if node.code is None else ", not both"
        yield f"{kind} needs a function or an expression that {does}{rest}"
    yield from _expression(node)


def _expression(node: Activity | Router | Loop | Timer) -> Iterator[str]:
    if node.expression is not None:
        yield from expression_faults(node.expression, {param.name for param in node.params})


def _undo(undo: Compensation) -> Iterator[str]:
    yield from _running(undo.retry, undo.timeout)
    if (undo.code is None) == (undo.request is None):
        rest = "; neither is there" if undo.code is None else ", not both"
        yield f"it needs a function or a request that undoes{rest}"
    if undo.request is not None:
        yield from request_faults(undo.request, {param.name for param in undo.params})


def _timer(node: Timer) -> Iterator[str]:
    if [node.delay, node.code, node.expression].count(None) != 2:
        yield "a timer needs one of a delay, a function or an expression that returns one"
    yield from _expression(node)
    if node.delay is not None:
        yield from _within("delay", node.delay, 0)


def _map(node: Map) -> Iterator[str]:
    yield from _running(node.retry, node.timeout)
    yield from _at_least("max_concurrency", node.max_concurrency, 1)
    yield from _at_least("max_failures", node.max_failures, 0)
    if node.join == "any":
        yield "a map cannot join any: it needs its list"
    if not is_pointer(node.pointer):
        yield f"pointer {node.pointer!r:.100} is no JSON Pointer such as /items"
    if node.request is not None:
        yield from request_faults(node.request, {param.name for param in node.params})
        if node.timeout is None:
            yield "a map of requests needs a timeout"
    if node.workflow_id is not None:
        yield from _child(node)
    elif (node.code is None) == (node.request is None):
        yield "a map needs code, a request, or a workflow_id"
    elif node.schema is not None or node.workflow_version is not None:
        yield "schema and workflow_version go with a workflow_id"
    if node.workflow_id is not None and node.request is not None:
        yield "a map needs code, a request, or a workflow_id"


def _child(node: Map | Subworkflow) -> Iterator[str]:
    if node.workflow_id is not None and not ID.fullmatch(node.workflow_id):
        yield f"workflow_id {said(node.workflow_id)} must be 1 to 128 letters, digits, . _ or -"
    if node.workflow_version is not None and not ID.fullmatch(node.workflow_version):
        yield f"workflow_version {said(node.workflow_version)} must be 1 to 128 letters, digits, . _ or -"
    if node.schema is not None:
        yield from (f"schema: {fault}" for fault in schema_faults(node.schema))


def _wait(node: Wait) -> Iterator[str]:
    if isinstance(node, HumanInput) and (node.prompt is None) == (node.code is None):
        yield "a human input needs a prompt or a function that returns one, not both"
    if isinstance(node, HumanInput) and node.prompt is not None and node.params:
        yield from template.faults(node.prompt, {param.name for param in node.params})
    found = [f"schema: {fault}" for fault in schema_faults(node.schema)]
    yield from found
    yield from _timeout(node.timeout)
    if node.on_timeout != "fail" and node.timeout is None:
        yield "on_timeout needs a timeout"
    if (node.on_timeout == "route") != (node.timeout_route is not None):
        yield "timeout_route goes with on_timeout: route"
    if node.on_timeout == "value" and not found:
        for fault in validator(node.schema).faults(node.timeout_value)[:1]:
            yield f"timeout_value does not fit the schema: {fault.path or '/'} {fault.message}"


def _at_least(name: str, number: int, least: int) -> Iterator[str]:
    if number < least:
        yield f"{name} is {number}; expected {least} or more"


def _running(retry: Retry, timeout: float | None) -> Iterator[str]:
    yield from _timeout(timeout)
    if retry.max_attempts < 1:
        yield f"retry.max_attempts is {retry.max_attempts}; expected 1 or more"
    yield from _within("retry.initial", retry.initial, 0)
    yield from _within("retry.factor", retry.factor, 1)
    yield from _within("retry.maximum", retry.maximum, 0)


def _timeout(timeout: float | None) -> Iterator[str]:
    if timeout is not None and not timeout > 0:
        yield f"timeout is {timeout}; expected more than 0 seconds"
    elif timeout is not None:
        yield from _within("timeout", timeout, 0)


def _within(name: str, number: float, least: float) -> Iterator[str]:
    if not (math.isfinite(number) and number >= least):
        yield f"{name} is {number}; expected {least} or more"
    elif number > MAX_DURATION:
        yield f"{name} is {number:g}; expected at most {MAX_DURATION:g} ({format_duration(MAX_DURATION)})"


def said(name: str) -> str:
    """Return a name as messages show it."""
    return repr(name if len(name) <= 128 else name[:127] + "…")
