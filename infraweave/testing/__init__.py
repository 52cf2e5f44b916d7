"""Tools for testing workflows: the pytest fixture ``iw`` (see ``plugin``) and a virtual clock."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infraweave.testing.clock import VirtualClock
    from infraweave.testing.harness import Iw
    from infraweave.testing.replace import Call, Replacement
    from infraweave.testing.runs import IwClient, IwRun, NodeReport
    from infraweave.testing.time import Stuck

#: The module of each name. pytest loads the plugin in every project, so names are imported on first use.
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
