"""Reports the first start and the end of a run to admission control, in the order of commits."""

from __future__ import annotations

from collections.abc import Sequence

from infraweave.core.run.events import Event, Origin, StatusChanged
from infraweave.core.run.state import RunState
from infraweave.engine.admission.admission import AdmissionControl


class AdmissionReport:
    """The reports of one run."""

    def __init__(self, admission: AdmissionControl, run_key: int, state: RunState) -> None:
        self._admission, self._run_key = admission, run_key
        self._has_started, self._has_ended = state.started_at is not None, state.end is not None

    def update(self, state: RunState) -> None:
        """Report what an append has changed."""
        if self._has_started and state.end is None:
            return  # as after most turns
        origin = state.origin
        if origin is None:
            raise ValueError(f"{state.run_id} has no first event")
        if not self._has_started and state.started_at is not None:
            self._has_started = True
            self._admission.started(self._run_key, origin)
        if state.end is not None and not self._has_ended:
            self._has_ended = True
            if self._has_started:
                self._admission.ended(origin)
            else:
                self._admission.remove(self._run_key)

    def take_back(self, state: RunState, origin: Origin, events: Sequence[Event]) -> None:
        """Undo the reports of events that were not stored."""
        started = any(
            isinstance(event, StatusChanged)
            and event.state == "running"
            and event.cause in ("accepted", "slot_granted")
            for event in events
        )
        ended = self._has_ended and state.end is events[-1]
        if started and not ended:
            self._admission.ended(origin)
        elif ended and not started:
            self._admission.reopened(origin)
