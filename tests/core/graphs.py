"""Random workflows and a random world that answers them, for the properties of the core."""

from __future__ import annotations

import random

from attrs import define, field

from infraweave.core.address import Address
from infraweave.core.book import Written
from infraweave.core.document import (
    Activity,
    Compensation,
    Document,
    HumanInput,
    Param,
    Retry,
    Router,
    Timer,
)
from infraweave.core.events import Event, Origin
from infraweave.core.facts import (
    Accepted,
    CancelAsked,
    Erred,
    Fact,
    Granted,
    Prompted,
    Resumed,
    Scheduled,
    Signalled,
    Succeeded,
    TerminateAsked,
    Unprepared,
    Usage,
    Woken,
)
from infraweave.core.graph import Graph
from infraweave.core.state import RunState
from infraweave.core.turn import turn

ORIGIN = Origin(
    workflow_id="w", workflow_version="v1", trigger="api", tenant="default", by="admin", trace_id="0" * 32
)


def random_document(rng: random.Random, size: int = 8) -> Document:
    nodes, free = [], []
    targets = {f"n{i}" for i in range(2, size) if rng.random() < 0.35}
    for place in range(size):
        name, earlier = f"n{place}", [f"n{i}" for i in range(place)]
        kind = rng.choice(["node", "node", "router", "human_input", "timer"])
        routes = [f"n{i}" for i in range(place + 1, size) if f"n{i}" in targets and rng.random() < 0.6]
        targets -= set(routes)
        if kind == "router" and not routes:
            kind = "node"
        if kind != "router":
            targets |= set(routes)
        nodes.append(_node(rng, kind, name, earlier, tuple(routes)))
        free.append(name)
    return Document(workflow_id="w", version="v1", nodes=tuple(nodes))


def _node(rng, kind, name, earlier, routes):
    chosen = rng.sample(earlier, min(len(earlier), rng.choice([0, 1, 1, 2, 3])))
    params = tuple(Param(source, source, rng.random() < 0.5) for source in chosen if rng.random() < 0.7)
    after = tuple(source for source in chosen if source not in {p.source for p in params})
    both = {"name": name, "params": params, "after": after}
    attempts = Retry(max_attempts=rng.choice([1, 2, 3]), initial=rng.choice([0.0, 1.0, 5.0]))
    if kind == "router":
        return Router(**both, code=f"w:{name}", routes=routes, retry=attempts)
    if kind == "human_input":
        prompt = rng.choice([None, "Go?"])
        return HumanInput(
            **both, schema={}, prompt=prompt, code=None if prompt else "w:c", timeout=rng.choice([None, 30.0])
        )
    if kind == "timer":
        delay = rng.choice([None, 0.0, 10.0])
        return Timer(**both, delay=delay, code=None if delay is not None else "w:c")
    undo = Compensation(code="w:undo", params=(Param(name, name),), retry=attempts)
    compensate = undo if rng.random() < 0.5 else None
    return Activity(**both, code=f"w:{name}", retry=attempts, compensate=compensate)


@define
class World:
    """Whoever performs what is open, badly: fails, answers late, crashes, asks to cancel."""

    rng: random.Random
    graph: Graph
    state: RunState
    trouble: float = 0.15
    now: int = 1_000
    log: list[Event] = field(factory=list)
    pending: set[str] = field(factory=set)
    steps: int = 0
    held: bool = False

    def give(self, fact: Fact) -> Written:
        hold = self.rng.random() < self.trouble / 5
        written = turn(self.graph, self.state, fact, self.now, lambda _: hold)
        if written.held:
            self.held = True
        self.log += written.events
        self.pending |= set(written.prepare)
        return written

    def start(self) -> None:
        slot = self.rng.random() < 0.8
        self.give(Accepted(origin=ORIGIN, input={"x": 1}, slot=slot))
        if not slot and self.rng.random() < 0.9:
            self.give(Granted())

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
            self.give(Granted())
        else:
            self.give(self._answer())

    def crash(self) -> None:
        self.pending.clear()
        self.held = False
        self.give(Resumed())

    def _meddle(self) -> Fact:
        name = f"n{self.rng.randrange(len(self.graph.nodes))}"
        stale = Succeeded(address=Address(name), attempt=self.rng.randrange(1, 4), output=1, latency_ms=1)
        cancel = CancelAsked(by="admin", reason=self.rng.choice([None, "no need"]))
        kill = TerminateAsked(by="admin")
        return self.rng.choice([stale, stale, stale, cancel, kill, Woken()])

    def _answer(self) -> Fact:
        entries = list(self.state.entries.values())
        choices: list[Fact] = [self._prepared(name) for name in sorted(self.pending)]
        choices += [self._performed(entry) for entry in entries if entry.status == "running"]
        asked = [entry for entry in entries if entry.request is not None]
        if self.state.stopping is None:
            choices += [self._signal(entry.address.node, entry.request.request_id) for entry in asked]
            humans = [n.name for n in self.graph.document.nodes if isinstance(n, HumanInput)]
            if humans and self.rng.random() < 0.2:
                choices.append(self._signal(self.rng.choice(humans), f"early-{self.steps}"))
        due = [entry.due_at for entry in entries if entry.due_at is not None]
        if due and (not choices or self.rng.random() < 0.3):
            self.now = max(self.now, min(due))
            return Woken()
        return self.rng.choice(choices) if choices else Woken()

    def _signal(self, name: str, request_id: str) -> Fact:
        return Signalled(name=name, request_id=request_id, payload=self.steps, by="eve")

    def _prepared(self, name: str) -> Fact:
        self.pending.discard(name)
        if self.rng.random() < self.trouble / 3:
            return Unprepared(node=name, code="error", message="ValueError: no prompt")
        if isinstance(self.graph.nodes[name], Timer):
            return Scheduled(node=name, wake_at=self.now + self.rng.choice([0, 5_000]))
        return Prompted(node=name, prompt="Go on?", data={"n": 1})

    def _performed(self, entry) -> Fact:
        usage = Usage(tokens=self.rng.randrange(50), cost_micro_usd=self.rng.randrange(9))
        both = {"address": entry.address, "attempt": entry.attempt, "latency_ms": 5, "usage": usage}
        if self.rng.random() < self.trouble:
            final = self.rng.random() < 0.2
            return Erred(**both, code="error", message="boom", final=final, chance=self.rng.random())
        node = self.graph.nodes[entry.address.node]
        output = {"by": entry.address.node, "step": self.steps}
        if isinstance(node, Router) and entry.address.phase == "forward":
            output = [route for route in node.routes if self.rng.random() < 0.6]
        return Succeeded(**both, output=output)


def live(seed: int, trouble: float = 0.15, size: int = 8) -> World:
    """Live a whole random run."""
    rng = random.Random(seed)
    graph = Graph(random_document(rng, size))
    world = World(rng, graph, RunState(f"run_{seed}"), trouble)
    world.start()
    while world.state.end is None and world.steps < 5_000:
        world.step()
    return world
