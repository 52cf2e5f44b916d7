"""The check of incoming signals, in the order of the wire contract: duplicate, state of the run, schema.

Delivery is idempotent by run_id and request_id. An announced request_id belongs to its input request alone,
so a late answer never approves another request.
"""

from __future__ import annotations

from typing import assert_never

from infraweave.core.data import sizes
from infraweave.core.data.json_codec import digest
from infraweave.core.data.values import Json, rfc3339
from infraweave.core.run.entries import ClosedWait
from infraweave.core.run.readiness import entry_of
from infraweave.core.run.state import RunState
from infraweave.core.workflow.document import Loop, signal_schemas
from infraweave.core.workflow.graph import Graph
from infraweave.errors import (
    Fault,
    PayloadInvalid,
    RunFinished,
    RunStopping,
    SignalConflict,
    SignalNotFound,
)


def check_signal(
    graph: Graph,
    state: RunState,
    name: str,
    request_id: str,
    payload: Json,
    faults: list[Fault],
) -> bool:
    """Return True for a new signal, and False for a duplicate, which changes nothing.

    ``faults``: the faults of the payload under the schema of the signal.

    Raises:
        SignalConflict: the request_id was used for another signal or payload; or its request is closed; or
            no node that waits for the signal can open again; or too many bytes of signals wait already.
        SignalNotFound: the workflow declares no such signal.
        RunFinished: the run is terminal.
        RunStopping: the run is being cancelled or rolled back.
        PayloadInvalid: the payload does not match the schema. An open request stays open.
    """
    if _is_duplicate(state, name, request_id, payload):
        return False
    schemas = signal_schemas(graph.document)
    if name not in schemas:
        raise SignalNotFound(_unknown(graph, name, list(schemas)))
    if state.end is not None:
        raise RunFinished(f"Run {state.run_id} is {state.state} and accepts no more signals.")
    if state.stopping is not None:
        raise RunStopping(
            f"Run {state.run_id} is stopping ({state.stopping.outcome}) and accepts no more signals."
        )
    _check_announced(state, name, request_id)
    if not _can_open(graph, state, name):
        ending = _ending(state.closed_waits.get(entry_of(graph, state, name)))
        raise SignalConflict(f"No node in run {state.run_id} waits for {name} any more: {ending}.")
    faults = faults or graph.model_faults(name, payload)
    if faults:
        raise PayloadInvalid(
            f"The payload does not match the schema of {name}: {faults[0].sentence}",
            details=faults,
        )
    if state.oldest_wait(name) is None:
        _check_mailbox(state, name, payload)
    return True


def _check_mailbox(state: RunState, name: str, payload: Json) -> None:
    """Refuse an early signal if too many bytes of signals wait in the mailbox."""
    try:
        sizes.check_size([payload, *(signal.payload for kept in state.mailbox.values() for signal in kept)])
    except sizes.TooLarge as error:
        message = (
            f"Signal {name} came before its node, and with it more than {sizes.MAX_VALUE_BYTES:,} bytes of"
            f" signals wait in run {state.run_id}; send it once the node waits for it."
        )
        raise SignalConflict(message) from error


def _is_duplicate(state: RunState, name: str, request_id: str, payload: Json) -> bool:
    before = state.delivered.get(request_id)
    if before is None:
        return False
    if before.name != name:
        raise SignalConflict(f"request_id {request_id} was delivered as signal {before.name}, not {name}.")
    if before.digest != digest(payload):
        raise SignalConflict(f"request_id {request_id} was delivered with another payload.")
    return True


def _check_announced(state: RunState, name: str, request_id: str) -> None:
    address = state.announced.get(request_id)
    if address is None:
        return
    if state.request(request_id) is None:
        ending = _ending(state.closed_waits.get(address))
        raise SignalConflict(f"The input request {request_id} is closed: {ending}.")
    if address.node != name:
        raise SignalConflict(f"The input request {request_id} belongs to signal {address.node}, not {name}.")


def _can_open(graph: Graph, state: RunState, name: str) -> bool:
    """Tell whether the node of a signal waits for it, or may still do so."""
    if name not in state.settled:
        return True
    around = (region.condition for region in graph.regions.values() if name in region.nodes)
    return any(_may_repeat(graph, state, condition) for condition in around)


def _may_repeat(graph: Graph, state: RunState, condition: str) -> bool:
    node = graph.nodes[condition]
    most = node.max_iterations if isinstance(node, Loop) else 0
    return condition not in state.settled and state.repetitions.get(condition, 0) + 1 < most


def _ending(closed: ClosedWait | None) -> str:
    """Return how a wait for a signal ended, in words."""
    if closed is None:
        return "the run has skipped it"
    at = rfc3339(closed.at)
    match closed.how:
        case "answered":
            return f"{closed.by or 'somebody'} answered it at {at}, with the request_id {closed.request_id}"
        case "timed_out":
            return f"nobody answered in time; its deadline was {at}"
        case "withdrawn":
            return f"it was withdrawn at {at}, because the run went on without it"
        case _:
            assert_never(closed.how)


def _unknown(graph: Graph, name: str, names: list[str]) -> str:
    known = f"it declares {', '.join(names)}" if names else "it declares none"
    return f"Workflow {graph.document.workflow_id} has no signal {name}; {known}."
