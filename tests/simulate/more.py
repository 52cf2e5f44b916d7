"""What newer worlds have beside: tenants, webhooks, values that are too large, glitches of the clock.

Worlds of earlier seeds draw nothing for it, so that they are lived as they were when they found something.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from attrs import define, field

from infraweave.core.workflow.triggers import DELIVERY_HEADER, SIGNATURE_HEADER, Webhook
from infraweave.core.workflow.webhooks import sign, signing_key
from infraweave.engine.engine import Engine
from infraweave.errors import WebhookConflict, WebhookNotFound
from infraweave.store.webhooks import WebhookRow
from tests.simulate.model import Key, Run

if TYPE_CHECKING:
    from tests.simulate.world import World

#: The first seed of a newer world.
NEWER = 20_000_000
TENANTS = ("default", "other", "third")
SECRET = "whsec_" + "c2ltdWxhdGVkIHdvcmxkcyBrZWVwIG5vIHNlY3JldHM="
#: Bytes of an output, and its depth, that are too much for newer worlds.
LARGE, DEEP = 4_096, 300


@define(eq=False)
class Fairness:
    """Whether each tenant has its turn. ``free`` are the workflows without a limit of their own."""

    free: frozenset[str]
    fault: Callable[[str], object]
    slots: int = 1
    #: Runs that wait for anything.
    lined_up: set[str] = field(factory=set)
    #: By tenant: its runs that wait for a slot alone, and starts of others since it had one.
    queued: dict[str, set[str]] = field(factory=dict)
    passed: dict[str, int] = field(factory=dict)

    def restart(self, slots: int) -> None:
        """Begin another life: who is queued is lined up anew."""
        self.slots = slots
        self.passed.clear()

    @property
    def most(self) -> int:
        """Return how many starts others may have while a tenant waits.

        Those that had their slots before it came, one turn of each other tenant, and those that have the
        other slots while its own start is being read and stored.
        """
        return self.slots + len(TENANTS) - 1 + self.slots - 1

    def hear(self, run: Run) -> None:
        """Take in what one commit has told of a run."""
        tenant, waits = run.origin["tenant"], self.queued.setdefault(run.origin["tenant"], set())
        if run.state == "queued" and run.end is None:
            self.lined_up.add(run.run_id)
            if run.origin["workflow_id"] in self.free and run.origin.get("start_at") is None:
                waits.add(run.run_id)
        elif run.run_id in self.lined_up:
            self.lined_up.discard(run.run_id)
            waits.discard(run.run_id)
            if run.started_at is not None:
                self._started(tenant)
            else:
                self.passed[tenant] = 0  # it may have been granted its slot just as it was cancelled

    def _started(self, tenant: str) -> None:
        self.passed[tenant] = 0
        for other, waits in self.queued.items():
            if other != tenant and waits:
                self.passed[other] = self.passed.get(other, 0) + 1
                if self.passed[other] > self.most:
                    self.fault(f"{other} waits for a slot while others had {self.passed[other]}")
            elif other != tenant:
                self.passed[other] = 0


@define(eq=False)
class More:
    """What a newer world does beside, drawn apart from all else."""

    world: World
    rng: random.Random
    #: Attempts that returned what is too large.
    refused: set[tuple[str, Key, int]] = field(factory=set)
    #: By tenant and delivery: the run that was acknowledged.
    delivered: dict[tuple[str, str], str] = field(factory=dict)

    async def begin(self, engine: Engine) -> None:
        """Have the tenants and their webhooks."""
        for tenant in TENANTS[1:]:
            await engine.admin.create_tenant(tenant, engine.clock.now())
            await engine.catalog.publish_loaded(tenant)
        for tenant in TENANTS:
            try:
                row = WebhookRow(
                    tenant=tenant, workflow_id="w", webhook=Webhook(name=f"h-{tenant}"), secret=SECRET
                )
                await engine.webhooks.create(row)
            except WebhookConflict:
                pass  # made in an earlier life

    def between_lives(self) -> None:
        """Set the clock of the machine while nobody serves."""
        if self.rng.random() < 0.3:
            self.world.set_by(self.rng.choice([-86_400, -600, 600, 86_400]))

    async def step(self, engine: Engine) -> None:
        """Do one of these."""
        draw = self.rng.random()
        if draw < 0.05:
            self.world.call(self._glitch())
        elif draw < 0.2:
            self.world.call(self._deliver(engine))
        elif draw < 0.3:
            self.world.call(self._look(engine))

    async def _glitch(self) -> None:
        """Set the clock for a moment."""
        seconds = self.rng.choice([-86_400, -3_600, 3_600, 86_400])
        self.world.set_by(seconds)
        await asyncio.sleep(self.rng.choice([0.001, 2, 90]))
        self.world.set_by(-seconds)

    async def _deliver(self, engine: Engine) -> None:
        """Deliver once, or again, or with a signature that is none."""
        tenant, number = self.rng.choice(TENANTS), self.rng.randrange(6)
        hook = f"h-{tenant}"
        body = json.dumps([number]).encode()
        forged = self.rng.random() < 0.2
        key = b"of somebody else" if forged else signing_key("hex", SECRET.encode())
        headers = {
            SIGNATURE_HEADER.lower(): f"sha256={sign(key, body)}",
            DELIVERY_HEADER.lower(): f"d{number}",
        }
        name = hook if tenant == "default" else f"{tenant}:{hook}"
        try:
            row = await engine.webhooks.authenticate(name, headers, body)
        except WebhookNotFound:
            if not forged:
                self.world.fault(f"a genuine delivery to {name} was refused")
            return
        if forged:
            self.world.fault(f"a forged delivery to {name} was taken")
        self._took(tenant, number, (await engine.webhooks.start(row, headers, body, [number])).run.run_id)

    def _took(self, tenant: str, number: int, run_id: str) -> None:
        run = self.world.model.ids.get(run_id)
        if run is None or run.origin["tenant"] != tenant or run.origin["trigger"] != "webhook":
            self.world.fault(f"{run_id} was acknowledged for a delivery to {tenant}, and is none of its runs")
        before = self.delivered.get((tenant, f"d{number}"))
        there = before is not None and self.world.model.ids[before].run_key in self.world.model.runs
        if there and before != run_id:
            self.world.fault(f"delivery d{number} to {tenant} made {before} and {run_id}")
        self.delivered[tenant, f"d{number}"] = run_id

    async def _look(self, engine: Engine) -> None:
        """See that nobody's list has what is another's."""
        tenant = self.rng.choice(TENANTS)
        for row in await engine.runs.list(tenant, limit=200):
            run = self.world.model.ids.get(row.run_id)
            if row.tenant != tenant or run is None or run.origin["tenant"] != tenant:
                self.world.fault(f"the list of {tenant} has {row.run_id}")

    def output(self, ctx: Any) -> Any:
        """Return what is too large or too deep, now and then; else None."""
        if self.rng.random() >= 0.01:
            return None
        self.refused.add((ctx.run_id, tuple(ctx.address), ctx.attempt))
        if self.rng.random() < 0.5:
            return "x" * (2 * LARGE)
        value: Any = []
        for _ in range(DEEP):
            value = [value]
        return value

    def wrong(self, run: Run, kind: str, data: dict[str, Any], key: Key) -> Iterator[str]:
        """Yield what an event says of an attempt that returned too much, and must not."""
        if (run.run_id, key, data.get("attempt")) not in self.refused:
            return
        if kind == "node_completed":
            yield "it completes with an output that is too large"
        elif kind == "node_failed" and data["will_retry"] and data["code"] not in ("timeout", "interrupted"):
            yield f"it is tried again after {data['code']}"
