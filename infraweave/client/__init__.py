"""The HTTP client of a server. It imports no part of the server.

    async with Client("http://127.0.0.1:8470", token) as client:
        run = await client.start("checkout-flow", {"order_id": "ord_1"})
        async for event in run.events(): ...
        result = await run.result()

``events`` reconnects by itself and yields each event once. ``result`` waits for the end of the run.
"""

from __future__ import annotations

from infraweave.client.client import Client, RunFilters, RunPage
from infraweave.client.responses import ClientError, RunFailed
from infraweave.client.run import Run
from infraweave.client.stream import TERMINAL_TYPES, Away

__all__ = ["TERMINAL_TYPES", "Away", "Client", "ClientError", "Run", "RunFailed", "RunFilters", "RunPage"]
