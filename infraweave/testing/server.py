"""A real server that a test starts, kills and restarts on the same file."""

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

#: Seconds between heartbeats. With normal ones, virtual time would skip to each heartbeat.
_NO_HEARTBEAT = 100 * 365 * 86_400.0


class HarnessServer:
    """The server of one test."""

    def __init__(
        self, db: Path, token: str, clock: VirtualClock, replacements: Replacements, settings: Settings | None
    ) -> None:
        self.db, self._token, self._clock, self._replacements = db, token, clock, replacements
        given = settings or Settings()
        # Skipping time must not reach the day on which the runs of the test would be removed.
        keep = None if given.keep == Settings().keep else given.keep
        self._settings = evolve(given, heartbeat=_NO_HEARTBEAT, keep=keep)
        self._workflows: list[Workflow] = []
        #: The compiled document and code of each loaded workflow, by id(workflow).
        self._compiled: dict[int, Any] = {}
        self._serving: Serving | None = None
        self._stack: AsyncExitStack | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # --- start and stop ------------------------------------------------------------------------------------

    async def begin(self, workflows: Iterable[Workflow | str | Path]) -> bool:
        """Start the server if it is not running; return whether it was started.

        Raises:
            RuntimeError: the server runs on another event loop, or this loop is not asyncio's.
            DeclarationError, LoadError: a workflow cannot be compiled or loaded.
        """
        loop = _asyncio_loop()
        if self._serving is None:
            self._register(workflows)
            await self._serve(port=0)
            self._loop = loop
            return True
        if self._loop is not loop:
            raise RuntimeError(
                "iw was started on another event loop; give the fixture that starts it the loop of the test."
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
            # Called first on exit: running attempts stay open on disk, as after a kill.
            stack.callback(self._serving.engine.abandon)
            self._stack = stack.pop_all()

    async def kill(self) -> None:
        """Stop like a killed process, if running."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()
        self._serving = None

    async def restart(self, workflows: Iterable[Workflow | str | Path], down: float) -> None:
        """Kill the server and start it at the same address, ``down`` seconds later; see ``Iw.restart``."""
        port = int(self.running.url.rpartition(":")[2])
        await self.kill()
        await self._clock.advance(down)
        given = list(workflows)
        if given:
            self._workflows, self._compiled = [], {}
            self._register(given)
        await self._serve(port)

    @property
    def running(self) -> Serving:
        """The running server.

        Raises:
            RuntimeError: it is not running.
        """
        if self._serving is None:
            raise RuntimeError(
                "iw is not running: it runs within an async test; elsewhere `await iw.begin()`"
            )
        return self._serving

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop of the server, or None if it is not running."""
        return None if self._serving is None else self._loop

    # --- activity ------------------------------------------------------------------------------------------

    def is_storing(self) -> bool:
        """Tell whether the database is busy."""
        return self._serving is not None and not self._serving.engine.db.is_idle

    def in_flight(self) -> list[Attempt]:
        """Return the attempts whose bodies run, except those that wait for the clock."""
        waiting = self._replacements.waiting
        attempts = [] if self._serving is None else self._serving.engine.registry.in_flight()
        return [attempt for attempt in attempts if attempt.context not in waiting]

    # --- workflows -----------------------------------------------------------------------------------------

    async def load(self, workflows: Iterable[Workflow | str | Path]) -> None:
        """Load workflows that are new or have changed.

        Raises:
            DeclarationError, LoadError, VersionConflict: a workflow cannot be loaded.
        """
        for workflow in self._register(workflows):
            await self.running.engine.catalog.load(workflow)

    def nodes(self) -> dict[str, list[str]]:
        """Return the node names of each loaded workflow."""
        return {flow.workflow_id: [d.name for d in flow.declarations] for flow in self._workflows}

    def _register(self, workflows: Iterable[Workflow | str | Path]) -> list[Workflow]:
        fresh = [flow for flow in _all(workflows) if self._compiled.get(id(flow)) is not flow.compiled]
        self._compiled.update({id(flow): flow.compiled for flow in fresh})
        self._workflows = [flow for flow in self._workflows if flow not in fresh] + fresh
        return fresh


def _all(given: Iterable[Workflow | str | Path]) -> Iterator[Workflow]:
    """Yield workflows with the subworkflow objects that they name, and those of files and folders."""
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
            "iw needs asyncio; with anyio's plugin, the fixture anyio_backend must return 'asyncio'."
        ) from None
