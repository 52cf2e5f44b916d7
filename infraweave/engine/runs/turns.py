"""Turns of several runs that share a transaction: a parent and its new children, a child and its parent.

Where a run ends, its parent is told in the same commit. A parent that is at rest must be taken up first, and
that takes a moment; it does no harm, for whatever is in such a commit has ended and has nothing more to say.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

from infraweave.core.run.address import Address
from infraweave.core.run.events import Completed, NodeStarted
from infraweave.core.run.facts import ChildEnded, Fact
from infraweave.core.run.recorder import TurnResult
from infraweave.core.run.state import RunState
from infraweave.engine.clock import chance
from infraweave.engine.runs.unstorable import Turn
from infraweave.errors import RunNotFound, RunSetAside, StorageUnavailable, Unstorable

if TYPE_CHECKING:
    from infraweave.engine.runs.live_run import LiveRun
    from infraweave.engine.runs.registry import Host


class Commit:
    """What is decided together and appended together."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._parts: list[Turn] = []
        #: Children that have ended and whose parents do not know yet.
        self._ended: list[LiveRun] = []
        #: What stands for the append while parents are being taken up, and the runs that wait for it.
        self._later: asyncio.Future[None] | None = None
        self._waiting: list[LiveRun] = []
        #: Children without a slot.
        self._queued: list[LiveRun] = []

    def turn(self, live: LiveRun, fact: Fact) -> TurnResult:
        """Let a run decide about a fact; the children that it begins decide about their start."""
        written = live.decide(fact)
        if live.has_news(written):
            self._parts.append((live, written, fact))
            if self._later is not None:
                self._wait(live, self._later)
        for event in written.events:
            if isinstance(event, NodeStarted) and event.child_run_id is not None:
                child, accepted = self._host.children.bear(live, event)
                self.turn(child, accepted)
                if not accepted.slot:
                    self._queued.append(child)
        if written.events and live.parent_key is not None and live.state.end is written.events[-1]:
            self._ended.append(live)
        return written

    @property
    def is_empty(self) -> bool:
        """True where nothing has to be written."""
        return not self._parts

    def answer(self) -> int | None:
        """Tell parents in memory that their children have ended; return the key of one that is not there."""
        while self._ended:
            child = self._ended[-1]
            parent = self._host.live.get(child.parent_key or 0)
            if parent is None:
                return child.parent_key
            self._ended.pop()
            entry = child.origin.parent_entry
            if entry is None:
                raise ValueError(f"{child.state.run_id} is no child")
            self.turn(parent, end_of(child.state, entry.address, entry.attempt))
        return None

    def append(self) -> asyncio.Future[None]:
        """Write it all; return the commit.

        Raises:
            StorageUnavailable: what these states say did not reach the disk.
        """
        try:
            for live, _, _ in self._parts:
                if live.is_abandoned:
                    raise Unstorable if live.refusal else StorageUnavailable
            entries = [live.entry(written) for live, written, _ in self._parts]
            commit = self._host.journal.append(entries, self._committed)
        except Unstorable as error:
            return self._host.refuse(error, self._parts)
        except StorageUnavailable:
            self._lose()
            raise
        for (live, _, _), entry in zip(self._parts, entries, strict=True):
            live.size += entry.size
            live.wait_for(commit)
            live.tell_gate()
        for child in self._queued:
            self._host.line_up(child)
        return commit

    def append_later(self) -> asyncio.Future[None]:
        """Take up the parents that are at rest, and then write it all."""
        later: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        later.add_done_callback(_look_at_error)
        self._later = later
        for live, _, _ in self._parts:
            self._wait(live, later)
        task = self._host.spawn(self._append_later(later), "answer")
        task.add_done_callback(partial(self._never_began, later))
        return later

    def _wait(self, live: LiveRun, later: asyncio.Future[None]) -> None:
        """Let nobody believe what a run says before it is appended, nor the run leave memory."""
        self._waiting.append(live)
        live.wait_for(later)

    async def _append_later(self, later: asyncio.Future[None]) -> None:
        try:
            async with AsyncExitStack() as stack:
                while (parent_key := self.answer()) is not None:
                    try:
                        await stack.enter_async_context(self._host.pinned(parent_key))
                    except (RunNotFound, RunSetAside):
                        # It was removed, and nobody is left to be told; or it will hear when it is resumed.
                        self._ended.pop()
                commit = self.append()
                for live in self._waiting:
                    live.stop_waiting_for(later)
                commit.add_done_callback(partial(_pass_on, later))
        except BaseException:
            self._lose()
            if not later.done():
                later.set_exception(StorageUnavailable())
            raise

    def _never_began(self, later: asyncio.Future[None], task: asyncio.Task[None]) -> None:
        """Let nobody wait for an append whose task a shutdown cancelled before its first step."""
        if task.cancelled() and not later.done():
            self._lose()
            later.set_exception(StorageUnavailable())

    def _lose(self) -> None:
        for live, _, _ in self._parts:
            self._host.lose(live)

    def _committed(self, commit: asyncio.Future[None]) -> None:
        if not commit.cancelled() and isinstance(error := commit.exception(), Unstorable):
            for live, written, _ in self._parts:
                live.untell_gate(written)
            self._host.refuse(error, self._parts)
            return
        for live, written, fact in self._parts:
            live.committed(written, fact, commit)


def end_of(state: RunState, address: Address, attempt: int) -> ChildEnded:
    """Return a child's end as its parent takes it, whose attempt the child was."""
    if state.end is None:
        raise ValueError(f"{state.run_id} has not ended")
    done = isinstance(state.end, Completed)
    return ChildEnded(
        address=address,
        attempt=attempt,
        child_run_id=state.run_id,
        state=state.state,
        output=state.end.result if isinstance(state.end, Completed) else None,
        error=None if done else getattr(state.end, "error", None),
        chance=chance(),
    )


def _pass_on(later: asyncio.Future[None], commit: asyncio.Future[None]) -> None:
    if later.done():
        return
    if commit.cancelled() or commit.exception() is not None:
        later.set_exception(commit.exception() or StorageUnavailable())
    else:
        later.set_result(None)


def _look_at_error(later: asyncio.Future[None]) -> None:
    """Nobody may wait for it; then its error has been logged elsewhere."""
    if not later.cancelled():
        later.exception()
