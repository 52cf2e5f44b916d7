"""Answers input requests and signals of a run in this process, and of its children, at the terminal."""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any

import click
from attrs import field

from infraweave.cli.output import echo_err, echo_error, paragraphs
from infraweave.cli.prompts import ask_payload
from infraweave.core.lazy_records import frozen
from infraweave.core.records import define
from infraweave.errors import PayloadInvalid, RequestError


@frozen
class _Prompt:
    """An input request, or a signal that is waited for; a signal has no ``request_id``."""

    signal: str
    text: str
    schema: Any
    request_id: str | None = None
    data: Any = None


@define
class Prompter:
    """Asks one question after the other. If nobody can or will answer, it cancels ``run``."""

    engine: Any
    run: Any
    _terminal: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    #: Reads the terminal. ``asyncio.run`` would wait for a thread of the default executor before it returns.
    _reader: Executor = field(factory=partial(ThreadPoolExecutor, 1, "infraweave-ask"), init=False)

    async def on_event(self, row: Any, event: dict[str, Any], payloads: dict[str, Any]) -> None:
        """Start to ask if an event of ``row`` needs an answer. The run goes on meanwhile."""
        match event:
            case {"type": "input_requested", "signal": signal, "request_id": request_id}:
                prompt = _Prompt(signal, event["prompt"], event["schema"], request_id, payloads.get("data"))
                await self._request_answer(row, prompt, f"{event['node']} asks for input")
            case {"type": "node_started", "signal": signal, "node": node}:
                schema = (await self.engine.service.inspect(row)).graph.nodes[node].schema
                prompt, waits = _Prompt(signal, f"Signal {signal}:", schema), f"{node} waits for a signal"
                await self._request_answer(row, prompt, waits, ends_by_itself="deadline" in event)
            case {"type": "node_started", "child_run_id": child}:
                self.engine.tasks.spawn(self._follow(child), "follow a child")

    async def _follow(self, run_id: str) -> None:
        row = await self.engine.runs.get(run_id)
        async with self.engine.journal.follow(row.run_key) as follower:
            async for page in follower:
                for stored in page:
                    await self.on_event(row, stored.fields(row.run_id), stored.beside())

    async def _request_answer(
        self, row: Any, prompt: _Prompt, what: str, ends_by_itself: bool = False
    ) -> None:
        if sys.stdin is not None and sys.stdin.isatty():
            self.engine.tasks.spawn(self._answer(row, prompt), "ask")
        elif not ends_by_itself:
            echo_err(f"infraweave: {what}, but there is no terminal; use `infraweave serve` instead")
            await self.engine.service.cancel(self.run, by="cli", reason="there is no terminal to ask at")

    async def _answer(self, row: Any, prompt: _Prompt) -> None:
        async with self._terminal:
            while await self._is_open(row, prompt):
                if row.run_key != self.run.run_key:
                    echo_err(f"{row.workflow_id} {row.run_id} asks:")
                if prompt.data is not None:
                    echo_err(paragraphs(json.dumps(prompt.data, indent=2, ensure_ascii=False)))
                try:
                    reading = asyncio.get_running_loop().run_in_executor(
                        self._reader, ask_payload, prompt.text, prompt.schema
                    )
                    await self.engine.service.signal(
                        row, prompt.signal, prompt.request_id, await reading, by="cli"
                    )
                except click.Abort:
                    await self.engine.service.cancel(self.run, by="cli", reason="nobody answered")
                    return
                except PayloadInvalid as error:
                    echo_error(error.message, [(fault.path, fault.message) for fault in error.details])
                except RequestError as error:
                    echo_err(error.message)

    async def _is_open(self, row: Any, prompt: _Prompt) -> bool:
        state = (await self.engine.service.inspect(row)).state
        if state.stopping is not None or state.end is not None:
            return False
        waits = state.entries.values()
        if prompt.request_id is None:
            return any(entry.signal == prompt.signal for entry in waits)
        return any(entry.request and entry.request.request_id == prompt.request_id for entry in waits)
