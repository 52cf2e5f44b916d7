"""The servers that rows of HTTP measure: InfraWeave's, and the yardstick."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.child import Child, Tree, child, until_written
from tests.bench.http_client import Address, ask

WORKFLOWS = Path(__file__).with_name("served.py")
#: One token sends more than any caller should; no figure may be a limit of the rate.
LIMITS = ("requests_per_second=1000000", "request_burst=10000000", "max_streams_per_principal=1000000")


@dataclass(frozen=True)
class Server:
    """A running server."""

    process: Child
    address: Address
    headers: Mapping[str, str]
    db: Path | None = None

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        return self.address.request(method, path, {**self.headers, **(headers or {})}, body)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return await ask(self.address, self.request(method, path, body, headers))

    async def start(self, workflow_id: str, **headers: str) -> str:
        """Start a run; return its id."""
        started = await self.ask("POST", "/v1/runs", {"workflow_id": workflow_id, "input": {}}, **headers)
        run_id: str = started["run_id"]
        return run_id

    async def until_waiting(self, run_id: str) -> None:
        """Wait until a node of the run waits for something."""
        while all(
            node["state"] != "waiting" for node in (await self.ask("GET", f"/v1/runs/{run_id}"))["nodes"]
        ):
            await asyncio.sleep(0.005)

    async def settle(self) -> None:
        """Wait until no run executes or is queued; those that start much later do not count."""
        busy = "/v1/runs?status=queued,running,retrying&limit=1&workflow_id="
        for workflow_id in ("three", "threaded", "blocking", "flooding"):
            while (await self.ask("GET", f"{busy}{workflow_id}"))["runs"]:
                await asyncio.sleep(0.005)


def serve_arguments(db: Path, ready: Path, *options: str) -> list[str]:
    """Return the arguments of Python for a server on a free port."""
    limits = [word for limit in LIMITS for word in ("--limit", limit)]
    serve = ["-m", "infraweave", "serve", str(WORKFLOWS), "--db", str(db), "--port", "0"]
    return [*serve, "--ready-file", str(ready), "--no-access-log", *limits, *options]


@asynccontextmanager
async def infraweave(
    tree: Tree, folder: Path, *options: str, db: Path | None = None
) -> AsyncIterator[Server]:
    """Serve a file of this tree for the length of the block; a new one unless one is given."""
    folder.mkdir(parents=True, exist_ok=True)
    db, ready = db or folder / "bench.db", folder / "ready"
    ready.unlink(missing_ok=True)
    async with child(tree, *serve_arguments(db, ready, *options), log=folder / "log") as process:
        url = json.loads(await until_written(ready, process))["url"]
        token = db.with_name(f"{db.name}.token").read_text().strip()
        yield Server(process, Address.of(url), {"Authorization": f"Bearer {token}"}, db)


@asynccontextmanager
async def bare(tree: Tree, folder: Path) -> AsyncIterator[Server]:
    """Serve the yardstick for the length of the block. Its callers send the same headers as ours."""
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / "ready"
    ready.unlink(missing_ok=True)
    async with child(tree, "-m", "tests.bench.bare_server", str(ready), log=folder / "log") as process:
        url = await until_written(ready, process)
        yield Server(process, Address.of(url), {"Authorization": f"Bearer iw_live_{'0' * 36}"})


@asynccontextmanager
async def all_of(trees: Sequence[Tree], folder: Path, *options: str) -> AsyncIterator[dict[str, Server]]:
    """Serve a new file of each tree; return the servers by the labels of their trees."""
    async with AsyncExitStack() as stack:
        yield {
            tree.label: await stack.enter_async_context(infraweave(tree, folder / tree.label, *options))
            for tree in trees
        }
