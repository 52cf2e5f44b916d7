"""Checks each node by itself: its numbers, its schemas, and which fields can be combined."""

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
    Param,
    Request,
    Retry,
    Router,
    Signal,
    Subworkflow,
    Timer,
    Wait,
)
from infraweave.core.workflow.http_request import request_faults
from infraweave.core.workflow.secret_refs import SECRET
from infraweave.errors import Fault

#: The ids and versions of workflows.
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def node_faults(node: Node) -> Iterator[Fault]:
    """Yield the faults of a node by itself; paths are relative to the node."""
    match node:
        case Activity():
            yield from _attempts(node.retry, node.timeout)
            yield from _code_or_expression(node, "a node", "makes its output")
        case Http():
            yield from _attempts(node.retry, node.timeout)
            yield from _request(node.request, node.params)
        case Router():
            yield from _attempts(node.retry, node.timeout)
            yield from _code_or_expression(node, "a router", "chooses")
        case Loop():
            yield from _loop(node)
        case Map():
            yield from _map(node)
        case Subworkflow():
            yield from _attempts(node.retry, None)
            yield from _child(node)
        case HumanInput() | Signal():
            yield from _wait(node)
        case Timer():
            yield from _timer(node)
        case _:
            assert_never(node)
    if isinstance(node, Activity | Map | Subworkflow | Http) and node.compensate is not None:
        yield from (fault.within("/compensate", "compensate: ") for fault in _compensation(node.compensate))


def _code_or_expression(node: Activity | Router | Loop, kind: str, does: str) -> Iterator[Fault]:
    if (node.code is None) == (node.expression is None):
        rest = "; it has neither" if node.code is None else ", not both"
        yield Fault("", "conflict", f"{kind} needs a function or an expression that {does}{rest}")
    yield from _expression(node)


def _expression(node: Activity | Router | Loop | Timer) -> Iterator[Fault]:
    if node.expression is not None:
        names = {param.name for param in node.params}
        yield from (fault.within("/expression") for fault in expression_faults(node.expression, names))


def _request(request: Request, params: tuple[Param, ...]) -> Iterator[Fault]:
    for place, param in enumerate(params):
        if param.name == SECRET:
            message = f"parameter {SECRET}: in a request this name stands for the secrets of the server"
            yield Fault(f"/params/{place}", "reserved", message)
    names = {param.name for param in params}
    yield from (fault.within("/request") for fault in request_faults(request, names))


def _compensation(undo: Compensation) -> Iterator[Fault]:
    yield from _attempts(undo.retry, undo.timeout)
    if (undo.code is None) == (undo.request is None):
        rest = "; it has neither" if undo.code is None else ", not both"
        yield Fault("", "conflict", f"it needs a function or a request{rest}")
    if undo.request is not None:
        yield from _request(undo.request, undo.params)


def _loop(node: Loop) -> Iterator[Fault]:
    yield from _attempts(node.retry, node.timeout)
    yield from _code_or_expression(node, "a loop", "tells whether to repeat")
    yield from _at_least("max_iterations", node.max_iterations, 1)
    if node.join == "any":
        yield Fault(
            "", "conflict", "a loop's condition cannot join any: it waits for all nodes that it repeats"
        )


def _timer(node: Timer) -> Iterator[Fault]:
    if [node.delay, node.code, node.expression].count(None) != 2:
        message = "a timer needs one of a delay, a function or an expression that returns one"
        yield Fault("", "conflict", message)
    yield from _expression(node)
    if node.delay is not None:
        yield from _within("delay", node.delay, 0)


def _map(node: Map) -> Iterator[Fault]:
    yield from _attempts(node.retry, node.timeout)
    yield from _at_least("max_concurrency", node.max_concurrency, 1)
    yield from _at_least("max_failures", node.max_failures, 0)
    if node.join == "any":
        yield Fault("", "conflict", "a map cannot join any: it needs its list")
    if not is_pointer(node.pointer):
        message = f"pointer {node.pointer!r:.100} is not a JSON Pointer such as /items"
        yield Fault("/pointer", "format", message)
    yield from _map_work(node)


def _map_work(node: Map) -> Iterator[Fault]:
    if node.request is not None:
        yield from _request(node.request, node.params)
        if node.timeout is None:
            yield Fault("", "conflict", "a map of requests needs a timeout")
    wrong = Fault("", "conflict", "a map needs code, a request, or a workflow_id")
    if node.workflow_id is not None:
        yield from _child(node)
        if node.request is not None:
            yield wrong
    elif (node.code is None) == (node.request is None):
        yield wrong
    elif node.schema is not None or node.workflow_version is not None:
        yield Fault("/schema", "conflict", "schema and workflow_version need a workflow_id")


def _child(node: Map | Subworkflow) -> Iterator[Fault]:
    yield from id_faults("workflow_id", node.workflow_id)
    yield from id_faults("workflow_version", node.workflow_version)
    if node.schema is not None:
        yield from _schema(node.schema)


def id_faults(field: str, text: str | None) -> Iterator[Fault]:
    """Yield the faults of a workflow id or version in a field; None is valid."""
    if text is not None and not ID.fullmatch(text):
        message = f"{field} {shorten(text)} must be 1 to 128 letters, digits, . _ or -"
        yield Fault(f"/{field}", "format", message)


def _schema(schema: object) -> list[Fault]:
    return [fault.within("/schema", "schema: ") for fault in schema_faults(schema)]


def _wait(node: Wait) -> Iterator[Fault]:
    if isinstance(node, HumanInput):
        yield from _prompt(node)
    wrong = _schema(node.schema)
    yield from wrong
    yield from _timeout(node.timeout)
    if node.on_timeout != "fail" and node.timeout is None:
        yield Fault("/on_timeout", "conflict", "on_timeout needs a timeout")
    if (node.on_timeout == "route") != (node.timeout_route is not None):
        yield Fault("/timeout_route", "conflict", "timeout_route goes with on_timeout: route")
    if node.on_timeout == "value" and not wrong:
        for fault in validator(node.schema).faults(node.timeout_value)[:1]:
            message = f"timeout_value does not fit the schema: {fault.sentence}"
            yield Fault("/timeout_value", "conflict", message)


def _prompt(node: HumanInput) -> Iterator[Fault]:
    if (node.prompt is None) == (node.code is None):
        message = "a human input needs a prompt or a function that returns one, not both"
        yield Fault("", "conflict", message)
    if node.prompt is not None and node.params:
        names = {param.name for param in node.params}
        yield from (fault.within("/prompt") for fault in template.faults(node.prompt, names))


def _at_least(field: str, number: int, least: int) -> Iterator[Fault]:
    if number < least:
        yield Fault(f"/{field}", "range", f"{field} is {number}; expected {least} or more")


def _attempts(retry: Retry, timeout: float | None) -> Iterator[Fault]:
    yield from _timeout(timeout)
    if retry.max_attempts < 1:
        message = f"retry.max_attempts is {retry.max_attempts}; expected 1 or more"
        yield Fault("/retry/max_attempts", "range", message)
    yield from _within("retry.initial", retry.initial, 0)
    yield from _within("retry.factor", retry.factor, 1)
    yield from _within("retry.maximum", retry.maximum, 0)


def _timeout(timeout: float | None) -> Iterator[Fault]:
    if timeout is not None and not timeout > 0:
        yield Fault("/timeout", "range", f"timeout is {timeout}; expected more than 0 seconds")
    elif timeout is not None:
        yield from _within("timeout", timeout, 0)


def _within(name: str, number: float, least: float) -> Iterator[Fault]:
    path = "/" + name.replace(".", "/")
    if not (math.isfinite(number) and number >= least):
        yield Fault(path, "range", f"{name} is {number}; expected {least} or more")
    elif number > MAX_DURATION:
        most = f"{MAX_DURATION:g} ({format_duration(MAX_DURATION)})"
        yield Fault(path, "range", f"{name} is {number:g}; expected at most {most}")


def shorten(name: str) -> str:
    """Return a caller's name for a message, quoted and shortened."""
    return repr(name if len(name) <= 128 else name[:127] + "…")
