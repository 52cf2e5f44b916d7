"""What a decorator leaves behind: a declaration for the compiler, and a node that is still a function."""

from __future__ import annotations

import sys
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial, update_wrapper
from types import FrameType
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, overload

from attrs import define, field, frozen

from infraweave.core.data.values import Duration
from infraweave.core.workflow.document import ITEMS_AT_ONCE, Retry

P = ParamSpec("P")
R = TypeVar("R")
Q = ParamSpec("Q")
S = TypeVar("S")

Named: TypeAlias = "Node[Any, Any] | Wait | Enum | str"
#: Stands for "as the kind does by default", where None has a meaning of its own.
DEFAULT = Retry()


@define
class Declaration:
    """One node as its author wrote it; judged by the compiler."""

    kind: str
    name: str
    function: Callable[..., Any] | None = None
    #: Names that the function's annotations may use beside its module's.
    scope: Mapping[str, Any] = field(factory=dict)
    after: Sequence[Named] = ()
    join: str = "all"
    retry: Retry | None = DEFAULT
    timeout: Duration | None = None
    executor: str = "default"
    routes: Sequence[Named] = ()
    back_to: Named | None = None
    max_iterations: int = 0
    on_exhausted: str = "fail"
    over: Named | None = None
    max_concurrency: int = ITEMS_AT_ONCE
    max_failures: int = 0
    #: The workflow of a child, or its id.
    workflow: Any = None
    workflow_version: str | None = None
    schema: Any = None
    prompt: str | None = None
    on_timeout: Any = "fail"
    delay: Duration | None = None
    #: What an http node sends, as its author wrote it.
    request: Mapping[str, Any] | None = None
    #: One is right; the compiler tells of more.
    undos: list[Undo] = field(factory=list)


@frozen
class Undo:
    """A compensation as its author wrote it."""

    function: Callable[..., Any]
    scope: Mapping[str, Any]
    retry: Retry | None
    timeout: Duration | None


@frozen
class Wait:
    """A node without a function of its own: something to name in ``after=`` and ``routes=``."""

    name: str


class Node(Generic[P, R]):
    """A declared node. Calling it calls the author's function, as in any unit test."""

    __name__: str

    def __init__(
        self, declaration: Declaration, function: Callable[P, R], changed: Callable[[], None]
    ) -> None:
        update_wrapper(self, function)  # first: it takes over the function's own attributes
        self.declaration, self.function, self._changed = declaration, function, changed

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.function(*args, **kwargs)

    @property
    def name(self) -> str:
        """The node's name."""
        return self.declaration.name

    @overload
    def compensate(self, function: Callable[Q, S], /) -> Callable[Q, S]: ...
    @overload
    def compensate(
        self, *, retry: Retry | None = ..., timeout: Duration | None = ...
    ) -> Callable[[Callable[Q, S]], Callable[Q, S]]: ...
    def compensate(
        self, function: Any = None, *, retry: Retry | None = DEFAULT, timeout: Duration | None = None
    ) -> Any:
        """Declare how this node is undone once it has completed, if the run fails or is cancelled later."""
        scope = scope_of_caller()

        def declare(undo: Callable[..., Any]) -> Callable[..., Any]:
            self.declaration.undos.append(Undo(undo, scope, retry, timeout))
            self._changed()
            return undo

        return declare if function is None else declare(function)


def name_of(node: Named) -> str:
    """Return the name that a node, a wait, a text or an enum's member stands for."""
    if isinstance(node, Enum):
        return str(node.value)
    return node if isinstance(node, str) else node.name


def name_of_function(function: Any) -> str:
    """Return the name that a function goes by; empty where it has none."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", ""))


def scope_of_caller(depth: int = 1) -> Mapping[str, Any]:
    """Return the local names where the author stands, so that annotations may use classes of a function.

    The nearest come first; then those of the callers in the same file, which are mostly the functions around.
    """
    frame: FrameType | None = sys._getframe(depth + 1)  # noqa: SLF001 - the documented way to see names
    file = frame.f_code.co_filename if frame else ""
    scopes: list[Any] = []
    while frame and frame.f_code.co_filename == file and frame.f_locals is not frame.f_globals:
        scopes.append(frame.f_locals)
        frame = frame.f_back
    return ChainMap(*scopes)
