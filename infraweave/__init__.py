"""InfraWeave: durable workflows on one machine. Importing this loads next to nothing, and no server."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infraweave.authoring.context import Context
    from infraweave.authoring.decorators import Workflow
    from infraweave.core.document import Concurrency, Retry
    from infraweave.embedding import asgi, embed, serve
    from infraweave.errors import DeclarationError, InfraWeaveError, NonRetryable

    __version__: str

#: Where each name comes from; it is loaded once the name is used.
_HOMES = {
    "Concurrency": "core.document",
    "Context": "authoring.context",
    "DeclarationError": "errors",
    "InfraWeaveError": "errors",
    "NonRetryable": "errors",
    "Retry": "core.document",
    "Workflow": "authoring.decorators",
    "asgi": "embedding",
    "embed": "embedding",
    "serve": "embedding",
}

#: Modules that programs may reach for as attributes, without an import of their own.
_MODULES = frozenset({"client", "embedding", "errors", "settings", "testing"})

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
    if name == "__version__":
        from importlib.metadata import version

        found: Any = version("infraweave")
    elif name in _HOMES:
        found = getattr(import_module(f"infraweave.{_HOMES[name]}"), name)
    elif name in _MODULES:
        found = import_module(f"infraweave.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
