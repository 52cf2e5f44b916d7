"""Runs as the wire shows them. Pure."""

from __future__ import annotations

from infraweave.api.http.fields import present
from infraweave.api.runs.schemas import (
    InputRequest,
    ListedRun,
    MapItems,
    NodeSummary,
    RerunPlan,
    Run,
    StartedRun,
    StopAcknowledged,
    Usage,
    WaitingFor,
)
from infraweave.core.data.json_codec import embedded
from infraweave.core.data.values import Json, rfc3339
from infraweave.core.run.entries import NodeState
from infraweave.core.run.events import Cancelled, Failed
from infraweave.core.run.state import RunState
from infraweave.core.workflow.document import Signal
from infraweave.core.workflow.graph import Graph
from infraweave.engine.runs.requests import Inspection, PlannedRerun
from infraweave.store.input_requests import OpenRequest
from infraweave.store.runs import ListedRow, RunRow, stored_error


def started(row: RunRow) -> StartedRun:
    """Return the response to a start."""
    return present(StartedRun, row)


def listed(row: RunRow, last_seq: int) -> ListedRun:
    """Return a run as lists show it."""
    usage = Usage(tokens=row.tokens, cost_micro_usd=row.cost_micro_usd)
    return present(ListedRun, row, last_seq=last_seq, set_aside=None, usage=usage)


def listed_row(row: ListedRow, set_aside: bool = False) -> Json:
    """Return a run as ``listed`` does, but as JSON, and from its row as it is stored.

    A list has up to 200 runs, so no object is made for one, and its tags are sent as they are stored.
    """
    started_at, finished_at = row.started_at, row.finished_at
    return {
        "run_id": row.run_id,
        "state": row.state,
        "workflow_id": row.workflow_id,
        "workflow_version": row.workflow_version,
        "trigger": row.trigger,
        "tags": embedded(row.tags),
        "created_at": rfc3339(row.created_at),
        "started_at": None if started_at is None else rfc3339(started_at),
        "finished_at": None if finished_at is None else rfc3339(finished_at),
        "error": None if row.error is None else stored_error(row.error),
        "parent_run_id": row.parent_run_id,
        "trace_id": row.trace_id,
        **({} if row.start_at is None else {"start_at": rfc3339(row.start_at)}),
        "cancel_requested": bool(row.cancel_requested),
        "forced": bool(row.forced),
        "last_seq": row.last_seq or 0,
        **({"set_aside": True} if set_aside else {}),
        "usage": {"tokens": row.tokens, "cost_micro_usd": row.cost_micro_usd},
    }


def run(row: RunRow, inspection: Inspection, set_aside: bool = False) -> Run:
    """Return a run with all its fields.

    All that changes comes from the inspected events, not from the row, so that it is of one moment.
    """
    state = inspection.state
    end = state.end
    return present(
        Run,
        row,
        state=state.state,
        started_at=state.started_at,
        finished_at=state.finished_at,
        error=end.error if isinstance(end, Failed | Cancelled) else None,
        cancel_requested=state.cancel_requested,
        forced=isinstance(end, Cancelled) and end.forced,
        last_seq=state.seq,
        set_aside=set_aside or None,
        rerun_of=inspection.origin.rerun_of,
        input=inspection.input,
        waiting_for=(
            *_questions(inspection),
            *_signals(inspection.graph, state),
            *_blocked(inspection.blocked),
        ),
        usage=Usage(tokens=state.tokens, cost_micro_usd=state.cost_micro_usd),
        nodes=_nodes(inspection.graph, state),
    )


def stopped(shown: Run) -> StopAcknowledged:
    """Return a stopping run for a principal without ``read``."""
    return present(StopAcknowledged, shown)


def rerun_plan(row: RunRow, from_node: str | None, planned: PlannedRerun) -> RerunPlan:
    """Return what a rerun would do."""
    return present(
        RerunPlan,
        planned.plan,
        run_id=row.run_id,
        workflow_id=row.workflow_id,
        workflow_version=planned.version,
        from_node=from_node,
        input=planned.input,
    )


def _questions(inspection: Inspection) -> list[WaitingFor]:
    """Return the open questions to people, in the order in which they were asked."""
    requests = [entry.request for entry in inspection.state.entries.values() if entry.request is not None]
    return [
        present(
            WaitingFor,
            request,
            schema=dict(request.schema),
            since=request.at,
            data=inspection.asked.get(request.request_id),
            reason=None,
        )
        for request in requests
    ]


def _signals(graph: Graph, state: RunState) -> list[WaitingFor]:
    """Return the signals that the run waits for. Nobody was asked for them, so they have no request_id."""
    nodes = ((entry, graph.nodes[entry.address.node]) for entry in state.entries.values())
    return [
        present(
            WaitingFor,
            entry,
            node=node.name,
            signal=node.name,
            request_id=None,
            prompt=None,
            schema=dict(node.schema),
            since=entry.opened_at,
            deadline=entry.due_at,
            data=None,
            reason=None,
        )
        for entry, node in nodes
        if isinstance(node, Signal)
    ]


def _blocked(names: list[str]) -> list[WaitingFor]:
    reason = "no code for this node is loaded; it continues when a server loads the code"
    return [WaitingFor(node=name, reason=reason) for name in names]


def _nodes(graph: Graph, state: RunState) -> tuple[NodeSummary, ...]:
    return tuple(
        _node(name, node.kind, state.nodes.get(name) or NodeState()) for name, node in graph.nodes.items()
    )


def _node(name: str, kind: str, node: NodeState) -> NodeSummary:
    items = node.items
    shown = None if items is None else MapItems(total=items.total, done=items.closed, failed=items.failed)
    return present(NodeSummary, node, node=name, kind=kind, items=shown)


def input_request(found: OpenRequest) -> InputRequest:
    """Return one open question to a person."""
    event = found.event
    return present(
        InputRequest,
        event,
        run_id=found.run_id,
        workflow_id=found.workflow_id,
        workflow_version=found.workflow_version,
        schema=dict(event.schema),
        since=event.at,
    )
