"""What a state says, as plain JSON with names of its own: what a stored history must give for ever.

A field that the state gains later is not here, and changes no portrait that was stored.
"""

from __future__ import annotations

from typing import Any

import attrs

from infraweave.core.run.state import RunState


def portrait(state: RunState) -> dict[str, Any]:
    """Return what is compared with what was stored."""
    origin = state.origin
    return {
        "run_id": state.run_id,
        "seq": state.seq,
        "state": state.state,
        "workflow": None if origin is None else [origin.tenant, origin.workflow_id, origin.workflow_version],
        "parent": None if origin is None else origin.parent_run_id,
        "tags": None if origin is None else origin.tags,
        "times": [state.created_at, state.started_at, state.finished_at],
        "cancel_requested": state.cancel_requested,
        "input": state.input,
        "end": None if state.end is None else {"type": state.end.type, **attrs.asdict(state.end)},
        "due_at": state.due_at(),
        "entries": {str(address): _entry(entry) for address, entry in state.entries.items()},
        "nodes": {name: _node(node) for name, node in state.nodes.items()},
        "settled": state.settled,
        "outputs": state.outputs,
        "routes": {name: list(routes) for name, routes in state.routes.items()},
        "iterations": state.iterations,
        "done": [str(address) for address in state.completed],
        "compensated": [str(address) for address in state.compensated],
        "not_compensated": [str(address) for address in state.not_compensated],
        "mailbox": {name: [signal.request_id for signal in kept] for name, kept in state.mailbox.items()},
        "delivered": sorted(state.delivered),
        "announced": {request_id: str(address) for request_id, address in state.announced.items()},
        "usage": [state.tokens, state.cost_micro_usd],
    }


def _node(node: Any) -> dict[str, Any]:
    names = (
        *("state", "attempts", "iterations", "started_at", "finished_at", "latency_ms"),
        *("tokens", "cost_micro_usd"),
    )
    return {name: getattr(node, name) for name in names}


def _entry(entry: Any) -> dict[str, Any]:
    names = (
        "status",
        "attempt",
        "failures",
        "interruptions",
        "opened_at",
        "due_at",
        "signal",
        "child_run_id",
    )
    return {name: getattr(entry, name) for name in names}
