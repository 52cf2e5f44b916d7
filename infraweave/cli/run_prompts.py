"""Has what a run of this process waits for, or one of its children, answered at the terminal."""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any

import click
from attrs import define, field, frozen

from infraweave.cli.output import echo_err, echo_error, paragraphs
from infraweave.cli.prompts import ask
from infraweave.core.data import json_codec
from infraweave.errors import PayloadInvalid, RequestError


@frozen
class _Prompt:
    """What is asked: a person's answer, or a signal, which then has no ``request_id``."""

    signal: str
    prompt: str
    schema: Any
    request_id: str | None = None
    data: Any = None


@define
class Prompter:
    """Asks one question after the other. Where nobody can or will answer, ``run`` is cancelled."""

    engine: Any
    run: Any
    _terminal: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    #: Reads what is typed. One of our own, for ``asyncio.run`` waits for those of its own before it returns.
    _reader: Executor = field(factory=partial(ThreadPoolExecutor, 1, "infraweave-ask"), init=False)

    async def on_event(self, row: Any, event: dict[str, Any], beside: dict[str, Any]) -> None:
        """See to what an event of ``row`` asks for, beside whatever else the run does."""
        match event:
            case {"type": "input_requested", "signal": signal, "request_id": request_id}:
                asked = _Prompt(signal, event["prompt"], event["schema"], request_id, beside.get("data"))
                await self._see_to(row, asked, f"{event['node']} asks a person")
            case {"type": "node_started", "signal": signal, "node": node}:
                schema = (await self.engine.service.inspect(row)).graph.nodes[node].schema
                asked, waits = _Prompt(signal, f"Signal {signal}:", schema), f"{node} waits for a signal"
                await self._see_to(row, asked, waits, ends_by_itself="deadline" in event)
            case {"type": "node_started", "child_run_id": child}:
                self.engine.host.spawn(self._follow(child), "follow a child")

    async def _follow(self, run_id: str) -> None:
        row = await self.engine.runs.get(run_id)
        async with self.engine.journal.follow(row.run_key) as follower:
            async for page in follower:
                for stored in page:
                    beside = json_codec.loads(stored.payload) if stored.payload else {}
                    await self.on_event(row, json_codec.loads(stored.data), beside)

    async def _see_to(self, row: Any, asked: _Prompt, what: str, ends_by_itself: bool = False) -> None:
        if sys.stdin is not None and sys.stdin.isatty():
            self.engine.host.spawn(self._answer(row, asked), "ask")
        elif not ends_by_itself:
            echo_err(f"infraweave: {what}, and there is no terminal; serve it instead")
            await self.engine.service.cancel(self.run, by="cli", reason="there is no terminal to ask at")

    async def _answer(self, row: Any, asked: _Prompt) -> None:
        async with self._terminal:
            while await self._is_open(row, asked):
                if row.run_key != self.run.run_key:
                    echo_err(f"{row.workflow_id} {row.run_id} asks:")
                if asked.data is not None:
                    echo_err(paragraphs(json.dumps(asked.data, indent=2, ensure_ascii=False)))
                try:
                    reading = asyncio.get_running_loop().run_in_executor(
                        self._reader, ask, asked.prompt, asked.schema
                    )
                    await self.engine.service.signal(
                        row, asked.signal, asked.request_id, await reading, by="cli"
                    )
                except click.Abort:
                    await self.engine.service.cancel(self.run, by="cli", reason="nobody answers")
                    return
                except PayloadInvalid as error:
                    echo_error(error.message, [(fault.path, fault.message) for fault in error.details])
                except RequestError as error:
                    echo_err(error.message)

    async def _is_open(self, row: Any, asked: _Prompt) -> bool:
        state = (await self.engine.service.inspect(row)).state
        if state.stopping is not None or state.end is not None:
            return False
        waits = state.entries.values()
        if asked.request_id is None:
            return any(entry.signal == asked.signal for entry in waits)
        return any(entry.request and entry.request.request_id == asked.request_id for entry in waits)
