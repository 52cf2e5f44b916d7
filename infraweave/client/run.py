"""One run of a server: what it does, how it ended, and what can be told to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from attrs import frozen

from infraweave.client.answers import RunFailed
from infraweave.client.stream import Notify

if TYPE_CHECKING:
    from infraweave.client.client import Client

Json = dict[str, Any]


@frozen
class Run:
    """One run of a server. Every method raises ClientError where the server refuses what it asks.

    Where the server cannot be reached they raise httpx.TransportError, except ``events``, and ``result`` and
    ``outcome`` while they wait: these go on once it is back.
    """

    client: Client
    run_id: str

    @property
    def path(self) -> str:
        """Where the run is."""
        return f"/v1/runs/{quote(self.run_id, safe='')}"

    async def show(self) -> Json:
        """Return the run as it is now."""
        return cast("Json", await self.client.request("GET", self.path))

    async def explain(self) -> Json:
        """Return why the run is not moving: ``run_id, state, moving`` and a sentence, ``explanation``."""
        return cast("Json", await self.client.request("GET", f"{self.path}/explain"))

    async def history(self) -> list[Json]:
        """Return one row per attempt, all pages."""
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
        """Yield the run's events until its end; see ``Client.events``."""
        return self.client.events(self.run_id, after=after, payloads=payloads, notify=notify)

    # --- the end -------------------------------------------------------------------------------------------

    async def result(self, *, wait: bool | float = True) -> Any:
        """Return the result, which may be None; wait for the end, or for so many seconds at most.

        Raises:
            RunFailed: the run failed or was cancelled.
            ClientError: the run has not ended (``run_not_finished``, with ``wait=False``).
            TimeoutError: it has not ended within the seconds of ``wait``.
        """
        outcome = await self.outcome(wait=wait)
        if outcome["state"] != "succeeded":
            raise RunFailed(self.run_id, outcome["state"], outcome["error"])
        return outcome["result"]

    async def outcome(self, *, wait: bool | float = True) -> Json:
        """Return how the run ended: ``run_id``, ``state``, and ``result`` or ``error``; see ``result``.

        Raises:
            ClientError: the run has not ended (``run_not_finished``, with ``wait=False``).
            TimeoutError: it has not ended within the seconds of ``wait``.
        """
        path = f"{self.path}/result"
        if wait is False:
            return cast("Json", await self.client.request("GET", path))
        async with asyncio.timeout(None if wait is True else wait):
            async for _ in self.events():
                pass
            return cast("Json", await self.client.read(path))

    # --- acts ----------------------------------------------------------------------------------------------

    async def signal(self, name: str, payload: Any = None, *, request_id: str | None = None) -> Json:
        """Send a signal; return the receipt: ``run_id, name, request_id, duplicate``.

        The same ``request_id`` again is delivered once; one that was announced in ``waiting_for`` or
        ``input_requested`` answers that request alone.

        Raises:
            ClientError: above all ``payload_invalid``, whose ``details`` name each fault,
                ``signal_not_found``, ``signal_conflict``, ``run_finished`` and ``run_stopping``.
        """
        body = {"payload": payload} if request_id is None else {"payload": payload, "request_id": request_id}
        return await self._post(f"/signals/{quote(name, safe='')}", body)

    async def cancel(self, reason: str | None = None) -> Json:
        """Ask the run to stop and clean up; return it as it is then. A run that has ended stays as it is."""
        return await self._post("/cancel", {} if reason is None else {"reason": reason})

    async def terminate(self, reason: str | None = None) -> Json:
        """End the run by force, without clean-up and compensation; return it as it is then."""
        return await self._post("/terminate", {} if reason is None else {"reason": reason})

    async def resume(self) -> Json:
        """Let the run go on where it is set aside, because the server died as it was taken up; return it."""
        return await self._post("/resume", {})

    async def rerun(
        self,
        from_node: str | None = None,
        *,
        input: Any = None,  # noqa: A002 - the wire's word
        version: str | None = None,
        idempotency_key: str | None = None,
    ) -> Run:
        """Start a run that keeps the results of what finished before ``from_node``; without it, none.

        ``input`` is a JSON Merge Patch (RFC 7396) of the run's input, ``version`` another version to run.

        Raises:
            ClientError: above all ``run_not_finished``, ``version_not_found`` and ``input_invalid``.
        """
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        body = _again(from_node, input, version)
        answer = await self.client.request("POST", f"{self.path}/rerun", body=body, headers=headers)
        return self.client.run(answer["run_id"])

    async def rerun_plan(
        self,
        from_node: str | None = None,
        *,
        input: Any = None,  # noqa: A002 - the wire's word
        version: str | None = None,
    ) -> Json:
        """Return what ``rerun`` would do with each node: ``reused``, ``rerun``, ``new`` and ``gone``.

        Raises:
            ClientError: as ``rerun``.
        """
        return await self._post("/rerun", {**_again(from_node, input, version), "dry_run": True})

    async def _post(self, what: str, body: Json) -> Json:
        return cast("Json", await self.client.request("POST", f"{self.path}{what}", body=body))


def _again(from_node: str | None, patch: Any, version: str | None) -> Json:
    body = {"from_node": from_node, "input": patch, "version": version}
    return {key: value for key, value in body.items() if value is not None}
