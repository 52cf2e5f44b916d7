"""The server as one block: engine, app and socket begin together and end in order.

Used by ``infraweave serve`` and by the embedding interface alike, so that what a test runs is what is run in
earnest. At the end: streams are closed so that clients resume elsewhere, bodies may finish within the grace
period, then connections close and the file is checkpointed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import frozen
from hypercorn.config import Config

from infraweave.api.app import create_app
from infraweave.authoring.decorators import Workflow
from infraweave.core.access import make_token, token_hash
from infraweave.engine.catalog import CodeOverride
from infraweave.engine.clock import Clock, token_secret, ulid
from infraweave.engine.engine import Engine
from infraweave.engine.garbage_collector import GarbageCollector
from infraweave.errors import StartupError
from infraweave.server.http1 import answer
from infraweave.settings import Settings

#: In place of a path: a private database, removed at the end.
MEMORY = ":memory:"
#: Connections that may wait to be accepted; the usual default of 100 drops bursts.
BACKLOG = 1024
#: Seconds that open connections get once every stream has been ended.
GOODBYE = 2.0
#: Seconds that a head may take to come, and that a connection may rest between two requests.
IDLE = 5.0


@frozen
class Serving:
    """A server that answers."""

    engine: Engine
    url: str
    #: The first principal's token, where this start made the database.
    token: str | None
    #: Signs in at the console as the first principal, once; None where that one may do nothing any more.
    sign_in_code: str | None


@asynccontextmanager
async def serving(
    path: str | Path,
    workflows: Sequence[Workflow] = (),
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    clock: Clock | None = None,
    settings: Settings | None = None,
    code_override: CodeOverride | None = None,
) -> AsyncIterator[Serving]:
    """Serve a file over HTTP for the length of the block; ``token`` becomes a new database's first token.

    ``code_override`` replaces the code of nodes, for tests.

    Raises:
        StartupError: the file or the port is in use, or the file is not ours.
        DeclarationError: a workflow cannot be compiled.
        VersionConflict: a version that runs have used is loaded with another content.
    """
    settings = settings or Settings()
    with _listening(host, port) as listener:
        opening = Engine.open(path, workflows, clock=clock, settings=settings, code_override=code_override)
        async with opening as engine:
            first = await admit_first(engine, token or make_token(token_secret()))
            url = _url(host, listener)
            watching = engine.loop_watch.watching()
            async with GarbageCollector().watching(), watching, _answering(engine, settings, listener, host):
                yield Serving(engine, url, first, await engine.sign_in.first_code())


async def admit_first(engine: Engine, token: str) -> str | None:
    """Let a new database have its first principal, with this token; return it where it is new."""
    now = engine.clock.now()
    made = await engine.principals.bootstrap(token_hash(token), f"tok_{ulid(now)}", now)
    return token if made else None


def write_token(db: Path, token: str) -> Path:
    """Keep a token beside its database, in a file that only its owner may read, from its first byte on."""
    path = db.with_name(f"{db.name}.token")
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
    return path


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio would not turn Nagle's delay off, which costs streams 40 ms an event.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # from here on connections wait instead of being refused
    except OSError as error:
        listener.close()
        raise StartupError(
            f"Cannot listen on {host}:{port} ({error.strerror}); choose another --port, or 0 for a free one"
        ) from error
    return listener


def _url(host: str, listener: socket.socket) -> str:
    name = "127.0.0.1" if host in ("0.0.0.0", "") else "[::1]" if host == "::" else host  # noqa: S104
    name = f"[{name}]" if ":" in name and not name.startswith("[") else name
    return f"http://{name}:{listener.getsockname()[1]}"


@asynccontextmanager
async def _answering(
    engine: Engine, settings: Settings, listener: socket.socket, host: str
) -> AsyncIterator[None]:
    ended = asyncio.Event()
    app = create_app(engine, settings, hosts=(host, *settings.allow_hosts))
    answering = answer(
        app, _config(), listener, engine.clock, ended, settings.max_unauthenticated_connections
    )
    server = asyncio.create_task(answering, name="http server")
    try:
        yield
    finally:
        # While bodies finish, /healthz and /readyz still answer, and every write gets 503.
        await engine.drain()
        ended.set()
        await server


def _config() -> Config:
    config = Config()
    config.backlog = BACKLOG
    config.graceful_timeout = GOODBYE
    config.keep_alive_timeout = IDLE
    config.errorlog = logging.getLogger("infraweave.http")
    config.include_server_header = False
    config.h11_max_incomplete_size = 16 * 1024
    config.max_app_queue_size = 10
    return config
