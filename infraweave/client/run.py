"""One run of a server: what it does, how it ended, and actions on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Self, cast
from urllib.parse import quote

from attrs import evolve, frozen

from infraweave.client.connection import Connection, run_path
from infraweave.client.responses import RunFailed
from infraweave.client.stream import Notify

Json = dict[str, Any]


@frozen
class Run:
    """One run of a server. Every method raises ClientError if the server refuses the request.

    While the server is unreachable, ``events`` and the waiting ``result`` and ``outcome`` wait for it; the
    other methods raise httpx.TransportError.
    """

    client: Connection
    run_id: str

    @property
    def path(self) -> str:
        """The URL path of the run."""
        return run_path(self.run_id)

    async def show(self) -> Json:
        """Return the run as it is now."""
        return cast("Json", await self.client.request("GET", self.path))

    async def explain(self) -> Json:
        """Return why the run is not moving: ``run_id``, ``state``, ``moving`` and ``explanation``."""
        return cast("Json", await self.client.request("GET", f"{self.path}/explain"))

    async def history(self) -> list[Json]:
        """Return one row per attempt, from all pages."""
        rows: list[Json] = []
        cursor: str | None = None
        while True:
            page = await self.client.request("GET", f"{self.path}/history", params={"cursor": cursor})
            rows += page["history"]
            cursor = page["next_cursor"]
            if cursor is None:
                return rows

    def events(
        self, *, after: int = 0, payloads: bool = False, notify: Notify | None = None
    ) -> AsyncGenerator[Json, None]:
        """Yield the run's events until it ends; see ``Client.events``."""
        return self.client.events(self.run_id, after=after, payloads=payloads, notify=notify)

    # --- the end -------------------------------------------------------------------------------------------

    async def result(self, *, wait: bool | float = True) -> Any:
        """Return the result, which may be None. A number as ``wait`` is the longest wait in seconds.

        Raises:
            RunFailed: the run failed or was cancelled.
            ClientError: the run has not ended (``run_not_finished``, with ``wait=False``).
            TimeoutError: the run has not ended after ``wait`` seconds.
        """
        outcome = await self.outcome(wait=wait)
        if outcome["state"] != "succeeded":
            raise RunFailed(self.run_id, outcome["state"], outcome["error"])
        return outcome["result"]

    async def outcome(self, *, wait: bool | float = True) -> Json:
        """Return how the run ended: ``run_id``, ``state``, and ``result`` or ``error``; see ``result``.

        Raises:
            ClientError: the run has not ended (``run_not_finished``, with ``wait=False``).
            TimeoutError: the run has not ended after ``wait`` seconds.
        """
        path = f"{self.path}/result"
        if wait is False:
            return cast("Json", await self.client.request("GET", path))
        async with asyncio.timeout(None if wait is True else wait):
            async for _ in self.events():
                pass
            return cast("Json", await self.client.read(path))

    # --- actions -------------------------------------------------------------------------------------------

    async def signal(self, name: str, payload: Any = None, *, request_id: str | None = None) -> Json:
        """Send a signal; return the receipt: ``run_id``, ``name``, ``request_id`` and ``duplicate``.

        Signals with the same ``request_id`` are delivered once. With the ``request_id`` of a ``waiting_for``
        item or an ``input_requested`` event, the signal answers that request only.

        Raises:
            ClientError: ``payload_invalid`` (``details`` names each fault), ``signal_not_found``,
                ``signal_conflict``, ``run_finished``, ``run_stopping`` and others.
        """
        body = {"payload": payload} if request_id is None else {"payload": payload, "request_id": request_id}
        return await self._post(f"/signals/{quote(name, safe='')}", body)

    async def cancel(self, reason: str | None = None) -> Json:
        """Ask the run to stop and clean up; return its state then. A run that has ended does not change."""
        return await self._post("/cancel", {} if reason is None else {"reason": reason})

    async def terminate(self, reason: str | None = None) -> Json:
        """End the run at once, without clean-up or compensation; return its state then."""
        return await self._post("/terminate", {} if reason is None else {"reason": reason})

    async def resume(self) -> Json:
        """Continue a run that was set aside after crashes of the server; return its state then."""
        return await self._post("/resume", {})

    async def rerun(
        self,
        from_node: str | None = None,
        *,
        input: Any = None,  # noqa: A002 - the wire's word
        version: str | None = None,
        idempotency_key: str | None = None,
    ) -> Self:
        """Start a new run that keeps the results from before ``from_node``; without it, no results.

        ``input`` is a JSON Merge Patch (RFC 7396) of the run's input. ``version`` is another version to run.

        Raises:
            ClientError: ``run_not_finished``, ``version_not_found``, ``input_invalid`` and others.
        """
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        body = _rerun_body(from_node, input, version)
        made = await self.client.request("POST", f"{self.path}/rerun", body=body, headers=headers)
        return evolve(self, run_id=made["run_id"])

    async def rerun_plan(
        self,
        from_node: str | None = None,
        *,
        input: Any = None,  # noqa: A002 - the wire's word
        version: str | None = None,
    ) -> Json:
        """Return what ``rerun`` would do with each node: ``reused``, ``rerun``, ``new`` and ``gone``.

        Raises:
            ClientError: see ``rerun``.
        """
        return await self._post("/rerun", {**_rerun_body(from_node, input, version), "dry_run": True})

    async def _post(self, action: str, body: Json) -> Json:
        return cast("Json", await self.client.request("POST", f"{self.path}{action}", body=body))


def _rerun_body(from_node: str | None, patch: Any, version: str | None) -> Json:
    body = {"from_node": from_node, "input": patch, "version": version}
    return {key: value for key, value in body.items() if value is not None}
