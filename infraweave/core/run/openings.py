"""How entries of each kind of node open, and how their next attempts do.

An entry that needs a preflight (code that returns its prompt, its time or its child's input) is put into
``result.preflight``. A later fact opens it.
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

#: The error code of a node that would get too large an input.
INPUT_TOO_LARGE = "input_too_large"


def open_entry(recorder: TurnRecorder, address: Address) -> None:
    """Open an entry, or request its preflight."""
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
    """Move the entries in ``due_retries`` that need a preflight to ``result.preflight``."""
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
    """Open an attempt that calls code or starts a child. If its input is too large, it fails at once."""
    if recorder.child_inputs and address in recorder.child_inputs:
        child = child_run_id(recorder.state.run_id, address, attempt, recorder.now)
        _started(recorder, address, attempt, recorder.child_inputs[address], child)
        return
    try:
        inputs = _inputs(recorder, address)
    except TooLarge as error:
        _started(recorder, address, attempt)
        entry = recorder.state.entries[address]
        recorder.fail_permanently(entry, INPUT_TOO_LARGE, too_large_message(error), 0)
    else:
        _started(recorder, address, attempt, inputs)


def too_large_message(error: TooLarge) -> str:
    """Return the message of a node that would get too large an input."""
    return f"Its input is too large: together, {error}"


def _started(
    recorder: TurnRecorder, address: Address, attempt: int, inputs: Json = None, child: str | None = None
) -> None:
    before = recorder.state.entries.get(address)
    same = before is not None and bool(inputs) and before.recorded_input == inputs
    node, iteration, index, phase = address
    recorder.add(
        NodeStarted(
            seq=recorder.state.seq + 1,
            at=recorder.now,
            node=node,
            iteration=iteration,
            index=index,
            phase=phase,
            attempt=attempt,
            child_run_id=child,
            input=inputs,
            input_seq=before.recorded_seq if before is not None and same else None,
        )
    )


def fail_to_open(
    recorder: TurnRecorder, address: Address, code: str, message: str, traceback: str | None = None
) -> None:
    """Open an entry and close it as failed, because its preflight failed."""
    before = recorder.state.entries.get(address)
    start_attempt(recorder, address, 1 if before is None else before.attempt + 1)
    if (entry := recorder.state.entries.get(address)) is not None:
        recorder.fail_permanently(entry, code, message, 0, traceback=traceback)


def _inputs(recorder: TurnRecorder, address: Address) -> dict[str, Json]:
    """Return the input of an entry's code."""
    graph, state = recorder.graph, recorder.state
    if address.phase == "compensation":
        undo = graph.compensation(address.node)
        return binding.bind_compensation(graph, state, address, undo.params) if undo else {}
    if address.index is None:
        return binding.bind_inputs(graph, state, address)
    whole = state.entries.get(address.map_entry)
    if whole is not None and whole.input is not None:  # it holds the inputs that all items share
        return binding.item_inputs(graph, state, address)
    return binding.bind_inputs(graph, state, address)


def _open_map(recorder: TurnRecorder, address: Address, node: Map) -> None:
    graph, state = recorder.graph, recorder.state
    items = binding.items_of(state, node)
    total = len(items) if isinstance(items, list) else 0
    try:
        shared = {} if starts_child(node) else binding.shared_inputs(graph, state, address)
    except TooLarge:
        start_attempt(recorder, address, 1)  # it fails for the same reason
        return
    recorder.record(NodeStarted, **address._asdict(), attempt=1, items=total, input=shared or None)
    if isinstance(items, list):
        recorder.advanced_maps.append(address)
    else:
        what = f"{node.over} at {node.pointer}" if node.pointer else node.over
        message = f"{what} is not a list, so {node.name} cannot map over it"
        recorder.fail_permanently(state.entries[address], "input_mismatch", message, 0)


def start_timer(recorder: TurnRecorder, address: Address, wake_at: int) -> None:
    """Open a timer."""
    recorder.record(NodeStarted, **address._asdict(), attempt=1, wake_at=wake_at)


def await_signal(recorder: TurnRecorder, address: Address, node: Signal) -> None:
    """Open a wait for a signal. A signal that came early closes it in the same commit."""
    deadline = _deadline(recorder, node)
    recorder.record(NodeStarted, **address._asdict(), attempt=1, signal=node.name, deadline=deadline)
    _read_mailbox(recorder, address)


def _request_declared_input(recorder: TurnRecorder, address: Address, node: HumanInput, prompt: str) -> None:
    """Request input with the prompt in the document, rendered with the node's parameters."""
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
    """Open the entry of a human node. A signal that came early answers it in the same commit."""
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
