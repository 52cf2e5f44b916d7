"""The shapes of second chances: a rerun, its plan, and why a run is not moving."""

from __future__ import annotations

from attrs import frozen

from infraweave.api.runs.schemas import said
from infraweave.core.data.values import Json
from infraweave.core.run.events import State


@frozen(kw_only=True)
class RerunRun:
    """How a run that has ended is run again, as a new run."""

    from_node: str | None = said(
        "Where it begins: this node and all that depends on it run anew, and so does what never finished or"
        " was compensated; other results are kept. Without it everything runs anew.",
        default=None,
        minLength=1,
        maxLength=128,
    )
    input: Json = said("A JSON Merge Patch (RFC 7396) of the run's input.", default=None)
    version: str | None = said(
        "The version to run; the run's own where it is left out.", default=None, minLength=1
    )
    dry_run: bool = said("True: only say what would happen.", default=False)


@frozen(kw_only=True)
class RerunPlan:
    """What a rerun would do, in the order of the definition; nothing was started."""

    run_id: str = said("The run that would be run again.")
    workflow_id: str
    workflow_version: str
    from_node: str | None
    input: Json
    reused: tuple[str, ...] = said("Nodes whose results are kept.")
    rerun: tuple[str, ...] = said("Nodes that run anew.")
    new: tuple[str, ...] = said("Nodes that the version of the first run does not have.")
    gone: tuple[str, ...] = said("Nodes that only the version of the first run has.")


@frozen(kw_only=True)
class RunExplanation:
    """Why a run is not moving."""

    run_id: str
    state: State
    moving: bool = said("True while code is at work, or about to be.")
    explanation: str = said("One sentence for a person.")
