"""The server as one context manager: engine, app and socket start together and stop in order.

``infraweave serve`` and the embedding interface both use it. On stop, streams close so that clients resume
elsewhere, node code may finish within the grace period, connections close, and the file is checkpointed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from hypercorn.config import Config

from infraweave.api.app import create_app
from infraweave.authoring.decorators import Workflow
from infraweave.core.access import make_token, token_hash
from infraweave.core.lazy_records import frozen
from infraweave.engine.catalog import CodeOverride
from infraweave.engine.clock import Clock, token_secret, ulid
from infraweave.engine.engine import Engine
from infraweave.engine.garbage_collector import GarbageCollector
from infraweave.errors import StartupError
from infraweave.server.http1 import serve_connections
from infraweave.settings import Settings

#: In place of a path: a private database, deleted at the end.
MEMORY = ":memory:"
#: Connections that wait to be accepted. The usual default of 100 drops bursts.
BACKLOG = 1024
#: Seconds for open connections to close after the streams have ended.
CLOSE_GRACE = 2.0
#: Seconds for a head to arrive, and for a connection to stay idle between two requests.
IDLE = 5.0


@frozen
class Serving:
    """A running server."""

    engine: Engine
    url: str
    #: The first principal's token, if this start created the database.
    token: str | None
    #: Signs in at the console as the first principal, once. None if that principal has no grants.
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
        StartupError: the file or the port is in use, or the file is not an InfraWeave database.
        DeclarationError: a workflow cannot be compiled.
        VersionConflict: a version that runs have used is loaded with different content.
    """
    settings = settings or Settings()
    with _listening(host, port) as listener:
        opening = Engine.open(path, workflows, clock=clock, settings=settings, code_override=code_override)
        async with opening as engine:
            first = await bootstrap_token(engine, token or make_token(token_secret()))
            url = _url(host, listener)
            watching = engine.loop_watch.watching()
            async with (
                GarbageCollector().watching(),
                watching,
                _serving_http(engine, settings, listener, host),
            ):
                yield Serving(engine, url, first, await engine.sign_in.first_code())


async def bootstrap_token(engine: Engine, token: str) -> str | None:
    """Create the first principal of a new database with this token; return None if the database has one."""
    now = engine.clock.now()
    made = await engine.principals.bootstrap(token_hash(token), f"tok_{ulid(now)}", now)
    return token if made else None


def write_token(db: Path, token: str) -> Path:
    """Write a token to a file beside its database. From its first byte, only the owner may read it."""
    path = db.with_name(f"{db.name}.token")
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
    return path


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With TCP named, asyncio disables Nagle's delay, which costs streams 40 ms an event.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # from here on connections wait and are not refused
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
async def _serving_http(
    engine: Engine, settings: Settings, listener: socket.socket, host: str
) -> AsyncIterator[None]:
    ended = asyncio.Event()
    app = create_app(engine, settings, hosts=(host, *settings.allow_hosts))
    serving = serve_connections(
        app, _config(), listener, engine.clock, ended, settings.max_unauthenticated_connections
    )
    server = asyncio.create_task(serving, name="http server")
    try:
        yield
    finally:
        # While node code finishes, /healthz and /readyz still respond, and every write gets 503.
        await engine.drain()
        ended.set()
        await server


def _config() -> Config:
    config = Config()
    config.backlog = BACKLOG
    config.graceful_timeout = CLOSE_GRACE
    config.keep_alive_timeout = IDLE
    config.errorlog = logging.getLogger("infraweave.http")
    config.include_server_header = False
    config.h11_max_incomplete_size = 16 * 1024
    config.max_app_queue_size = 10
    return config
