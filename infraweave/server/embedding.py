"""InfraWeave inside another program: a server, an engine without HTTP, or an ASGI app to mount.

A process may contain any number of them, each with its own file.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from infraweave.api.app import create_app
from infraweave.authoring.decorators import Workflow
from infraweave.client import Client, Run
from infraweave.core.access import make_token, token_hash
from infraweave.core.lazy_records import frozen
from infraweave.engine.clock import Clock, token_secret
from infraweave.engine.engine import Engine
from infraweave.server.in_process_transport import BASE_URL, InProcess, Message, Receive, Send
from infraweave.server.serving import MEMORY, bootstrap_token, serving, write_token
from infraweave.settings import Settings


@frozen
class Server:
    """A server in this process, with a client that has all grants."""

    url: str
    token: str
    client: Client
    engine: Engine
    #: Signs in at the console, once: ``<url>/console#code=<code>``.
    sign_in_code: str | None = None


@asynccontextmanager
async def serve(
    *workflows: Workflow,
    db: str | Path = ":memory:",
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    clock: Clock | None = None,
    settings: Settings | None = None,
) -> AsyncIterator[Server]:
    """Serve workflows over HTTP for the length of the block, on a free port unless one is given.

    ```python
    async with infraweave.serve(flow, db="runs.db") as server:
        run = await server.client.start("checkout-flow", {"order_id": "ord_1"})
        async for event in run.events():
            print(server.url, event["type"])
        result = await run.result()
    ```

    ``token`` becomes the first token of a new file; by default one is generated. For a file with principals
    it is one of their tokens; by default the principal ``admin`` gets one for the length of the block.

    Raises:
        StartupError: the file or the port is in use, or the file is not an InfraWeave database.
        DeclarationError: a workflow cannot be compiled.
        VersionConflict: a version that runs have used has different content.
    """
    first = token or make_token(token_secret())
    opening = serving(db, workflows, host=host, port=port, token=first, clock=clock, settings=settings)
    async with opening as running, AsyncExitStack() as stack:
        if token is None and running.token is None:
            first = await stack.enter_async_context(_temporary_token(running.engine))
        client = await stack.enter_async_context(Client(running.url, first))
        yield Server(running.url, first, client, running.engine, running.sign_in_code)


@asynccontextmanager
async def _temporary_token(engine: Engine) -> AsyncIterator[str]:
    """Create a token with all grants for the length of the block."""
    text = make_token(token_secret())
    token_id = await engine.create_admin_token(token_hash(text))
    try:
        yield text
    finally:
        await engine.dismiss(token_id)


@frozen
class Embedded:
    """An engine in this process without HTTP, with a client that has all grants."""

    client: Client
    engine: Engine

    async def start(
        self,
        workflow_id: str,
        input: Any = None,  # noqa: A002 - the wire's word
        *,
        version: str | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        start_at: datetime | str | None = None,
    ) -> Run:
        """Start a run; see ``Client.start``.

        Raises:
            ClientError: the start was refused, with the codes of ``POST /v1/runs``.
            ValueError: ``start_at`` has no offset.
        """
        return await self.client.start(
            workflow_id,
            input,
            version=version,
            tags=tags,
            idempotency_key=idempotency_key,
            start_at=start_at,
        )

    def run(self, run_id: str) -> Run:
        """Return a run by its id."""
        return self.client.run(run_id)


@asynccontextmanager
async def embed(
    *workflows: Workflow,
    db: str | Path = ":memory:",
    clock: Clock | None = None,
    settings: Settings | None = None,
) -> AsyncIterator[Embedded]:
    """Run workflows without HTTP for the length of the block. Nothing listens; all else is as in ``serve``.

    ```python
    async with infraweave.embed(flow, db="runs.db") as engine:
        run = await engine.start("checkout-flow", {"order_id": "ord_1"})
        async for event in run.events():
            print(event["type"])
        result = await run.result()
    ```

    Raises:
        StartupError: the file is in use, or it is not an InfraWeave database.
        DeclarationError: a workflow cannot be compiled.
        VersionConflict: a version that runs have used has different content.
    """
    async with (
        Engine.open(db, workflows, clock=clock, settings=settings) as engine,
        _temporary_token(engine) as token,
        Client(BASE_URL, token, transport=_transport(engine, settings)) as client,
    ):
        yield Embedded(client, engine)


def _transport(engine: Engine, settings: Settings | None) -> InProcess:
    app: Any = create_app(engine, settings)  # its message types are narrower
    return InProcess(app)


def asgi(
    *workflows: Workflow,
    db: str | Path = "infraweave.db",
    token: str | None = None,
    clock: Clock | None = None,
    settings: Settings | None = None,
) -> MountedApp:
    """Return an ASGI app to mount into another app.

    ```python
    app = FastAPI(lifespan=...)
    app.mount("/flows", infraweave.asgi(flow, db="runs.db"))
    ```

    ``token`` becomes the first token of a new file. By default one is generated and written to ``<db>.token``
    (mode 0600), as by ``infraweave serve``.
    """
    return MountedApp(workflows, db, token, clock, settings or Settings())


class MountedApp:
    """An ASGI app with an engine that runs from lifespan start-up to shutdown.

    If the host passes on no lifespan, the engine starts with the first request and ends with the process, as
    in a crash: nothing durable is lost.
    """

    def __init__(
        self,
        workflows: tuple[Workflow, ...],
        db: str | Path,
        token: str | None,
        clock: Clock | None,
        settings: Settings,
    ) -> None:
        self._workflows, self._db, self._token = workflows, db, token
        self._clock, self._settings = clock, settings
        self._stack = AsyncExitStack()
        self._starting = asyncio.Lock()
        self._app: Any = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)
        else:
            await self._start()
            await self._app(scope, receive, send)

    async def _start(self) -> None:
        async with self._starting:
            if self._app is None:
                opening = Engine.open(self._db, self._workflows, clock=self._clock, settings=self._settings)
                engine = await self._stack.enter_async_context(opening)
                made = await bootstrap_token(engine, self._token or make_token(token_secret()))
                if made is not None and self._token is None and str(self._db) != MEMORY:
                    write_token(Path(self._db), made)
                self._app = create_app(engine, self._settings, hosts=self._settings.allow_hosts or None)

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stack.aclose()
        await send({"type": "lifespan.shutdown.complete"})
