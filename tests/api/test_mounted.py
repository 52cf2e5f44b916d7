"""The API inside another ASGI app, under a path of that app's."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import httpx

import infraweave
from infraweave.core.access import make_token, token_hash
from infraweave.engine.clock import token_secret
from infraweave.engine.engine import Engine
from tests.api.conftest import told, workflows


@asynccontextmanager
async def mounted(db, root_path):
    """Live through the lifespan as a host does, and talk to the app without a socket."""
    app = infraweave.asgi(*workflows(), db=db)
    hears, says = asyncio.Queue(), asyncio.Queue()
    life = asyncio.create_task(app({"type": "lifespan"}, hears.get, says.put))
    await hears.put({"type": "lifespan.startup"})
    assert await says.get() == {"type": "lifespan.startup.complete"}
    transport = httpx.ASGITransport(app, root_path=root_path)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        yield http
    await hears.put({"type": "lifespan.shutdown"})
    assert await says.get() == {"type": "lifespan.shutdown.complete"}
    await life


async def test_under_a_path_of_the_host_everything_is_as_at_the_root(db):
    token = make_token(token_secret())
    async with Engine.open(db) as engine:
        await engine.principals.bootstrap(token_hash(token), "tok_1", engine.clock.now())
    async with mounted(db, "/flows") as http:
        http.headers["Authorization"] = f"Bearer {token}"
        started = await http.post(
            "/flows/v1/runs",
            json={"workflow_id": "quick", "input": {"amount": 1}},
            headers={"Prefer": "wait=30"},
        )
        assert (started.status_code, started.json()["state"]) == (201, "succeeded")
        assert started.headers["Location"] == f"/flows/v1/runs/{started.json()['run_id']}"
        shown = await http.get(started.headers["Location"])
        assert (shown.status_code, shown.headers["Cache-Control"]) == (200, "no-store")
        assert told(await http.get("/flows/v1/nothing")) == (404, "route_not_found")
        assert (await http.get("/flows/healthz")).json() == {"status": "ok"}
