"""Plans reruns: a rerun repeats a finished run and keeps the results before a chosen node."""

from __future__ import annotations

from difflib import get_close_matches

from infraweave.core.data import sizes
from infraweave.core.records import frozen
from infraweave.core.run.events import TERMINAL_STATES
from infraweave.core.run.rerun import merge_patch, plan_rerun, reused_results
from infraweave.core.workflow.graph import Graph
from infraweave.engine.catalog import Catalog
from infraweave.engine.execution.schema_checker import SchemaChecker
from infraweave.engine.runs.requests import PlannedRerun, RerunWish
from infraweave.errors import Fault, MalformedRequest, RunNotFinished, RunNotFound
from infraweave.store.journal import Journal
from infraweave.store.runs import RunRow

#: The most node names that an error message lists.
_LISTED = 20
#: The most bytes, as JSON, of the results that a rerun keeps. One event holds them all.
MAX_KEPT = 4 * sizes.MAX_VALUE_BYTES


@frozen
class Reruns:
    """Plans reruns."""

    _journal: Journal
    _catalog: Catalog
    _schema_checker: SchemaChecker

    async def plan(self, run: RunRow, wish: RerunWish) -> PlannedRerun:
        """Return which nodes a rerun would keep and which it would run again.

        Raises:
            RunNotFinished: the run is still open.
            RunNotFound: it is being removed.
            VersionNotFound: there is no such version.
            MalformedRequest: the version has no node ``from_node``, the kept results skip that node, or they
                are too large.
            InputInvalid: the patched input does not match its schema.
        """
        if run.state not in TERMINAL_STATES:
            raise RunNotFinished(f"Run {run.run_id} is {run.state}; only runs that have ended can be rerun.")
        old = await self._catalog.graph(run.tenant, run.workflow_id, run.workflow_version)
        version = wish.version or run.workflow_version
        new = await self._catalog.graph(run.tenant, run.workflow_id, version)
        if wish.from_node is not None and wish.from_node not in new.nodes:
            raise _no_node(new, wish.from_node)
        state = await self._journal.fold(run.run_key, run.run_id, undoable=frozenset())
        if state.end is None:
            raise RunNotFound(f"No run {run.run_id}.")  # it is being removed
        planned = plan_rerun(old, state, new, wish.from_node)
        kept = reused_results(new, state, planned.reused)
        try:
            sizes.check_size(kept.results.outputs.values(), MAX_KEPT)
        except sizes.TooLarge as error:
            message = f"The results to keep are too large ({error}); begin at an earlier node"
            raise MalformedRequest(message, details=[Fault("/from_node", "too_large", message)]) from error
        if wish.from_node in kept.skipped:
            raise _skipped(new, wish.from_node)
        value = state.input if wish.patch is None else merge_patch(state.input, wish.patch)
        taken = await self._schema_checker.validated_input(new, value)
        return PlannedRerun(version=version, plan=planned, input=taken, reused=kept)


def _skipped(new: Graph, name: str) -> MalformedRequest:
    before = new.router_of.get(name) or ", ".join(new.upstream[name])
    message = f"Node {name} would be skipped again, because no kept result leads to it; begin at {before}"
    return MalformedRequest(message, details=[Fault("/from_node", "skipped", message)])


def _no_node(graph: Graph, name: str) -> MalformedRequest:
    near = get_close_matches(name[:128], graph.nodes, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(list(graph.nodes)[:_LISTED])}"
    document = graph.document
    message = f"Workflow {document.workflow_id} {document.version} has no node {name[:128]}; {hint}"
    return MalformedRequest(message, details=[Fault("/from_node", "unknown_node", message)])
