"""The openings: how each kind of node begins, and begins again.

What needs something first that is not the core's to do (a function that makes a prompt, a child's workflow)
is left in ``result.preflight``; a fact says later that it may open.
"""

from __future__ import annotations

from typing import assert_never

from infraweave.core.data.sizes import TooLarge
from infraweave.core.data.template import TemplateError, TemplateTooLarge, render
from infraweave.core.data.values import Json
from infraweave.core.run import binding
from infraweave.core.run.address import Address
from infraweave.core.run.events import InputRequested, NodeStarted
from infraweave.core.run.ids import child_run_id, input_request_id
from infraweave.core.run.recorder import TurnRecorder
from infraweave.core.workflow.document import (
    Activity,
    Http,
    HumanInput,
    Loop,
    Map,
    Router,
    Signal,
    Subworkflow,
    Timer,
    Wait,
    starts_child,
)

#: The code of nodes that would be given too much.
INPUT_TOO_LARGE = "input_too_large"


def open_entry(recorder: TurnRecorder, address: Address) -> None:
    """Open an entry, or leave it to be prepared."""
    node = recorder.graph.nodes[address.node]
    match node:
        case Activity() | Router() | Loop() | Http():
            start_attempt(recorder, address, 1)
        case Map():
            _open_map(recorder, address, node)
        case HumanInput() if node.prompt is not None:
            _request_declared_input(recorder, address, node, node.prompt)
        case Signal():
            await_signal(recorder, address, node)
        case Timer() if node.delay is not None:
            start_timer(recorder, address, recorder.now + round(node.delay * 1000))
        case HumanInput() | Timer() | Subworkflow():
            recorder.result.preflight.append(address)
        case _:
            assert_never(node)


def preflight_retries(recorder: TurnRecorder) -> None:
    """Move the children in ``due_retries`` that need preparation to ``result.preflight``."""
    for address in [a for a in recorder.due_retries if _needs_preflight(recorder, a)]:
        recorder.due_retries.remove(address)
        recorder.result.preflight.append(address)


def _needs_preflight(recorder: TurnRecorder, address: Address) -> bool:
    forward = address.phase == "forward" and address not in recorder.child_inputs
    return forward and starts_child(recorder.graph.nodes[address.node])


def start_due_retries(recorder: TurnRecorder) -> None:
    """Open the next attempt of each entry in ``recorder.due_retries``."""
    for address in recorder.due_retries:
        start_attempt(recorder, address, recorder.state.entries[address].attempt + 1)
    recorder.due_retries = []


def start_attempt(recorder: TurnRecorder, address: Address, attempt: int) -> None:
    """Open an attempt of code, or of a child; it fails at once where it would be given too much."""
    if address in recorder.child_inputs:
        child = child_run_id(recorder.state.run_id, address, attempt, recorder.now)
        _started(recorder, address, attempt, recorder.child_inputs[address], child)
        return
    try:
        given = _inputs(recorder, address)
    except TooLarge as error:
        _started(recorder, address, attempt)
        recorder.fail_permanently(
            recorder.state.entries[address], INPUT_TOO_LARGE, too_large_message(error), 0
        )
    else:
        _started(recorder, address, attempt, given)


def too_large_message(error: TooLarge) -> str:
    """Return why a node fails that would be given too much."""
    return f"What it is to be given is too large: together, {error}"


def _started(
    recorder: TurnRecorder, address: Address, attempt: int, given: Json = None, child: str | None = None
) -> None:
    before = recorder.state.entries.get(address)
    same = before is not None and bool(given) and before.recorded_input == given
    recorder.record(
        NodeStarted,
        **address._asdict(),
        attempt=attempt,
        child_run_id=child,
        input=given,
        input_seq=before.recorded_seq if before is not None and same else None,
    )


def fail_to_open(
    recorder: TurnRecorder, address: Address, code: str, message: str, traceback: str | None = None
) -> None:
    """Open an entry only to close it as failed for good: what must come before it failed."""
    before = recorder.state.entries.get(address)
    start_attempt(recorder, address, 1 if before is None else before.attempt + 1)
    if (entry := recorder.state.entries.get(address)) is not None:
        recorder.fail_permanently(entry, code, message, 0, traceback=traceback)


def _inputs(recorder: TurnRecorder, address: Address) -> dict[str, Json]:
    """Return what the code of an entry is given."""
    if address.phase == "compensation":
        undo = recorder.graph.compensation(address.node)
        return binding.bind_compensation(recorder.graph, recorder.state, address, undo.params) if undo else {}
    whole = recorder.state.entries.get(address._replace(index=None)) if address.index is not None else None
    if whole is not None and whole.input is not None:  # what all items are given stands there, once
        return binding.item_inputs(recorder.graph, recorder.state, address)
    return binding.bind_inputs(recorder.graph, recorder.state, address)


def _open_map(recorder: TurnRecorder, address: Address, node: Map) -> None:
    items = binding.items_of(recorder.state, node)
    total = len(items) if isinstance(items, list) else 0
    try:
        shared = (
            None
            if starts_child(node)
            else binding.shared_inputs(recorder.graph, recorder.state, address) or None
        )
    except TooLarge:
        start_attempt(recorder, address, 1)  # it fails for the same reason
        return
    recorder.record(NodeStarted, **address._asdict(), attempt=1, items=total, input=shared)
    if isinstance(items, list):
        recorder.advanced_maps.append(address)
    else:
        what = f"{node.over} at {node.pointer}" if node.pointer else node.over
        message = f"{what} is no list, so {node.name} cannot go over it"
        recorder.fail_permanently(recorder.state.entries[address], "input_mismatch", message, 0)


def start_timer(recorder: TurnRecorder, address: Address, wake_at: int) -> None:
    """Open a timer."""
    recorder.record(NodeStarted, **address._asdict(), attempt=1, wake_at=wake_at)


def await_signal(recorder: TurnRecorder, address: Address, node: Signal) -> None:
    """Open a wait for a signal; one that came early ends it in the same commit."""
    deadline = _deadline(recorder, node)
    recorder.record(NodeStarted, **address._asdict(), attempt=1, signal=node.name, deadline=deadline)
    _read_mailbox(recorder, address)


def _request_declared_input(recorder: TurnRecorder, address: Address, node: HumanInput, prompt: str) -> None:
    """Ask with the prompt that the document has, its places filled with the node's params."""
    try:
        absent = {param.name: None for param in node.params}
        filled = render(prompt, {**absent, **_inputs(recorder, address)}) if node.params else prompt
    except TemplateTooLarge as error:
        fail_to_open(recorder, address, INPUT_TOO_LARGE, f"The prompt: {error}")
    except TooLarge:
        start_attempt(recorder, address, 1)
    except TemplateError as error:
        fail_to_open(recorder, address, "input_mismatch", f"The prompt: {error}")
    else:
        request_input(recorder, address, node, filled)


def request_input(
    recorder: TurnRecorder, address: Address, node: HumanInput, prompt: str, data: Json = None
) -> None:
    """Open a human node's entry; a signal that came early answers it in the same commit."""
    recorder.record(
        InputRequested,
        node=node.name,
        iteration=address.iteration,
        index=address.index,
        request_id=input_request_id(recorder.state.run_id, address),
        signal=node.name,
        prompt=prompt,
        schema=node.schema,
        deadline=_deadline(recorder, node),
        data=data,
    )
    _read_mailbox(recorder, address)


def _deadline(recorder: TurnRecorder, node: Wait) -> int | None:
    return None if node.timeout is None else recorder.now + round(node.timeout * 1000)


def _read_mailbox(recorder: TurnRecorder, address: Address) -> None:
    signals = recorder.state.mailbox.get(address.node)
    if signals:
        recorder.receive(recorder.state.entries[address], signals[0])
