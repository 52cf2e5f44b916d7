"""InfraWeave: durable workflows on one machine. Importing this package loads no server.

The words of the code, the tables, the wire and the documentation:

workflow
    A graph of nodes that somebody declared. Each version of it is immutable.
document
    The definition of one version as plain JSON. The engine, the API and the console read it.
node
    A step of a workflow. Its kind says what it does: activity, router, map, timer, signal and so on.
trigger
    A schedule or a webhook: it starts runs without a caller.
run
    One execution of a version. Its events are the only truth about it.
event
    Something that happened to a run. Events are stored in order and are never changed.
history
    The events of one run, shown as one row per attempt.
journal
    The only door for events: they are appended to it and followed from it.
fold
    To compute the state of a run from its events, one after the other.
entry
    One execution of one node: its node, iteration, map index and phase. It is open until an event closes it.
attempt
    One call of an entry's code. A retry is another attempt of the same entry.
fact
    What the engine tells the core: an attempt succeeded, a timer is due, a signal arrived.
turn
    One fact and all events that follow from it.
apply
    To decide a turn, to append its events, and to perform what they open.
append
    To add events to the journal. They are durable once the commit is done.
perform
    To do what an event has opened, after its commit: call code, set a timer, ask a person.
live run
    A run in memory. It leaves memory when it waits.
registry
    All live runs of the process.
wake-up
    The moment at which a waiting run must be in memory again. The agenda table lists wake-ups.
recovery
    Loading the runs that an ended process left open. It is the ordinary way to load a run.
quarantine
    Runs that the process must not load, because earlier processes died while they loaded them.
preflight
    Author code that runs before a wait opens: it computes a prompt, a time or a child's input.
signal
    Data that a person or a system sends to a run while it runs.
input request
    A question to a person. A signal answers it.
compensation
    Code that undoes a completed node when its run fails or is cancelled.
rollback
    The way in which a run stops: waits are withdrawn, attempts end, nodes are compensated.
child
    A run that a node of another run started, its parent.
slot
    The permission to execute. A run that only waits holds no slot.
admission
    The decision which queued run may start now.
concurrency group
    The runs that one concurrency limit counts together.
failpoint
    A named place at which a test lets the process die.
tenant
    The owner of workflows and runs. Other tenants' resources return 404.
principal
    Who makes a request. Grants say what a principal may do.
"""

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
