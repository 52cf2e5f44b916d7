"""InfraWeave: durable workflows on one machine. Importing this loads next to nothing, and no server."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infraweave.authoring.context import Context
    from infraweave.authoring.decorators import Workflow
    from infraweave.core.workflow.document import Concurrency, Retry
    from infraweave.errors import DeclarationError, InfraWeaveError, NonRetryable
    from infraweave.server.embedding import asgi, embed, serve

    __version__: str

#: Where each name comes from; it is loaded once the name is used.
_HOMES = {
    "Concurrency": "core.workflow.document",
    "Context": "authoring.context",
    "DeclarationError": "errors",
    "InfraWeaveError": "errors",
    "NonRetryable": "errors",
    "Retry": "core.workflow.document",
    "Workflow": "authoring.decorators",
    "asgi": "server.embedding",
    "embed": "server.embedding",
    "serve": "server.embedding",
}

#: Modules that programs may reach for as attributes, without an import of their own.
_MODULES = {
    "client": "client",
    "embedding": "server.embedding",
    "errors": "errors",
    "settings": "settings",
    "testing": "testing",
}

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
        found = import_module(f"infraweave.{_MODULES[name]}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
