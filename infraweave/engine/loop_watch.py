"""Logs what blocks the event loop, because everything else waits meanwhile.

A thread samples what runs on the loop. If it finds the same callback again and again, a body or InfraWeave's
own code blocks the loop: the log names it with its place, and again when it ends.
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

#: The function through which the loop calls every callback.
_RUN = vars(asyncio.Handle)["_run"].__code__
#: Seconds between two samples, and between two heartbeats.
_SAMPLE, _BEAT = 0.05, 0.1
#: Callbacks that are not bodies are logged after this many times ``patience``.
_OWN = 10


class LoopWatch:
    """Watches a loop. ``patience``: seconds for which a body may block it; 0 disables the watch."""

    def __init__(self, clock: Clock, patience: float) -> None:
        self._clock, self.patience = clock, patience
        #: Called on the loop several times a second, with its lateness in seconds.
        self.on_beat: Callable[[float], object] = lambda _: None
        self._ended = threading.Event()
        self._due_at = 0.0
        #: The callback in the last sample, since when it runs, and its name once it was logged.
        self._seen: Any = None
        self._since = 0.0
        self._logged: str | None = None

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch the running loop within the block."""
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

    # --- in the sampling thread ----------------------------------------------------------------------------

    def _watch(self, thread: int) -> None:
        while not self._ended.wait(_SAMPLE):
            self.sample(sys._current_frames().get(thread))  # noqa: SLF001 - the only way to another thread's stack

    def sample(self, frame: FrameType | None) -> None:
        """Record what runs; ``frame`` is the innermost one of the loop's thread."""
        handle, now = _handle(frame), self._clock.elapsed()
        if handle is None or handle is not self._seen:
            self._log_end(now)
            self._seen, self._since = handle, now
        elif self._logged is None:
            held = now - self._since
            body = handle._context.get(CURRENT_BODY)  # noqa: SLF001 - no public way
            if held >= self.patience * (1 if body else _OWN):
                self._log_start(held, body, frame)

    def _log_start(self, held: float, body: RunContext | None, frame: FrameType | None) -> None:
        if body is None:
            self._logged, extra = "Code that is not a body", {}
        else:
            self._logged = f"{body.run_id} {body.address} attempt {body.attempt}"
            extra = {"run_id": body.run_id, "node": str(body.address), "attempt": body.attempt}
        message = "%s has held the event loop for %.1f s, and everything else waits; it is at %s"
        log.warning(message, self._logged, held, stack_of(frame), extra=extra)

    def _log_end(self, now: float) -> None:
        if self._logged is not None:
            log.warning("%s held the event loop for %.1f s", self._logged, now - self._since)
            self._logged = None


def _handle(frame: FrameType | None) -> Any:
    """Return the callback that the loop runs in a frame's stack; None if it waits."""
    while frame is not None:
        if frame.f_code is _RUN:
            return frame.f_locals.get("self")
        frame = frame.f_back
    return None
