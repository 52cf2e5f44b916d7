"""A server of its own for each test, with workflows for every kind of ending."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from attrs import field, frozen

from infraweave import NonRetryable, Retry, Workflow
from infraweave.core.access import make_token, parse_grant, token_hash
from infraweave.engine.clock import token_secret, ulid
from infraweave.server.embedding import Server
from infraweave.store.principals import NewTokenRow

#: Made once: httpx reads all certificates for each client that brings none.
NO_TLS = ssl.create_default_context()


@frozen
class Order:
    amount: int
    note: str = ""


@frozen
class Decision:
    approved: bool
    note: str | None = None


def workflows() -> tuple[Workflow, ...]:
    """Quick ones that end by themselves, and one that waits for a person."""
    quick = Workflow("quick", version="v1", input=Order)

    @quick.node
    async def double(input: Order) -> int:
        return input.amount * 2

    asking = Workflow("asking", version="v1", input=Order)

    @asking.node
    async def prepare(input: Order) -> int:
        return input.amount

    @prepare.compensate
    async def undo(prepare: int) -> None:
        return None

    @asking.human_input(schema=Decision, timeout="48h")
    def approval(prepare: int) -> dict[str, Any]:
        return {"prompt": f"Approve {prepare}?", "data": {"amount": prepare}}

    @asking.node
    async def finish(approval: Decision) -> str:
        return "yes" if approval.approved else "no"

    failing = Workflow("failing", version="v1")

    @failing.node
    async def breaks() -> None:
        raise NonRetryable("it cannot work")

    flaky = Workflow("flaky", version="v1")

    @flaky.node(retry=Retry(max_attempts=2, initial=4.0, jitter=False))
    async def tries() -> None:
        raise ValueError("not yet")

    return quick, asking, failing, flaky


@frozen(eq=False)
class Api:
    """Someone with a token at the door of a server."""

    server: Server
    http: httpx.AsyncClient
    _stack: AsyncExitStack = field(repr=False)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.http.get(path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        if body is not None:
            more["json"] = body
        return await self.http.post(path, **more)

    async def start(self, workflow_id: str = "quick", **more: Any) -> str:
        """Start a run and return its id."""
        body = {"workflow_id": workflow_id, "input": {"amount": 21}}
        if workflow_id in ("failing", "flaky"):
            body["input"] = {}
        answer = await self.post("/v1/runs", {**body, **more})
        assert answer.status_code == 201, answer.text
        return answer.json()["run_id"]

    async def until(self, run_id: str, *types: str) -> list[dict[str, Any]]:
        """Return the events of a run up to the first of one of these types."""
        seen = []
        async for event in self.server.client.events(run_id):
            seen.append(event)
            if event["type"] in types:
                break
        return seen

    async def ended(self, workflow_id: str = "quick", **more: Any) -> str:
        """Start a run, wait for its end and return its id."""
        run_id = await self.start(workflow_id, **more)
        await self.until(run_id, "completed", "failed", "cancelled")
        return run_id

    async def asked(self) -> tuple[str, str]:
        """Start a run that asks a person; return its id and the request's."""
        run_id = await self.start("asking")
        events = await self.until(run_id, "input_requested")
        return run_id, events[-1]["request_id"]

    async def token(
        self, *grants: str, tenant: str = "default", name: str = "eve", life: int | None = None
    ) -> str:
        """Make a token of another principal."""
        engine, now = self.server.engine, self.server.engine.clock.now()
        text = make_token(token_secret())
        expires_at = None if life is None else now + life
        new = NewTokenRow(token_id=f"tok_{ulid(now)}", token_hash=token_hash(text), expires_at=expires_at)
        await engine.principals.create_token(tenant, name, map(parse_grant, grants), new, now)
        await engine.catalog.publish_loaded(tenant)
        return text

    async def other(self, *grants: str, tenant: str = "default", name: str = "eve") -> Api:
        """Return someone else at the same door."""
        token = await self.token(*grants, tenant=tenant, name=name)
        return await self.with_headers({"Authorization": f"Bearer {token}"})

    async def with_headers(self, headers: dict[str, str]) -> Api:
        """Return someone who sends these headers."""
        http = door(self.server.url, headers)
        return Api(self.server, await self._stack.enter_async_context(http), self._stack)


def door(url: str, headers: dict[str, str]) -> httpx.AsyncClient:
    """Return a client that tries again: the block begins a moment before the socket listens."""
    transport = httpx.AsyncHTTPTransport(retries=3, verify=NO_TLS)
    return httpx.AsyncClient(base_url=url, headers=headers, transport=transport, timeout=30)


@pytest.fixture
def api_of() -> Callable[..., Any]:
    """Return the admin at the door of a server that the test has opened."""

    @asynccontextmanager
    async def opening(server: Server) -> AsyncIterator[Api]:
        async with AsyncExitStack() as stack:
            http = door(server.url, {"Authorization": f"Bearer {server.token}"})
            yield Api(server, await stack.enter_async_context(http), stack)

    return opening


@pytest.fixture
def open_api(serve: Callable[..., Any], api_of: Callable[..., Any]) -> Callable[..., Any]:
    """Serve the workflows with other settings."""

    @asynccontextmanager
    async def opening(**options: Any) -> AsyncIterator[Api]:
        async with serve(*workflows(), **options) as server, api_of(server) as admin:
            yield admin

    return opening


@pytest.fixture
async def api(open_api: Callable[..., Any]) -> AsyncIterator[Api]:
    """The admin at the door of a server."""
    async with open_api() as admin:
        yield admin


def told(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the code of a refusal, having checked its envelope."""
    body = answer.json()
    assert set(body) == {"error"}
    assert (
        {"code", "message", "request_id"}
        <= set(body["error"])
        <= {"code", "message", "request_id", "details"}
    )
    assert body["error"]["request_id"] == answer.headers["X-Request-Id"]
    assert answer.headers["Content-Type"] == "application/json"
    return answer.status_code, body["error"]["code"]
