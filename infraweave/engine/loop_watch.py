"""Tells who holds the event loop: while it is held, everybody else waits.

A thread beside the loop looks what runs there. What is found there again and again is a body, or code of
the server's own, that does not give the loop back: it is named in the log, with its place, and again when it
ends.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

from infraweave.engine.clock import Clock
from infraweave.engine.execution.context import CURRENT_BODY, RunContext
from infraweave.engine.execution.tracebacks import stack_of

log = logging.getLogger("infraweave.node")

#: By it the loop runs whatever it runs.
_RUN = vars(asyncio.Handle)["_run"].__code__
#: Seconds between two looks, and between two heartbeats.
_LOOK, _BEAT = 0.05, 0.1
#: What holds the loop and is no body is told after so many times as long.
_OWN = 10


class LoopWatch:
    """Watches a loop. ``patience``: seconds for which a body may hold it; 0: it is not watched."""

    def __init__(self, clock: Clock, patience: float) -> None:
        self._clock, self.patience = clock, patience
        #: Called on the loop, some times a second, with how many seconds late that is.
        self.on_beat: Callable[[float], object] = lambda _: None
        self._ended = threading.Event()
        self._due_at = 0.0
        #: What was seen to run at the last look, since when, and whether it was told.
        self._seen: Any = None
        self._since = 0.0
        self._told: str | None = None

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch the running loop for the length of the block."""
        if not self.patience:
            yield
            return
        self._beat_again()
        watched = (threading.get_ident(),)
        threading.Thread(target=self._watch, args=watched, name="infraweave-loop-watch", daemon=True).start()
        try:
            yield
        finally:
            self._ended.set()

    def _beat_again(self) -> None:
        self._due_at = self._clock.elapsed() + _BEAT
        asyncio.get_running_loop().call_later(_BEAT, self._beat)

    def _beat(self) -> None:
        if not self._ended.is_set():
            self.on_beat(max(0.0, self._clock.elapsed() - self._due_at))
            self._beat_again()

    # --- in the thread beside it ---------------------------------------------------------------------------

    def _watch(self, thread: int) -> None:
        while not self._ended.wait(_LOOK):
            self.look(sys._current_frames().get(thread))  # noqa: SLF001 - the only way to another's stack

    def look(self, frame: FrameType | None) -> None:
        """Take note of what runs; ``frame``: the innermost of the loop's thread."""
        handle, now = _handle(frame), self._clock.elapsed()
        if handle is None or handle is not self._seen:
            self._end(now)
            self._seen, self._since = handle, now
        elif self._told is None:
            held = now - self._since
            body = handle._context.get(CURRENT_BODY)  # noqa: SLF001 - there is no public way
            if held >= self.patience * (1 if body else _OWN):
                self._tell(held, body, frame)

    def _tell(self, held: float, body: RunContext | None, frame: FrameType | None) -> None:
        if body is None:
            self._told, extra = "Something that is no body", {}
        else:
            self._told = f"{body.run_id} {body.address} attempt {body.attempt}"
            extra = {"run_id": body.run_id, "node": str(body.address), "attempt": body.attempt}
        message = "%s holds the event loop for %.1f s already, and everybody waits; it is at %s"
        log.warning(message, self._told, held, stack_of(frame), extra=extra)

    def _end(self, now: float) -> None:
        if self._told is not None:
            log.warning("%s held the event loop for %.1f s", self._told, now - self._since)
            self._told = None


def _handle(frame: FrameType | None) -> Any:
    """Return what the loop calls in whose stack a frame is; None where it waits."""
    while frame is not None:
        if frame.f_code is _RUN:
            return frame.f_locals.get("self")
        frame = frame.f_back
    return None
