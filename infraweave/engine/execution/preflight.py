"""Preflights: author code that runs before a wait opens and computes its prompt, its time or a child's input.

A preflight is not tried again: if it fails, the wait fails.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from infraweave.core.data.values import MAX_DURATION, Json, from_rfc3339, to_seconds
from infraweave.core.run.facts import Fact, PreflightFailed, PromptReady, TimerReady
from infraweave.core.workflow.document import HumanInput, Map, Node, Subworkflow, Timer
from infraweave.engine.execution.attempt import Attempt
from infraweave.engine.execution.attempt_error import AttemptError


class Preflight(Attempt):
    """The call of the code of a wait."""

    def failed(self, error: AttemptError) -> Fact:
        """Return the fact of a wait that cannot open."""
        return PreflightFailed(
            address=self.address, code=error.code, message=error.message, traceback=error.traceback
        )

    async def conclude(self, output: Json) -> Fact:
        """Return the fact of a wait that can open."""
        try:
            return self.ready(output)
        except ValueError as error:
            return self.failed(AttemptError("output_invalid", str(error), final=True))

    def ready(self, output: Json) -> Fact:
        """Return the fact of a wait that can open.

        Raises:
            ValueError: ``output`` does not describe it.
        """
        raise NotImplementedError


class PromptPreflight(Preflight):
    """The code of a human node, which returns its prompt."""

    def ready(self, output: Json) -> Fact:
        """Return the prompt that ``output`` is: a text, or an object with ``prompt`` and ``data``."""
        if isinstance(output, str):
            return PromptReady(address=self.address, prompt=output, data=None)
        if isinstance(output, dict) and output.keys() <= {"prompt", "data"}:
            prompt = output.get("prompt")
            if isinstance(prompt, str):
                return PromptReady(address=self.address, prompt=prompt, data=output.get("data"))
        raise ValueError('a human node\'s code returns the prompt, or {"prompt": …, "data": …}')


class TimerPreflight(Preflight):
    """The code of a timer, which returns its delay (seconds or text) or its end (RFC 3339)."""

    def ready(self, output: Json) -> Fact:
        """Return when the timer ends."""
        now = self._clock.now()
        if not isinstance(output, str) or "T" not in output:
            return TimerReady(address=self.address, wake_at=now + round(to_seconds(output) * 1000))
        wake_at = from_rfc3339(output)
        if wake_at > now + MAX_DURATION * 1000:
            raise ValueError(f"{output} is more than a hundred years away")
        return TimerReady(address=self.address, wake_at=max(now, wake_at))


class ChildPreflight(Preflight):
    """The code that returns a child's input; its workflow is looked up afterwards."""

    #: Returns the fact of a child that may start, or raises AttemptError.
    resolve_child: Callable[[Json], Awaitable[Fact]]

    async def conclude(self, output: Json) -> Fact:
        """Return the fact of a child that may start."""
        return await self.resolve_child(output)


PREFLIGHTS: dict[type[Node], type[Preflight]] = {
    HumanInput: PromptPreflight,
    Timer: TimerPreflight,
    Subworkflow: ChildPreflight,
    Map: ChildPreflight,
}
