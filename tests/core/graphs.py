"""Random workflows and a random world that answers them, for the properties of the core."""

from __future__ import annotations

import random

from attrs import define, evolve, field

from infraweave.core.run.address import Address
from infraweave.core.run.events import Event, Origin, RunError
from infraweave.core.run.facts import (
    AttemptFailed,
    AttemptInterrupted,
    AttemptSucceeded,
    AttemptUsage,
    CancelRequested,
    ChildEnded,
    ChildReady,
    Fact,
    PreflightFailed,
    PromptReady,
    Recovered,
    RunAccepted,
    SignalAccepted,
    SlotGranted,
    TerminateRequested,
    TimerDue,
    TimerReady,
)
from infraweave.core.run.recorder import TurnResult
from infraweave.core.run.state import RunState
from infraweave.core.run.turn import turn
from infraweave.core.workflow.document import (
    ITEM,
    Activity,
    Compensation,
    Document,
    HumanInput,
    Loop,
    Map,
    Param,
    Retry,
    Router,
    Signal,
    Subworkflow,
    Timer,
    Wait,
    starts_child,
)
from infraweave.core.workflow.graph import Graph
from tests.core.faults import faults

ORIGIN = Origin(
    workflow_id="w", workflow_version="v1", trigger="api", tenant="default", by="admin", trace_id="0" * 32
)


def random_document(rng: random.Random, size: int = 8, plain: bool = False) -> Document:
    """A valid document; ``plain``: without loops, maps, children, signals and races."""
    nodes = []
    targets = {f"n{i}" for i in range(2, size) if rng.random() < 0.35}
    for place in range(size):
        name, earlier = f"n{place}", [f"n{i}" for i in range(place)]
        kind = rng.choice(PLAIN if plain else KINDS)
        routes = [f"n{i}" for i in range(place + 1, size) if f"n{i}" in targets and rng.random() < 0.6]
        targets -= set(routes)
        if kind not in ("router", "human_input", "signal"):
            targets |= set(routes)
            routes = []
        if kind == "router" and not routes:
            kind = "node"
        lists = ["input", *(n.name for n in nodes if isinstance(n, Activity))]
        nodes.append(_node(rng, kind, name, earlier, tuple(routes), lists))
        if kind != "router":
            targets |= set(routes[1:])
    if not plain:
        nodes = _with_races(rng, _with_loops(rng, nodes))
    return Document(workflow_id="w", version="v1", nodes=tuple(nodes))


PLAIN = ["node", "node", "router", "human_input", "timer"]
KINDS = [*PLAIN, "node", "map", "map", "subworkflow", "signal"]


def _valid(nodes) -> bool:
    return not faults(Document(workflow_id="w", version="v1", nodes=tuple(nodes)))


def _with_loops(rng, nodes):
    """Turn some nodes into the conditions of loops, and let what lies in them carry values over."""
    for place in range(1, len(nodes)):
        node = nodes[place]
        if rng.random() < 0.6 and isinstance(node, Activity):
            inside = rng.sample(nodes[:place], min(place, rng.choice([1, 2])))
            loop = Loop(
                name=node.name,
                params=node.params,
                after=tuple({*node.after, *(n.name for n in inside)} - {p.source for p in node.params}),
                code=node.code,
                back_to=rng.choice(nodes[:place]).name,
                max_iterations=rng.choice([1, 2, 3]),
                on_exhausted=rng.choice(["continue", "continue", "fail"]),
                retry=node.retry,
            )
            changed = [*nodes[:place], loop, *nodes[place + 1 :]]
            nodes = changed if _valid(changed) else nodes
    for region in Graph(Document(workflow_id="w", version="v1", nodes=tuple(nodes))).regions.values():
        place = rng.randrange(len(nodes))
        source = rng.choice(sorted(region.nodes))
        node = nodes[place]
        if node.name in region.nodes and source not in {p.name for p in node.params}:
            carried = Param(source, source, required=False, carried=True)
            changed = [*nodes[:place], evolve(node, params=(*node.params, carried)), *nodes[place + 1 :]]
            nodes = changed if _valid(changed) else nodes
    return nodes


def _with_races(rng, nodes):
    for place, node in enumerate(nodes):
        if rng.random() < 0.15 and not isinstance(node, Map):
            race = evolve(node, join="any", params=tuple(evolve(p, required=False) for p in node.params))
            changed = [*nodes[:place], race, *nodes[place + 1 :]]
            nodes = changed if _valid(changed) else nodes
    return nodes


def _node(rng, kind, name, earlier, routes, lists):
    chosen = rng.sample(earlier, min(len(earlier), rng.choice([0, 1, 1, 2, 3])))
    params = tuple(Param(source, source, rng.random() < 0.5) for source in chosen if rng.random() < 0.7)
    after = tuple(source for source in chosen if source not in {p.source for p in params})
    both = {"name": name, "params": params, "after": after}
    attempts = Retry(max_attempts=rng.choice([1, 2, 3]), initial=rng.choice([0.0, 1.0, 5.0]))
    undo = Compensation(code="w:undo", params=(Param(name, name),), retry=attempts)
    compensate = undo if rng.random() < 0.5 else None
    if kind == "router":
        return Router(**both, code=f"w:{name}", routes=routes, retry=attempts)
    if kind in ("human_input", "signal"):
        return _wait(rng, kind, both, routes[:1])
    if kind == "timer":
        delay = rng.choice([None, 0.0, 10.0])
        return Timer(**both, delay=delay, code=None if delay is not None else "w:c")
    if kind == "subworkflow":
        return Subworkflow(**both, workflow_id="child", retry=attempts, compensate=compensate)
    if kind == "map":
        both["params"] = (*params, Param("item", ITEM))
        return Map(
            **both,
            over=rng.choice([*lists, *earlier[:1]]),
            code=f"w:{name}",
            workflow_id=rng.choice([None, None, "child"]),
            max_concurrency=rng.choice([1, 2, 9]),
            max_failures=rng.choice([0, 0, 1, 3]),
            retry=attempts,
            compensate=compensate,
        )
    return Activity(**both, code=f"w:{name}", retry=attempts, compensate=compensate)


def _wait(rng, kind, both, route):
    timeout = 30.0 if route else rng.choice([None, 30.0])
    both |= {"schema": {}, "timeout": timeout}
    if route:
        both |= {"on_timeout": "route", "timeout_route": route[0]}
    elif timeout and rng.random() < 0.4:
        both |= {"on_timeout": "value", "timeout_value": "late"}
    if kind == "signal":
        return Signal(**both)
    prompt = rng.choice([None, "Go?"])
    return HumanInput(**both, prompt=prompt, code=None if prompt else "w:c")


@define
class World:
    """Whoever performs what is open, badly: fails, answers late, crashes, asks to cancel."""

    rng: random.Random
    graph: Graph
    state: RunState
    trouble: float = 0.15
    now: int = 1_000
    log: list[Event] = field(factory=list)
    pending: set[Address] = field(factory=set)
    steps: int = 0
    held: bool = False

    def give(self, fact: Fact) -> TurnResult:
        if isinstance(fact, PromptReady | TimerReady | ChildReady | PreflightFailed):
            self.pending.discard(fact.address)
        hold = self.rng.random() < self.trouble / 5
        written = turn(self.graph, self.state, fact, self.now, lambda _: hold)
        if written.deferred:
            self.held = True
        self.log += written.events
        self.pending |= set(written.preflight)
        return written

    def start(self) -> None:
        slot = self.rng.random() < 0.8
        self.give(RunAccepted(origin=ORIGIN, input=["x", "y", "z"], slot=slot))
        if not slot and self.rng.random() < 0.9:
            self.give(SlotGranted())

    def step(self) -> None:
        """Let one thing happen."""
        self.steps += 1
        self.now += self.rng.choice([0, 1, 400, 400, 60_000])  # now and then nobody looked for a while
        draw = self.rng.random()
        if draw < self.trouble / 3 or (self.held and draw < 0.5):
            self.crash()
        elif draw < self.trouble / 2:
            self.give(self._meddle())
        elif self.state.state == "queued":
            self.give(SlotGranted())
        else:
            self.give(self._answer())

    def crash(self) -> None:
        self.pending.clear()
        self.held = False
        self.give(Recovered())

    def _meddle(self) -> Fact:
        name = f"n{self.rng.randrange(len(self.graph.nodes))}"
        where = Address(name, self.rng.choice([None, 1, 2]), self.rng.choice([None, None, 0]))
        stale = AttemptSucceeded(address=where, attempt=self.rng.randrange(1, 4), output=1, latency_ms=1)
        child = ChildEnded(address=where, attempt=1, child_run_id="run_gone", state="succeeded")
        cancel = CancelRequested(by="admin", reason=self.rng.choice([None, "no need"]))
        kill = TerminateRequested(by="admin")
        running = [entry for entry in self.state.entries.values() if entry.status == "running"]
        back = [AttemptInterrupted(address=entry.address, attempt=entry.attempt) for entry in running]
        return self.rng.choice([stale, stale, child, cancel, kill, TimerDue(), *back[:2]])

    def _answer(self) -> Fact:
        entries = list(self.state.entries.values())
        choices: list[Fact] = [self._prepared(address) for address in sorted(self.pending, key=str)[:4]]
        choices += [self._performed(entry) for entry in entries if entry.status == "running"]
        choices += [self._child(entry) for entry in entries if entry.child_run_id is not None]
        if self.state.stopping is None:
            choices += [self._signal(entry) for entry in entries if entry.signal is not None]
            waits = [n.name for n in self.graph.document.nodes if isinstance(n, Wait)]
            if waits and self.rng.random() < 0.2:
                choices.append(self._send(self.rng.choice(waits), f"early-{self.steps}"))
        due = [entry.due_at for entry in entries if entry.due_at is not None]
        if due and (not choices or self.rng.random() < 0.3):
            self.now = max(self.now, min(due))
            return TimerDue()
        return self.rng.choice(choices) if choices else TimerDue()

    def _signal(self, entry) -> Fact:
        asked = entry.request.request_id if entry.request else f"sent-{self.steps}"
        return self._send(entry.signal, asked)

    def _send(self, name: str, request_id: str) -> Fact:
        return SignalAccepted(name=name, request_id=request_id, payload=self.steps, by="eve")

    def _prepared(self, address: Address) -> Fact:
        node = self.graph.nodes[address.node]
        if self.rng.random() < self.trouble / 3:
            return PreflightFailed(address=address, code="error", message="ValueError: no prompt")
        if isinstance(node, Timer):
            return TimerReady(address=address, wake_at=self.now + self.rng.choice([0, 5_000]))
        if starts_child(node):
            return ChildReady(address=address, input={"for": str(address)})
        return PromptReady(address=address, prompt="Go on?", data={"n": 1})

    def _performed(self, entry) -> Fact:
        usage = AttemptUsage(tokens=self.rng.randrange(50), cost_micro_usd=self.rng.randrange(9))
        both = {"address": entry.address, "attempt": entry.attempt, "latency_ms": 5, "usage": usage}
        if self.rng.random() < self.trouble:
            final = self.rng.random() < 0.2
            return AttemptFailed(**both, code="error", message="boom", final=final, chance=self.rng.random())
        node = self.graph.nodes[entry.address.node]
        output = {"by": str(entry.address), "step": self.steps}
        if any(isinstance(n, Map) and n.over == node.name for n in self.graph.document.nodes):
            output = list(range(self.rng.choice([0, 1, 3, 5])))
        if entry.address.phase == "forward":
            if isinstance(node, Router):
                output = [route for route in node.routes if self.rng.random() < 0.6]
            elif isinstance(node, Loop):
                output = self.rng.random() < 0.6
        return AttemptSucceeded(**both, output=output)

    def _child(self, entry) -> Fact:
        draw = self.rng.random()
        state = "failed" if draw < self.trouble else "cancelled" if draw < self.trouble * 1.3 else "succeeded"
        error = None if state == "succeeded" else RunError(code="error", message="boom")
        return ChildEnded(
            address=entry.address,
            attempt=entry.attempt,
            child_run_id=entry.child_run_id,
            state=state,
            output=None if error else [{"by": str(entry.address)}],
            error=error,
            chance=self.rng.random(),
        )


def live(seed: int, size: int = 8, plain: bool = False) -> World:
    """Live a whole random run."""
    rng = random.Random(seed)
    trouble = rng.choice([0.02, 0.05, 0.15])
    graph = Graph(random_document(rng, size, plain))
    world = World(rng, graph, RunState(f"run_{seed}"), trouble)
    world.start()
    while world.state.end is None and world.steps < 5_000:
        world.step()
    return world
