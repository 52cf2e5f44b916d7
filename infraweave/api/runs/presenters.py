"""What is known inside, as the shapes of the wire. Pure."""

from __future__ import annotations

from infraweave.api.runs.rerun_schemas import RerunPlan
from infraweave.api.runs.schemas import (
    HistoryRow,
    ListedRun,
    MapItems,
    NodeSummary,
    Run,
    StartedRun,
    StopAcknowledged,
    Token,
    Usage,
    VersionSummary,
    WaitingFor,
)
from infraweave.core.access import Grant
from infraweave.core.data.values import rfc3339
from infraweave.core.run.entries import MapProgress, NodeState
from infraweave.core.run.events import Cancelled, Failed
from infraweave.core.run.history import Row
from infraweave.core.run.state import RunState
from infraweave.core.workflow.document import Signal
from infraweave.core.workflow.graph import Graph
from infraweave.engine.runs.requests import Inspection, PlannedRerun
from infraweave.store.documents import Version
from infraweave.store.principals import TokenRow
from infraweave.store.runs import RunRow


def time(at: int | None) -> str | None:
    """Return a time as the wire writes it."""
    return None if at is None else rfc3339(at)


def started(row: RunRow) -> StartedRun:
    """Return the answer to a start."""
    return StartedRun(
        run_id=row.run_id,
        state=row.state,
        workflow_id=row.workflow_id,
        workflow_version=row.workflow_version,
        started_at=time(row.started_at),
    )


def listed(row: RunRow, last_seq: int, set_aside: bool = False) -> ListedRun:
    """Return a run as lists show it."""
    return ListedRun(
        run_id=row.run_id,
        state=row.state,
        workflow_id=row.workflow_id,
        workflow_version=row.workflow_version,
        trigger=row.trigger,
        tags=row.tags,
        created_at=rfc3339(row.created_at),
        started_at=time(row.started_at),
        finished_at=time(row.finished_at),
        error=row.error,
        parent_run_id=row.parent_run_id,
        trace_id=row.trace_id,
        start_at=time(row.start_at),
        cancel_requested=row.cancel_requested,
        forced=row.forced,
        last_seq=last_seq,
        set_aside=set_aside or None,
        usage=Usage(tokens=row.tokens, cost_micro_usd=row.cost_micro_usd),
    )


def run(row: RunRow, seen: Inspection) -> Run:
    """Return a run with everything.

    What changes comes from the events that were inspected, not from the row, so that it is of one moment.
    """
    state = seen.state
    end = state.end
    return Run(
        run_id=row.run_id,
        state=state.state,
        workflow_id=row.workflow_id,
        workflow_version=row.workflow_version,
        trigger=row.trigger,
        tags=row.tags,
        created_at=rfc3339(row.created_at),
        started_at=time(state.started_at),
        finished_at=time(state.finished_at),
        error=end.error if isinstance(end, Failed | Cancelled) else None,
        parent_run_id=row.parent_run_id,
        trace_id=row.trace_id,
        start_at=time(row.start_at),
        cancel_requested=state.cancel_requested,
        forced=isinstance(end, Cancelled) and end.forced,
        last_seq=state.seq,
        rerun_of=seen.origin.rerun_of,
        input=seen.input,
        waiting_for=(*_asked(seen), *_listening(seen.graph, state), *_blocked(seen.blocked)),
        usage=Usage(tokens=state.tokens, cost_micro_usd=state.cost_micro_usd),
        nodes=_nodes(seen.graph, state),
    )


def stopped(seen: Run) -> StopAcknowledged:
    """Return of a run what who stops it must know."""
    return StopAcknowledged(run_id=seen.run_id, state=seen.state, cancel_requested=seen.cancel_requested)


def rerun_plan(row: RunRow, from_node: str | None, planned: PlannedRerun) -> RerunPlan:
    """Return what a rerun would do."""
    plan = planned.plan
    return RerunPlan(
        run_id=row.run_id,
        workflow_id=row.workflow_id,
        workflow_version=planned.version,
        from_node=from_node,
        input=planned.input,
        reused=plan.reused,
        rerun=plan.rerun,
        new=plan.new,
        gone=plan.gone,
    )


def _asked(seen: Inspection) -> list[WaitingFor]:
    """Return what people are being asked, in the order in which it was."""
    requests = [entry.request for entry in seen.state.entries.values() if entry.request is not None]
    return [
        WaitingFor(
            node=request.node,
            signal=request.signal,
            request_id=request.request_id,
            prompt=request.prompt,
            schema=dict(request.schema),
            since=rfc3339(request.at),
            deadline=time(request.deadline),
            data=seen.asked.get(request.request_id),
        )
        for request in requests
    ]


def _listening(graph: Graph, state: RunState) -> list[WaitingFor]:
    """Return the signals that the run waits for; nobody was asked, so they have no request."""
    nodes = ((entry, graph.nodes[entry.address.node]) for entry in state.entries.values())
    return [
        WaitingFor(
            node=node.name,
            signal=node.name,
            schema=dict(node.schema),
            since=rfc3339(entry.opened_at),
            deadline=time(entry.due_at),
        )
        for entry, node in nodes
        if isinstance(node, Signal)
    ]


def _blocked(names: list[str]) -> list[WaitingFor]:
    reason = "no code for this node is loaded; it goes on once a server loads it"
    return [WaitingFor(node=name, reason=reason) for name in names]


def _nodes(graph: Graph, state: RunState) -> tuple[NodeSummary, ...]:
    return tuple(
        _node(name, node.kind, state.nodes.get(name) or NodeState()) for name, node in graph.nodes.items()
    )


def _node(name: str, kind: str, node: NodeState) -> NodeSummary:
    return NodeSummary(
        node=name,
        kind=kind,
        state=node.state,
        attempts=node.attempts,
        iterations=node.iterations,
        started_at=time(node.started_at),
        finished_at=time(node.finished_at),
        latency_ms=node.latency_ms,
        tokens=node.tokens,
        cost_micro_usd=node.cost_micro_usd,
        items=None if node.items is None else _items(node.items),
    )


def _items(items: MapProgress) -> MapItems:
    return MapItems(total=items.total, done=items.closed, failed=items.failed)


def history_row(row: Row) -> HistoryRow:
    """Return one attempt."""
    return HistoryRow(
        node=row.node,
        kind=row.kind,
        iteration=row.iteration,
        index=row.index,
        attempt=row.attempt,
        phase=row.phase,
        state=row.state,
        started_at=rfc3339(row.started_at),
        finished_at=time(row.finished_at),
        latency_ms=row.latency_ms,
        input=row.input,
        output=row.output,
        error=row.error,
        tokens=row.tokens,
        cost_micro_usd=row.cost_micro_usd,
        span_id=row.span_id,
        first_seq=row.first_seq,
        last_seq=row.last_seq,
        child_run_id=row.child_run_id,
        retry_at=time(row.retry_at),
    )


def version(found: Version) -> VersionSummary:
    """Return one version of a workflow."""
    return VersionSummary(
        version=found.version,
        active=found.active,
        open_runs=found.open_runs,
        created_at=rfc3339(found.created_at),
    )


def grants(held: frozenset[Grant]) -> tuple[str, ...]:
    """Return grants as text, in order."""
    return tuple(sorted(map(str, held)))


def token(row: TokenRow) -> Token:
    """Return what is kept of a token."""
    return Token(
        token_id=row.token_id,
        tenant=row.tenant,
        principal=row.principal,
        grants=grants(row.grants),
        created_at=rfc3339(row.created_at),
        expires_at=time(row.expires_at),
        revoked_at=time(row.revoked_at),
        last_used_at=time(row.last_used_at),
    )
