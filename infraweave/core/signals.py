"""Whether a signal may come in. Checked in the order of the wire contract: duplicate, terminal, schema.

Delivery is idempotent by (run_id, request_id). A request_id that was announced belongs to that request alone,
so that a late answer never approves something else.
"""

from __future__ import annotations

from collections.abc import Callable

from infraweave.core.codec import canonical
from infraweave.core.document import signal_schemas
from infraweave.core.graph import Graph
from infraweave.core.state import RunState
from infraweave.core.values import Json, JsonObject
from infraweave.errors import (
    Fault,
    PayloadInvalid,
    RunFinished,
    RunStopping,
    SignalConflict,
    SignalNotFound,
)


def admit(
    graph: Graph,
    state: RunState,
    name: str,
    request_id: str,
    payload: Json,
    check: Callable[[JsonObject, Json], list[Fault]],
) -> bool:
    """Return True for a signal to record and False for a duplicate, which changes nothing.

    ``check`` returns the faults of a value under a schema.

    Raises:
        SignalConflict: the request_id was used otherwise, or its request is closed.
        SignalNotFound: the definition declares no such signal.
        RunFinished: the run is terminal.
        RunStopping: the run is being cancelled or compensated.
        PayloadInvalid: the payload does not pass the node's schema; an open request stays open.
    """
    if _is_duplicate(state, name, request_id, payload):
        return False
    schemas = signal_schemas(graph.document)
    if name not in schemas:
        raise SignalNotFound(_unknown(graph, name, list(schemas)))
    if state.end is not None:
        raise RunFinished(f"Run {state.run_id} is {state.state} and takes no more signals.")
    if state.stopping is not None:
        raise RunStopping(
            f"Run {state.run_id} is stopping ({state.stopping.outcome}) and takes no more signals."
        )
    _check_announced(state, name, request_id)
    faults = check(schemas[name], payload)
    if faults:
        raise PayloadInvalid(
            f"The payload does not match the schema of {name}: {faults[0].path or '/'} {faults[0].message}",
            details=faults,
        )
    return True


def _is_duplicate(state: RunState, name: str, request_id: str, payload: Json) -> bool:
    before = state.delivered.get(request_id)
    if before is None:
        return False
    if before.name != name:
        raise SignalConflict(f"request_id {request_id} was delivered as signal {before.name}, not {name}.")
    if canonical(before.payload) != canonical(payload):
        raise SignalConflict(f"request_id {request_id} was delivered with another payload.")
    return True


def _check_announced(state: RunState, name: str, request_id: str) -> None:
    address = state.announced.get(request_id)
    if address is None:
        return
    if state.request(request_id) is None:
        raise SignalConflict(f"The input request {request_id} is closed.")
    if address.node != name:
        raise SignalConflict(f"The input request {request_id} belongs to signal {address.node}, not {name}.")


def _unknown(graph: Graph, name: str, names: list[str]) -> str:
    known = f"it declares {', '.join(names)}" if names else "it declares none"
    return f"Workflow {graph.document.workflow_id} has no signal {name}; {known}."
