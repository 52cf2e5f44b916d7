"""The client of a test and its runs: the HTTP client, which lets virtual time skip while it waits."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from attrs import frozen

from infraweave.client import TERMINAL_TYPES, Client, Run, RunFailed
from infraweave.client.stream import Notify
from infraweave.core.data.values import format_duration, from_rfc3339
from infraweave.testing.time import Stuck

if TYPE_CHECKING:
    from infraweave.testing.time import TimeSkipper


class IwClient(Client):
    """A client that lets virtual time skip while it waits (``events``, ``result``, long polls)."""

    reconnect = 0.01

    def __init__(self, url: str, token: str, time: TimeSkipper) -> None:
        super().__init__(url, token)
        self.time = time

    async def start(self, *args: Any, **more: Any) -> IwRun:
        """Start a run; see ``Client.start``."""
        return self.run((await super().start(*args, **more)).run_id)

    async def trigger(self, schedule_id: str) -> IwRun:
        """Start a run of a schedule (``workflow_id:name``) now."""
        return self.run((await super().trigger(schedule_id)).run_id)

    def run(self, run_id: str) -> IwRun:
        """Return a run by its id."""
        return IwRun(self, run_id)

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request. Time skips if it asks the server to wait (``Prefer: wait``, ``wait=``)."""
        asked = super().request(method, path, body=body, params=params, headers=headers)
        waits = "wait" in (params or {}) or any(name.lower() == "prefer" for name in headers or {})
        return await (self.time.until(asked) if waits else asked)

    async def events(
        self, run_id: str, *, after: int = 0, payloads: bool = False, notify: Notify | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the events of a run. Time skips between them.

        Raises:
            ClientError: the server refused the stream.
            Stuck: no event will happen by itself.
        """
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        pulling = asyncio.create_task(
            self._pull(queue, super().events(run_id, after=after, payloads=payloads, notify=notify))
        )
        try:
            while (event := await self._next(run_id, queue)) is not None:
                yield event
            await pulling
        finally:
            pulling.cancel()
            await asyncio.wait({pulling})

    async def _pull(
        self, queue: asyncio.Queue[dict[str, Any] | None], events: AsyncIterator[dict[str, Any]]
    ) -> None:
        try:
            async for event in events:
                queue.put_nowait(event)
        finally:
            queue.put_nowait(None)

    async def _next(self, run_id: str, queue: asyncio.Queue[dict[str, Any] | None]) -> dict[str, Any] | None:
        if not queue.empty():
            return queue.get_nowait()
        try:
            return await self.time.until(queue.get())
        except Stuck as stuck:
            stuck.add_note(await self._why(self.run(run_id)))
            raise

    async def _why(self, run: IwRun) -> str:
        """Describe what a run waits for, how the test can continue it, and its story."""
        names = await run.waits_for()
        hint = f'`await iw.signal(run, "{names[0]}", …)`' if names else ""
        why = (await run.explain())["explanation"]
        return "\n".join(filter(None, [f"{run.run_id}: {why}", hint, await run.story()]))


#: How the message of an attempt continues if a retry follows.
_RETRYING = " — retrying in "


@frozen
class NodeReport:
    """The attempts of one node of a run. Its repr helps failed assertions to explain themselves."""

    node: str
    #: ``pending, running, retrying, waiting, succeeded, failed, skipped, cancelled`` or ``compensated``.
    state: str
    #: One row per attempt, in order; see ``GET /v1/runs/{id}/history``.
    rows: tuple[dict[str, Any], ...]

    @property
    def attempts(self) -> int:
        """The number of attempts, over all iterations and items; 0 if the node never started."""
        return len(self._attempt_rows)

    @property
    def outputs(self) -> list[Any]:
        """The output of each successful attempt, over all iterations and items."""
        return [row["output"] for row in self._attempt_rows if row["state"] == "succeeded"]

    @property
    def output(self) -> Any:
        """The output of the node: of the last iteration in a loop, the whole list of a map.

        Raises:
            AssertionError: the node has no output.
        """
        outputs = [
            row["output"] for row in self._forward if row["index"] is None and row["state"] == "succeeded"
        ]
        if not outputs:
            raise AssertionError(f"{self!r} has no output")
        return outputs[-1]

    @property
    def inputs(self) -> list[Any]:
        """The input of each attempt. The input of a map item includes what all items share."""
        maps = {row["iteration"]: row["input"] for row in self._forward if row["index"] is None}
        return [
            {**shared, **row["input"]} if row["index"] is not None and shared else row["input"]
            for row in self._attempt_rows
            for shared in [maps.get(row["iteration"])]
        ]

    @property
    def errors(self) -> list[str]:
        """The message of each failed attempt: ``"TimeoutError: slow"``."""
        messages = (row["error"]["message"] for row in self._attempt_rows if row["error"] is not None)
        return [message.partition(_RETRYING)[0] for message in messages]

    @property
    def compensated(self) -> bool:
        """Whether the node was compensated."""
        return self.state == "compensated"

    @property
    def _forward(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["phase"] == "forward"]

    @property
    def _attempt_rows(self) -> list[dict[str, Any]]:
        """The rows of attempts; for a map, those of its items."""
        items = [row for row in self._forward if row["index"] is not None]
        return items or self._forward

    def __repr__(self) -> str:
        said = "".join(f"; {error}" for error in self.errors)
        return f"<{self.node}: {self.state}, {self.attempts} attempt(s){said}>"


@frozen
class IwRun(Run):
    """A run in a test. Waiting lets virtual time skip, and failures include the story of the run."""

    @property
    def _iw(self) -> IwClient:
        return cast("IwClient", self.client)

    async def result(self, *, wait: bool | float = True) -> Any:
        """Wait for the end and return the result.

        Raises:
            RunFailed: the run failed or was cancelled; a note has its story.
            Stuck: the run waits for an action of the test.
        """
        try:
            return await super().result(wait=wait)
        except RunFailed as error:
            error.add_note(await self.story())
            raise

    async def error(self) -> dict[str, Any]:
        """Wait for the end and return the error: ``code, message, node, iteration, index, attempt``.

        Raises:
            AssertionError: the run succeeded.
        """
        try:
            result = await super().result()
        except RunFailed as failed:
            return failed.error
        raise AssertionError(f"{self.run_id} succeeded with {result!r}\n{await self.story()}")

    async def until(self, type: str, **fields: Any) -> dict[str, Any]:  # noqa: A002 - the wire's word
        """Wait for an event, past or future: ``await run.until("node_failed", node="charge")``.

        Raises:
            AssertionError: the run ended without this event.
            Stuck: the run waits for an action of the test.
        """
        wanted = {"type": type, **fields}
        async for event in self.events(payloads=True):
            if wanted.items() <= event.items():
                return event
        raise AssertionError(f"{self.run_id} ended without {wanted}\n{await self.story()}")

    async def state(self) -> str:
        """Return the current state of the run."""
        return str((await self.show())["state"])

    async def waits_for(self) -> list[str]:
        """Return the names of the signals that the run waits for now."""
        return [str(one.get("signal") or one.get("node")) for one in (await self.show())["waiting_for"]]

    async def node(self, name: str) -> NodeReport:
        """Return a report of a node so far: ``assert (await run.node("charge")).attempts == 3``.

        Raises:
            AssertionError: the workflow has no such node.
        """
        nodes = {node["node"]: node for node in (await self.show())["nodes"]}
        if name not in nodes:
            near = difflib.get_close_matches(name, nodes, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(nodes)}."
            raise AssertionError(f"{self.run_id} has no node {name}; {hint}")
        rows = tuple(row for row in await self.history() if row["node"] == name)
        return NodeReport(name, nodes[name]["state"], rows)

    async def story(self) -> str:
        """Return the events, one per line, with the time since the start.

        A failed attempt shows its traceback, unless it is the same as the one before.
        """
        page = await self.client.request("GET", f"{self.path}/events", params=None, headers=_JSON)
        lines, events = [f"The story of {self.run_id}:"], page["events"]
        tracebacks = await self._tracebacks()
        while events:
            for event in events:
                lines.append(_line(event, from_rfc3339(events[0]["at"])))
                lines += tracebacks.get(event["seq"], [])
            if page["terminal"] or events[-1]["type"] in TERMINAL_TYPES:
                break
            after = {"after": page["next_after"]}
            page = await self.client.request("GET", f"{self.path}/events", params=after, headers=_JSON)
            events = page["events"]
        return "\n".join(lines)

    async def _tracebacks(self) -> dict[int, list[str]]:
        """Return the lines of tracebacks by the seq of their event, without repetitions."""
        failed = {"state": "failed", "limit": 1000}
        page = await self.client.request("GET", f"{self.path}/history", params=failed)
        found: dict[int, list[str]] = {}
        last = None
        for row in page["history"]:
            text = row["error"]["traceback"]
            if text is not None and text != last:
                found[row["last_seq"]] = [f"{_INDENT}{line}".rstrip() for line in text.split("\n")]
                last = text
        return found


#: The indentation below an event of a story.
_INDENT = " " * 14
_JSON = {"Accept": "application/json"}


def _line(event: Mapping[str, Any], beginning: int) -> str:
    place = "".join(f" {key} {event[key]}" for key in ("iteration", "index") if event.get(key) is not None)
    attempt = f" attempt {event['attempt']}" if event.get("attempt", 1) > 1 else ""
    words = [event.get("node"), event.get("name"), event.get("state"), event.get("outcome")]
    said = event.get("message") or event.get("prompt") or ""
    what = " ".join(str(word) for word in (event["type"], *words) if word)
    since = format_duration((from_rfc3339(event["at"]) - beginning) / 1000)
    return f"  +{since:<9} {what}{place}{attempt}" + (f": {said}" if said else "")
