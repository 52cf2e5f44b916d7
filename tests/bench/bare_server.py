"""The yardstick of HTTP: a bare Quart app on the same Hypercorn with the same settings.

In a process of its own: ``python -m tests.bench.bare_server READY_FILE``.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, Response, request

#: As long as the look at a run.
RUN = {
    "run_id": "run_01M8739ZQEBNGF8MXZYF6J0KW7",
    "state": "succeeded",
    "workflow_id": "three",
    "workflow_version": "v1",
    "tags": {},
    "created_at": "2026-11-24T15:38:03.886Z",
    "started_at": "2026-11-24T15:38:03.886Z",
    "finished_at": "2026-11-24T15:38:03.942Z",
    "error": None,
    "trace_id": "cdc27b99df2c3a4e3b14f0f56b14a9ee",
    "nodes": [
        {
            "name": name,
            "kind": "activity",
            "state": "succeeded",
            "attempts": 1,
            "started_at": "2026-11-24T15:38:03.886Z",
            "finished_at": "2026-11-24T15:38:03.942Z",
            "latency_ms": 52,
        }
        for name in ("first", "second", "third")
    ],
}

app = Quart(__name__)


@app.post("/echo")
async def echo() -> Any:
    return await request.get_json()


@app.get("/run")
async def run() -> Any:
    return RUN


class Feed:
    """An event that all readers wait for; when it is sent, the next one takes its place."""

    next = asyncio.Event()


@app.get("/events")
async def events() -> Response:
    async def blocks() -> AsyncIterator[bytes]:
        seq = 1
        yield b"retry: 1000\nevent: status_changed\ndata: {}\nid: 1\n\n"
        while await Feed.next.wait():
            seq += 1
            yield b"event: signal_received\ndata: {}\nid: %d\n\n" % seq

    response = Response(blocks(), content_type="text/event-stream")  # type: ignore[arg-type]
    response.timeout = None
    return response


@app.post("/send")
async def send() -> Any:
    sent, Feed.next = Feed.next, asyncio.Event()
    sent.set()
    return {}


def settings(listener: socket.socket) -> Config:
    """Return the settings with which `infraweave serve` uses Hypercorn."""
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.backlog = 1024
    config.graceful_timeout = 2.0
    config.keep_alive_timeout = 5.0
    config.include_server_header = False
    config.h11_max_incomplete_size = 16 * 1024
    config.max_app_queue_size = 10
    return config


async def main(ready: Path) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    # With TCP named, asyncio disables Nagle's delay, as it does for our server.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 10, 10)
        partial = ready.with_suffix(".partial")
        partial.write_text(f"http://127.0.0.1:{listener.getsockname()[1]}")
        partial.replace(ready)
        await serve(app, settings(listener), shutdown_trigger=stopped.wait)  # type: ignore[arg-type]


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
