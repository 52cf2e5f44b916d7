"""``Iw``, the object of the fixture: a real server for one test, its virtual clock, and replaced bodies."""

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
from infraweave.testing.server import HarnessServer
from infraweave.testing.time import TimeSkipper


class Iw:
    """A real server with HTTP and SSE, on a virtual clock and a database file in ``folder``.

    ```python
    async def test_two_days_later(iw):
        run = await iw.start(flow, {"order_id": "ord_1"})
        await iw.advance(hours=48)
        assert (await run.error())["code"] == "timeout"
    ```

    After each ``await iw.…``, everything has happened that can happen without time passing. ``advance`` lets
    time pass. While the test waits for a run (``run.result()``, ``run.events()``, ``run.until(…)``), time
    skips by itself to each next due time. With ``iw.skips = False`` it does not: a wait that only time can
    end raises ``Stuck``, unless another task lets time pass.
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
        #: The token of the principal ``admin``, which has every grant.
        self.token = make_token(token_secret())
        self.clock = VirtualClock(BEGINNING if now is None else _millis(now))
        self._replacements = Replacements(self.clock)
        self._server = HarnessServer(
            folder / "infraweave.db", self.token, self.clock, self._replacements, settings
        )
        self._time = TimeSkipper(self.clock, self._server, skips=skip_time)
        self._client: IwClient | None = None

    # --- start and stop ------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def begin(self) -> None:
        """Start the server if it is not running. The fixture does this before the test."""
        if await self._server.begin(self._given):
            self._client = IwClient(self.url, self.token, self._time)
            self._on_begin()
            await self._time.settle()

    async def close(self) -> None:
        """Stop the server. The fixture does this after the test."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        await self._server.kill()

    async def restart(self, *workflows: Workflow | str | Path, down: Duration | timedelta = 0) -> None:
        """Crash the server like ``kill -9``, and start a new one on the same file, at the same address.

        ``workflows`` replace the loaded ones, like a new release. ``down`` is the time without a server, such
        as ``"3h"``.
        """
        away = down.total_seconds() if isinstance(down, timedelta) else duration_in_seconds(down)
        await self._server.restart(workflows, away)
        await self._time.settle()

    # --- properties ----------------------------------------------------------------------------------------

    @property
    def db(self) -> Path:
        """The database file."""
        return self._server.db

    @property
    def url(self) -> str:
        """The address of the server, ``http://127.0.0.1:<port>``. A restart keeps it."""
        return self._server.running.url

    @property
    def client(self) -> IwClient:
        """A client with every grant: ``iw.client.start("checkout-flow", …)`` uses ``POST /v1/runs``."""
        if self._client is None:
            raise RuntimeError(
                "iw is not running: it runs within an async test; elsewhere `await iw.begin()`"
            )
        return self._client

    @property
    def engine(self) -> Engine:
        """The engine of the server. A restart creates a new one."""
        return self._server.running.engine

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop of the server, or None if it is not running."""
        return self._server.loop

    @property
    def now(self) -> datetime:
        """The time on the virtual clock, in UTC."""
        return datetime.fromtimestamp(self.clock.now() / 1000, UTC)

    @property
    def skips(self) -> bool:
        """Whether time skips by itself while the test waits for a run."""
        return self._time.skips

    @skips.setter
    def skips(self, value: bool) -> None:
        self._time.skips = value

    async def serve(self, *workflows: Workflow | str | Path) -> None:
        """Load workflows, with the subworkflow objects that they name, or files and folders.

        ``start`` loads its workflow by itself. Use this for workflows that schedules, webhooks or
        ``iw.client`` start.

        Raises:
            DeclarationError, LoadError, VersionConflict: a workflow cannot be loaded.
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
        """Start a run of a workflow, which is loaded if necessary, or of the id of a loaded workflow.

        ``input`` may be an instance of the input's class. When this returns, the run waits for a person, a
        signal or time, or has ended.

        Raises:
            ClientError: the server refused it, with the codes of ``POST /v1/runs``.
            DeclarationError: the workflow cannot be compiled.
            LookupError: a replacement names a node that does not exist.
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
        if self._replacements.unknown(nodes):
            nodes = {**nodes, **await self._published()}
        self._replacements.check(nodes)

    async def _published(self) -> dict[str, list[str]]:
        """Return the nodes of all active documents, including those published over HTTP."""
        listed = (await self.client.request("GET", "/v1/workflows"))["workflows"]
        documents = [await self.client.document(one["workflow_id"], one["active_version"]) for one in listed]
        return {one["workflow_id"]: [node["name"] for node in one["nodes"]] for one in documents}

    async def runs(self, workflow: Workflow | str | None = None, **filters: str) -> list[IwRun]:
        """Return all runs, oldest first, including those started by schedules, webhooks and parents.

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
        """Answer an input request or send a signal, and wait until its immediate effects have happened.

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
        """Let time pass, by a duration or until ``to``. Whatever becomes due happens at its time, in order.

        Raises:
            ValueError: the target is in the past.
        """
        await self.begin()
        delta = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        target = self.clock.now() + round(delta.total_seconds() * 1000) if to is None else _millis(to)
        if target < self.clock.now() or (to is not None and delta):
            raise ValueError(
                f"cannot advance from {self.now} to {to or delta}; give `to` or a duration, forwards"
            )
        await self._time.to(target)

    async def settle(self) -> None:
        """Wait until everything has happened that can happen without time passing."""
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
        """Replace the body of a node, named ``"charge"`` or ``"checkout-flow:charge"``.

        - ``returns``: the return value of every call.
        - ``raises``: an exception for every attempt, or a list with one exception per attempt. Later attempts
          return ``returns``, or call the node's own body.
        - ``attempts``: an exception or return value for each attempt. Later attempts repeat the last one.
        - ``body``: a function. It gets those of the node's parameters that it names.
        - ``takes``: the virtual time that each call takes first.
        - ``phase="compensation"``: replace the node's compensation instead.

        Returns the replacement. Its ``calls`` are the calls with their arguments:

        ```python
        charge = iw.replace("charge", raises=[TimeoutError(), TimeoutError()], returns={"paid": 7})
        ...
        assert [call.attempt for call in charge.calls] == [1, 2, 3]
        ```

        Raises:
            TypeError, ValueError: the arguments describe no behaviour, or contradict each other.
        """
        made = replacement(name, body, phase, takes, returns=returns, raises=raises, attempts=attempts)
        self._replacements.add(made)
        return made

    def restore(self, replaced: Replacement) -> None:
        """Restore the own body of a node."""
        self._replacements.remove(str(replaced))


def _millis(time: str | datetime) -> int:
    return from_rfc3339(time if isinstance(time, str) else time.isoformat())
