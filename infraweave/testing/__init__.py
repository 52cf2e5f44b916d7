"""What tests of workflows need: the pytest fixture ``iw`` (see ``plugin``), and a clock that they turn."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infraweave.testing.clock import VirtualClock
    from infraweave.testing.harness import Iw
    from infraweave.testing.replace import Call, Replacement
    from infraweave.testing.runs import IwClient, IwRun, NodeReport
    from infraweave.testing.time import Stuck

#: Where each name comes from; pytest loads the plugin in every project, so nothing else is loaded with it.
_HOMES = {
    "Call": "replace",
    "Iw": "harness",
    "IwClient": "runs",
    "IwRun": "runs",
    "NodeReport": "runs",
    "Replacement": "replace",
    "Stuck": "time",
    "VirtualClock": "clock",
}

__all__ = ["Call", "Iw", "IwClient", "IwRun", "NodeReport", "Replacement", "Stuck", "VirtualClock"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"infraweave.testing.{_HOMES[name]}"), name)
    return found
