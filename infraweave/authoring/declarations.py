"""What authors declare: nodes and workflows, as they were written.

Nothing is checked here. The compiler reads declarations and reports every fault at once.
"""

from __future__ import annotations

import sys
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial, update_wrapper
from types import FrameType
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, overload

from attrs import field

from infraweave.core.data.values import Duration
from infraweave.core.lazy_records import frozen
from infraweave.core.records import define
from infraweave.core.workflow.document import DEFAULT_MAX_CONCURRENCY, Concurrency, Retry

P = ParamSpec("P")
R = TypeVar("R")
Q = ParamSpec("Q")
S = TypeVar("S")

Named: TypeAlias = "DeclaredNode[Any, Any] | DeclaredWait | Enum | str"
#: The retry policy of a node that names none. None means that a node is not retried.
DEFAULT = Retry()


@define
class Declaration:
    """One node as its author wrote it."""

    kind: str
    name: str
    function: Callable[..., Any] | None = None
    #: Local names that the function's annotations may use besides the names of its module.
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
    max_concurrency: int = DEFAULT_MAX_CONCURRENCY
    max_failures: int = 0
    #: The workflow of a child, or its id.
    workflow: Any = None
    workflow_version: str | None = None
    schema: Any = None
    prompt: str | None = None
    on_timeout: Any = "fail"
    delay: Duration | None = None
    #: The options of an http node.
    request: Mapping[str, Any] | None = None
    #: At most one is valid; the compiler reports more.
    compensations: list[DeclaredCompensation] = field(factory=list)


@frozen
class DeclaredCompensation:
    """A compensation as its author wrote it."""

    function: Callable[..., Any]
    scope: Mapping[str, Any]
    retry: Retry | None
    timeout: Duration | None


@frozen
class DeclaredWait:
    """A node without a function. It can be named in ``after=`` and ``routes=``."""

    name: str


class DeclaredNode(Generic[P, R]):
    """A declared node. Calling it calls the author's function, so unit tests can use it directly."""

    __name__: str

    def __init__(
        self, declaration: Declaration, function: Callable[P, R], on_change: Callable[[], None]
    ) -> None:
        update_wrapper(self, function)  # first, because it copies the function's attributes
        self.declaration, self.function, self._on_change = declaration, function, on_change

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
        """Declare how to undo this node when the run fails or is cancelled after the node completed."""
        scope = scope_of_caller()

        def declare(undo: Callable[..., Any]) -> Callable[..., Any]:
            self.declaration.compensations.append(DeclaredCompensation(undo, scope, retry, timeout))
            self._on_change()
            return undo

        return declare if function is None else declare(function)


class DeclaredWorkflow:
    """A workflow as its author wrote it: what the compiler reads."""

    def __init__(
        self,
        workflow_id: str,
        *,
        version: str | None = None,
        input: Any = None,  # noqa: A002 - the wire's word
        concurrency: int | Concurrency | Sequence[int | Concurrency] = (),
    ) -> None:
        self.workflow_id, self.version, self.input = workflow_id, version, input
        self.concurrency = concurrency
        self.declarations: list[Declaration] = []
        self.schedules: list[Mapping[str, Any]] = []
        self.webhooks: list[Mapping[str, Any]] = []
        self.output_of: Named | None = None

    def __repr__(self) -> str:
        return f"Workflow({self.workflow_id!r}, version={self.version!r})"

    def _declare(self, declaration: Declaration) -> DeclaredWait:
        self.declarations.append(declaration)
        self._on_change()
        return DeclaredWait(declaration.name)

    def _on_change(self) -> None:
        """Drop the compiled document, because it lacks what was declared since."""
        self.__dict__.pop("compiled", None)


def name_of(node: Named) -> str:
    """Return the node name that a node, a string or an enum member stands for."""
    if isinstance(node, Enum):
        return str(node.value)
    return node if isinstance(node, str) else node.name


def name_of_function(function: Any) -> str:
    """Return the name of a function, or an empty string if it has none."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", ""))


def scope_of_caller(depth: int = 1) -> Mapping[str, Any]:
    """Return the local names at the decorator, so that annotations may use classes defined in a function.

    The names of callers in the same file follow, because those are mostly the enclosing functions.
    """
    frame: FrameType | None = sys._getframe(depth + 1)  # noqa: SLF001 - the documented way to see names
    file = frame.f_code.co_filename if frame else ""
    scopes: list[Any] = []
    while frame and frame.f_code.co_filename == file and frame.f_locals is not frame.f_globals:
        scopes.append(frame.f_locals)
        frame = frame.f_back
    return ChainMap(*scopes)
