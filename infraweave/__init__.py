"""InfraWeave: durable workflows on one machine. Importing this loads no server."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import Any

from infraweave.authoring.context import Context
from infraweave.authoring.decorators import Workflow
from infraweave.core.document import Concurrency, Retry
from infraweave.errors import DeclarationError, InfraWeaveError, NonRetryable

__version__ = _version("infraweave")

#: Names that load the server, once they are used.
_EMBEDDING = ("asgi", "embed", "serve")

__all__ = [
    "Concurrency",
    "Context",
    "DeclarationError",
    "InfraWeaveError",
    "NonRetryable",
    "Retry",
    "Workflow",
    "__version__",
    "asgi",
    "embed",
    "serve",
]


def __getattr__(name: str) -> Any:
    if name in _EMBEDDING:
        return getattr(import_module("infraweave.embedding"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
