"""A true server that a test starts, loads with workflows, kills and starts again on the same file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from attrs import evolve

from infraweave.authoring.decorators import Workflow
from infraweave.authoring.loader import load
from infraweave.engine.execution.attempt import Attempt
from infraweave.server.serving import Serving, serving
from infraweave.settings import Settings
from infraweave.testing.clock import VirtualClock
from infraweave.testing.replace import Replacements

#: Heartbeats would be things that fall due: a century without any.
_NO_HEARTBEAT = 100 * 365 * 86_400.0


class OwnServer:
    """The server of one test."""

    def __init__(
        self, db: Path, token: str, clock: VirtualClock, replacements: Replacements, settings: Settings | None
    ) -> None:
        self.db, self._token, self._clock, self._replacements = db, token, clock, replacements
        given = settings or Settings()
        # Time that skips by itself must not skip to the day on which what a test looks at is removed.
        keep = None if given.keep == Settings().keep else given.keep
        self._settings = evolve(given, heartbeat=_NO_HEARTBEAT, keep=keep)
        self._workflows: list[Workflow] = []
        #: What each loaded workflow was compiled to, by its identity.
        self._compiled: dict[int, Any] = {}
        self._serving: Serving | None = None
        self._stack: AsyncExitStack | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # --- its life ------------------------------------------------------------------------------------------

    async def begin(self, workflows: Iterable[Workflow | str | Path]) -> bool:
        """Start, unless it runs; return whether it had to be started.

        Raises:
            RuntimeError: it runs on another event loop, or this one is not asyncio's.
            DeclarationError, LoadError: a workflow cannot be compiled or loaded.
        """
        loop = _asyncio_loop()
        if self._serving is None:
            self._note(workflows)
            await self._serve(port=0)
            self._loop = loop
            return True
        if self._loop is not loop:
            raise RuntimeError(
                "iw was started on another event loop; let the fixture that starts it have the test's loop."
            )
        return False

    async def _serve(self, port: int) -> None:
        async with AsyncExitStack() as stack:
            opening = serving(
                self.db,
                self._workflows,
                port=port,
                token=self._token,
                clock=self._clock,
                settings=self._settings,
                code_override=self._replacements.code_override,
            )
            self._serving = await stack.enter_async_context(opening)
            # Before all else at the end: what is in flight stays open on disk, as after a kill.
            stack.callback(self._serving.engine.abandon)
            self._stack = stack.pop_all()

    async def kill(self) -> None:
        """End, as a killed process does, if it runs."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()
        self._serving = None

    async def restart(self, workflows: Iterable[Workflow | str | Path], down: float) -> None:
        """Be killed and start again at the same address, ``down`` seconds later; see ``Iw.restart``."""
        port = int(self.running.url.rpartition(":")[2])
        await self.kill()
        await self._clock.advance(down)
        given = list(workflows)
        if given:
            self._workflows, self._compiled = [], {}
            self._note(given)
        await self._serve(port)

    @property
    def running(self) -> Serving:
        """What serves.

        Raises:
            RuntimeError: nothing does.
        """
        if self._serving is None:
            raise RuntimeError(
                "iw is not running: it runs within an async test; elsewhere `await iw.begin()`"
            )
        return self._serving

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that it runs on; None while it does not."""
        return None if self._serving is None else self._loop

    # --- being watched -------------------------------------------------------------------------------------

    def is_storing(self) -> bool:
        """Tell whether the database is at work."""
        return self._serving is not None and not self._serving.engine.db.is_idle

    def in_flight(self) -> list[Attempt]:
        """Return the attempts whose bodies are being called, apart from those that wait for the clock."""
        waiting = self._replacements.waiting
        attempts = [] if self._serving is None else self._serving.engine.registry.in_flight()
        return [attempt for attempt in attempts if attempt.context not in waiting]

    # --- workflows -----------------------------------------------------------------------------------------

    async def load(self, workflows: Iterable[Workflow | str | Path]) -> None:
        """Load what is not loaded yet, or has been changed since.

        Raises:
            DeclarationError, LoadError, VersionConflict: one cannot be loaded.
        """
        for workflow in self._note(workflows):
            await self.running.engine.catalog.load(workflow)

    def nodes(self) -> dict[str, list[str]]:
        """Return the names of the nodes of each loaded workflow."""
        return {flow.workflow_id: [d.name for d in flow.declarations] for flow in self._workflows}

    def _note(self, workflows: Iterable[Workflow | str | Path]) -> list[Workflow]:
        fresh = [flow for flow in _all(workflows) if self._compiled.get(id(flow)) is not flow.compiled]
        self._compiled.update({id(flow): flow.compiled for flow in fresh})
        self._workflows = [flow for flow in self._workflows if flow not in fresh] + fresh
        return fresh


def _all(given: Iterable[Workflow | str | Path]) -> Iterator[Workflow]:
    """Yield workflows with the children that they name by object, and those of files and folders."""
    seen: set[int] = set()
    todo = list(given)
    while todo:
        one = todo.pop(0)
        if not isinstance(one, Workflow):
            todo += load([one])
        elif id(one) not in seen:
            seen.add(id(one))
            todo += [d.workflow for d in one.declarations if isinstance(d.workflow, Workflow)]
            yield one


def _asyncio_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "iw needs asyncio; with anyio's plugin, let the fixture anyio_backend return 'asyncio'."
        ) from None
