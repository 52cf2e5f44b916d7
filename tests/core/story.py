"""Given a history, when a fact, then these events: the words in which the core's stories are told."""

from __future__ import annotations

from attrs import evolve

from infraweave.core.run.address import Address
from infraweave.core.run.entries import Entry
from infraweave.core.run.events import (
    Event,
    InputRequested,
    InputResolved,
    NodeCompleted,
    NodeFailed,
    NodeStarted,
    Origin,
    RunError,
    SignalReceived,
    StatusChanged,
)
from infraweave.core.run.facts import (
    AttemptFailed,
    AttemptInterrupted,
    AttemptSucceeded,
    CancelRequested,
    ChildEnded,
    ChildReady,
    Fact,
    Recovered,
    RunAccepted,
    SignalAccepted,
    TerminateRequested,
    TimerDue,
)
from infraweave.core.run.preflight import Preflights
from infraweave.core.run.recorder import IsBlocked, TurnResult
from infraweave.core.run.state import RunState, fold
from infraweave.core.run.turn import never_blocked, turn
from infraweave.core.workflow.document import (
    ITEM,
    Activity,
    Compensation,
    Document,
    HumanInput,
    Loop,
    Map,
    Node,
    Param,
    Retry,
    Router,
    Signal,
    Subworkflow,
    Timer,
)
from infraweave.core.workflow.graph import Graph

ONCE = Retry(max_attempts=1)
STEADY = Retry(max_attempts=3, initial=10, factor=2, jitter=False)
ORIGIN = Origin(
    workflow_id="w", workflow_version="v1", trigger="api", tenant="default", by="ann", trace_id="0" * 32
)


def params(*names: str) -> tuple[Param, ...]:
    """Parameters named for their sources; a question mark says that there is a default."""
    return tuple(Param(name.rstrip("?"), name.rstrip("?"), not name.endswith("?")) for name in names)


def node(name: str, *needs: str, after=(), retry: Retry = ONCE, undo: Retry | None = None, **more) -> Node:
    compensate = Compensation(code=f"w:{name}:undo", params=params(name), retry=undo) if undo else None
    return Activity(
        name=name,
        params=params(*needs),
        after=tuple(after),
        code=f"w:{name}",
        retry=retry,
        compensate=compensate,
        **more,
    )


def router(name: str, *needs: str, routes, many: bool = True, retry: Retry = ONCE) -> Node:
    return Router(
        name=name, params=params(*needs), routes=tuple(routes), many=many, retry=retry, code=f"w:{name}"
    )


def mapped(name: str, over: str, *needs: str, retry: Retry = ONCE, undo: Retry | None = None, **more) -> Node:
    """A map whose function takes the item as ``item``."""
    given = (*params(*needs), Param("item", ITEM))
    over, _, way = over.partition("/")
    own = (Param(name, name),)
    return Map(
        name=name,
        over=over,
        pointer=f"/{way}" if way else "",
        params=given,
        code=f"w:{name}",
        retry=retry,
        compensate=Compensation(code=f"w:{name}:undo", params=own, retry=undo) if undo else None,
        **more,
    )


def child(name: str, *needs: str, retry: Retry = ONCE, **more) -> Node:
    return Subworkflow(name=name, params=params(*needs), workflow_id="other", retry=retry, **more)


def loop(name: str, *needs: str, back_to: str, bound: int = 3, on_exhausted="fail", after=()) -> Node:
    return Loop(
        name=name,
        params=params(*needs),
        after=tuple(after),
        code=f"w:{name}",
        back_to=back_to,
        max_iterations=bound,
        on_exhausted=on_exhausted,
        retry=ONCE,
    )


def carried(node: Node, *sources: str) -> Node:
    """The node with parameters that take values of the iteration before."""
    more = tuple(Param(source, source, required=False, carried=True) for source in sources)
    return evolve(node, params=(*node.params, *more))


def signal(name: str, *, after=(), **more) -> Node:
    return Signal(name=name, after=tuple(after), schema={}, **more)


def human(name: str, *needs: str, after=(), timeout=None, prompt: str | None = "Go?", **more) -> Node:
    code = None if prompt else f"w:{name}"
    return HumanInput(
        name=name,
        params=params(*needs),
        after=tuple(after),
        schema={},
        prompt=prompt,
        code=code,
        timeout=timeout,
        **more,
    )


def timer(name: str, *needs: str, after=(), delay: float | None = 60) -> Node:
    code = None if delay is not None else f"w:{name}"
    return Timer(name=name, params=params(*needs), after=tuple(after), delay=delay, code=code)


class Story:
    """One run, and what it answers to each fact. ``now`` is in milliseconds."""

    def __init__(self, *nodes: Node, output: str | None = None) -> None:
        document = Document(workflow_id="w", version="v1", nodes=nodes, output=output)
        self.graph, self.state = Graph(document), RunState("run_1")
        self.now, self.log, self.last = 0, [], TurnResult()
        self.is_blocked: IsBlocked = never_blocked
        self.preflights = Preflights()

    def give(self, fact: Fact) -> list[str]:
        """Work a fact in and return what followed, a line an event."""
        self.last = turn(self.graph, self.state, fact, self.now, self.is_blocked, self.preflights)
        self.log += self.last.events
        assert fold("run_1", self.log) == self.state
        return [told(event) for event in self.last.events]

    def start(self, given=None, *, slot: bool = True) -> list[str]:
        return self.give(RunAccepted(origin=ORIGIN, input={} if given is None else given, slot=slot))

    def done(self, name: str, output=None, **where) -> list[str]:
        entry = self.entry(name, **where)
        return self.give(
            AttemptSucceeded(address=entry.address, attempt=entry.attempt, output=output, latency_ms=5)
        )

    def err(self, name: str, code: str = "error", *, final: bool = False, **where) -> list[str]:
        entry = self.entry(name, **where)
        fact = AttemptFailed(
            address=entry.address,
            attempt=entry.attempt,
            code=code,
            message="boom",
            final=final,
            latency_ms=5,
            traceback=f"in {name}",
        )
        return self.give(fact)

    def interrupt(self, name: str, *, started: bool = False, **where) -> list[str]:
        entry = self.entry(name, **where)
        return self.give(AttemptInterrupted(address=entry.address, attempt=entry.attempt, started=started))

    def launch(self, name: str, **where) -> list[str]:
        """Let a child start that was being prepared."""
        return self.give(ChildReady(address=Address(name, **where), input={"for": name}))

    def child(self, name: str, state="succeeded", output=None, **where) -> list[str]:
        """Let a child end."""
        entry = self.entry(name, **where)
        error = None if state == "succeeded" else RunError(code="error", message="boom")
        return self.give(
            ChildEnded(
                address=entry.address,
                attempt=entry.attempt,
                child_run_id=entry.child_run_id,
                state=state,
                output=output,
                error=error,
            )
        )

    def entry(self, name: str, phase="forward", iteration=None, index=None) -> Entry:
        return self.state.entries[Address(name, iteration, index, phase)]

    def later(self, seconds: float) -> list[str]:
        self.now += round(seconds * 1000)
        return self.give(TimerDue())

    def crash(self) -> list[str]:
        return self.give(Recovered())

    def signal(self, name: str, payload=None, request_id: str = "s1") -> list[str]:
        return self.give(SignalAccepted(name=name, request_id=request_id, payload=payload, by="eve"))

    def cancel(self) -> list[str]:
        return self.give(CancelRequested(by="eve", reason="no need"))

    def terminate(self) -> list[str]:
        return self.give(TerminateRequested(by="op"))

    @property
    def event(self) -> Event:
        """The newest event."""
        return self.log[-1]


def told(event: Event) -> str:
    """An event in a few words."""
    match event:
        case StatusChanged(cancel_requested=True):
            return "cancel_requested"
        case StatusChanged():
            return event.state
        case NodeStarted() | NodeCompleted() | NodeFailed():
            return _attempt(event)
        case InputRequested():
            return f"ask {event.address}"
        case InputResolved():
            return f"{event.outcome} {event.address}" + _skips(event.skipped)
        case SignalReceived():
            return f"signal {event.name}"
        case _:
            return event.type


def _attempt(event: NodeStarted | NodeCompleted | NodeFailed) -> str:
    where = str(event.address.forward)
    name = where if event.phase == "forward" else f"undo {where}"
    number = f"/{event.attempt}" if event.attempt > 1 else ""
    match event:
        case NodeStarted():
            return f"start {name}{number}"
        case NodeCompleted():
            again = f" repeats {','.join(event.repeats)}" if event.repeats else ""
            return f"done {name}{number}{again}" + _skips(event.skipped)
        case NodeFailed():
            again = f" again at {event.retry_at}" if event.will_retry else ""
            return f"fail {name}{number} {event.code}{again}"


def _skips(names: tuple[str, ...]) -> str:
    return f" skips {','.join(names)}" if names else ""
