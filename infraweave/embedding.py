"""InfraWeave inside another program: the true server, the engine without HTTP, or an ASGI app to mount."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

from attrs import frozen

from infraweave.api.app import create_app
from infraweave.authoring.decorators import Workflow
from infraweave.client import Client
from infraweave.core.access import make_token
from infraweave.engine.clock import Clock, token_secret
from infraweave.engine.engine import Engine
from infraweave.serving import serving
from infraweave.settings import Settings

Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]


@frozen
class Server:
    """A server of this process, with a client that may do everything."""

    url: str
    token: str
    client: Client
    engine: Engine


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

    ``token`` is needed for a file that has principals already; a new file takes it as its first token.

    Raises:
        StartupError: the file or the port is in use, or the file is not ours.
        DeclarationError: a workflow cannot be compiled.
    """
    token = token or make_token(token_secret())
    async with (
        serving(db, workflows, host=host, port=port, token=token, clock=clock, settings=settings) as running,
        Client(running.url, token) as client,
    ):
        yield Server(running.url, token, client, running.engine)


def embed(
    *workflows: Workflow,
    db: str | Path = ":memory:",
    clock: Clock | None = None,
    settings: Settings | None = None,
) -> AbstractAsyncContextManager[Engine]:
    """Run workflows without HTTP for the length of the block; gives the engine."""
    return Engine.open(db, workflows, clock=clock, settings=settings)


def asgi(
    *workflows: Workflow, db: str | Path = "infraweave.db", settings: Settings | None = None
) -> MountedApp:
    """Return an ASGI app to mount into another one."""
    return MountedApp(workflows, db, settings or Settings())


class MountedApp:
    """An ASGI app whose engine lives from lifespan start-up to shutdown.

    Under a host that passes no lifespan on, it begins with the first request and ends with the process, as
    after a crash: nothing durable is lost.
    """

    def __init__(self, workflows: tuple[Workflow, ...], db: str | Path, settings: Settings) -> None:
        self._workflows, self._db, self._settings = workflows, db, settings
        self._stack = AsyncExitStack()
        self._beginning = asyncio.Lock()
        self._app: Any = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._begin()
            await self._app(scope, receive, send)

    async def _begin(self) -> None:
        async with self._beginning:
            if self._app is None:
                opened = Engine.open(self._db, self._workflows, settings=self._settings)
                self._app = create_app(
                    await self._stack.enter_async_context(opened),
                    self._settings,
                    hosts=self._settings.allow_hosts or None,
                )

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._begin()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stack.aclose()
        await send({"type": "lifespan.shutdown.complete"})
