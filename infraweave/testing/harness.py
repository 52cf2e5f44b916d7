"""The fixture's object: a true server of one test, its virtual clock, and what stands in for bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infraweave.authoring.decorators import Workflow
from infraweave.client import Run
from infraweave.core.access import make_token
from infraweave.core.data.python_types import from_author
from infraweave.core.data.values import Duration, from_rfc3339
from infraweave.core.data.values import to_seconds as duration_in_seconds
from infraweave.engine.clock import token_secret
from infraweave.engine.engine import Engine
from infraweave.settings import Settings
from infraweave.testing.clock import BEGINNING, VirtualClock
from infraweave.testing.replace import UNSET, Phase, Raises, Replacement, Replacements, replacement
from infraweave.testing.runs import IwClient, IwRun
from infraweave.testing.server import OwnServer
from infraweave.testing.time import Passing


class Iw:
    """A server of its own on a virtual clock: HTTP, SSE and all, on a file in ``folder``.

    ```python
    async def test_two_days_later(iw):
        run = await iw.start(flow, {"order_id": "ord_1"})
        await iw.advance(hours=48)
        assert (await run.error())["code"] == "timeout"
    ```

    After each ``await iw.…`` all has happened that can happen without time passing. Time passes by
    ``advance``, and by itself while the test waits for a run (``run.result()``, ``run.events()``,
    ``run.until(…)``), from one thing that is due to the next; not so with ``iw.skips = False``, where
    a wait that only time can end raises ``Stuck`` unless another task lets time pass.
    """

    def __init__(
        self,
        folder: Path,
        workflows: Iterable[Workflow | str | Path] = (),
        *,
        settings: Settings | None = None,
        now: str | datetime | None = None,
        skip_time: bool = True,
        on_begin: Callable[[], object] = lambda: None,
    ) -> None:
        self._given, self._on_begin = list(workflows), on_begin
        #: The token of the principal ``admin``, who may do everything.
        self.token = make_token(token_secret())
        self.clock = VirtualClock(BEGINNING if now is None else _millis(now))
        self._replacements = Replacements(self.clock)
        self._server = OwnServer(
            folder / "infraweave.db", self.token, self.clock, self._replacements, settings
        )
        self._time = Passing(self.clock, self._server, skips=skip_time)
        self._client: IwClient | None = None

    # --- its life ------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def begin(self) -> None:
        """Start the server, unless it runs; the fixture does so before the test."""
        if await self._server.begin(self._given):
            self._client = IwClient(self.url, self.token, self._time)
            self._on_begin()
            await self._time.settle()

    async def close(self) -> None:
        """End the server; the fixture does so after the test."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        await self._server.kill()

    async def restart(self, *workflows: Workflow | str | Path, down: Duration | timedelta = 0) -> None:
        """Crash the server as ``kill -9`` does, and start a new one on the same file, at the same address.

        With ``workflows`` the new one has these loaded in place of those before: a new release. ``down``: how
        long nobody serves the file, ``"3h"``.
        """
        away = down.total_seconds() if isinstance(down, timedelta) else duration_in_seconds(down)
        await self._server.restart(workflows, away)
        await self._time.settle()

    # --- what it is ----------------------------------------------------------------------------------------

    @property
    def db(self) -> Path:
        """The database's file."""
        return self._server.db

    @property
    def url(self) -> str:
        """Where the server is, ``http://127.0.0.1:<port>``; the same after a restart."""
        return self._server.running.url

    @property
    def client(self) -> IwClient:
        """A client that may do everything: ``iw.client.start("checkout-flow", …)`` is the wire's start."""
        if self._client is None:
            raise RuntimeError(
                "iw is not running: it runs within an async test; elsewhere `await iw.begin()`"
            )
        return self._client

    @property
    def engine(self) -> Engine:
        """The engine of the server; another one after a restart."""
        return self._server.running.engine

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that the server runs on; None while there is no server."""
        return self._server.loop

    @property
    def now(self) -> datetime:
        """The time on the virtual clock, in UTC."""
        return datetime.fromtimestamp(self.clock.now() / 1000, UTC)

    @property
    def skips(self) -> bool:
        """Whether time skips by itself while the test waits for a run; else ``advance`` lets it pass."""
        return self._time.skips

    @skips.setter
    def skips(self, value: bool) -> None:
        self._time.skips = value

    async def serve(self, *workflows: Workflow | str | Path) -> None:
        """Serve workflows, and those that they name as subworkflows by object; or files and folders.

        For what does not come in by ``start``: workflows that schedules, webhooks or ``iw.client`` start.

        Raises:
            DeclarationError, LoadError, VersionConflict: one cannot be loaded.
        """
        await self.begin()
        await self._server.load(workflows)
        await self._time.settle()

    # --- runs ----------------------------------------------------------------------------------------------

    async def start(
        self,
        workflow: Workflow | str,
        input: Any = None,  # noqa: A002 - the wire's word
        *,
        version: str | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        start_at: datetime | str | None = None,
    ) -> IwRun:
        """Start a run of a workflow, which is loaded if it is not yet, or of a loaded one's id.

        ``input`` may be an instance of the input's class. When this returns, all has happened that can happen
        at once: the run waits for a person, for time, or has ended.

        Raises:
            ClientError: the server refused it, with the codes of ``POST /v1/runs``.
            DeclarationError: the workflow cannot be compiled.
            LookupError: a replacement names a node that no workflow has.
        """
        await self.begin()
        workflow_id = workflow if isinstance(workflow, str) else workflow.workflow_id
        if isinstance(workflow, Workflow):
            await self.serve(workflow)
            version = version or workflow.compile().version
        await self._check_replacements()
        run = await self.client.start(
            workflow_id,
            None if input is None else from_author(input),
            version=version,
            tags=tags,
            idempotency_key=idempotency_key,
            start_at=start_at,
        )
        await self._time.settle()
        return run

    async def _check_replacements(self) -> None:
        nodes = self._server.nodes()
        if self._replacements.strangers(nodes):
            nodes = {**nodes, **await self._published()}
        self._replacements.check(nodes)

    async def _published(self) -> dict[str, list[str]]:
        """Return the nodes of all active documents, those that were published over HTTP too."""
        listed = (await self.client.request("GET", "/v1/workflows"))["workflows"]
        documents = [await self.client.document(one["workflow_id"], one["active_version"]) for one in listed]
        return {one["workflow_id"]: [node["name"] for node in one["nodes"]] for one in documents}

    async def runs(self, workflow: Workflow | str | None = None, **filters: str) -> list[IwRun]:
        """Return all runs, the oldest first: those that schedules, webhooks and parents started too.

        ``filters`` are those of ``GET /v1/runs``: ``await iw.runs("nightly", trigger="schedule")``.
        """
        workflow_id = workflow.workflow_id if isinstance(workflow, Workflow) else workflow
        found: list[str] = []
        params: dict[str, Any] = {"workflow_id": workflow_id, "limit": 200, **filters}
        while True:
            page = await self.client.request("GET", "/v1/runs", params=params)
            found += [run["run_id"] for run in page["runs"]]
            params["cursor"] = page["next_cursor"]
            if params["cursor"] is None:
                return [self.client.run(run_id) for run_id in reversed(found)]

    async def signal(
        self, run: Run | str, name: str, payload: Any = None, *, request_id: str | None = None
    ) -> dict[str, Any]:
        """Answer a person's question, or send a signal; what follows from it has happened when this returns.

        Raises:
            ClientError: the server refused it.
        """
        sent = self.client.run(run if isinstance(run, str) else run.run_id)
        answer = await sent.signal(name, from_author(payload), request_id=request_id)
        await self._time.settle()
        return answer

    # --- time ----------------------------------------------------------------------------------------------

    async def advance(
        self,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        to: str | datetime | None = None,
    ) -> None:
        """Let time pass, or go on until ``to``; whatever falls due on the way happens at its time, in order.

        Raises:
            ValueError: that would be backwards.
        """
        await self.begin()
        delta = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        target = self.clock.now() + round(delta.total_seconds() * 1000) if to is None else _millis(to)
        if target < self.clock.now() or (to is not None and delta):
            raise ValueError(f"Time does not go from {self.now} to {to or delta}; give one of both, forwards")
        await self._time.to(target)

    async def settle(self) -> None:
        """Wait until all has happened that can happen without time passing."""
        await self._time.settle()

    # --- bodies --------------------------------------------------------------------------------------------

    def replace(
        self,
        name: str,
        body: Callable[..., Any] | None = None,
        *,
        returns: Any = UNSET,
        raises: Sequence[Raises] | Raises = None,
        attempts: Sequence[Any] | None = None,
        takes: Duration = 0,
        phase: Phase = "forward",
    ) -> Replacement:
        """Let something stand in for the body of a node, ``"charge"`` or ``"checkout-flow:charge"``.

        ``returns``: what every call returns. ``raises``: an exception that every attempt raises, or a list of
        one per attempt, after which the attempts return ``returns``, or what the node's own body returns.
        ``attempts``: what becomes of each attempt, exceptions raised and values returned; the last one stands
        for all further ones. ``body``: a function, called with those of the node's parameters that it names.
        ``takes``: how much virtual time it takes before. ``phase="compensation"``: the node's compensation.

        Returns the replacement, whose ``calls`` tell what it was called with:

        ```python
        charge = iw.replace("charge", raises=[TimeoutError(), TimeoutError()], returns={"paid": 7})
        ...
        assert [call.attempt for call in charge.calls] == [1, 2, 3]
        ```

        Raises:
            TypeError, ValueError: it is not said what is to happen, or it is said twice.
        """
        made = replacement(name, body, phase, takes, returns=returns, raises=raises, attempts=attempts)
        self._replacements.add(made)
        return made

    def restore(self, replaced: Replacement) -> None:
        """Let a node have its own body again."""
        self._replacements.remove(str(replaced))


def _millis(time: str | datetime) -> int:
    return from_rfc3339(time if isinstance(time, str) else time.isoformat())
