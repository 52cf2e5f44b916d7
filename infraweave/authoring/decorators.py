"""What authors write: a ``Workflow`` and its decorators.

A decorator records a declaration on the object that the author holds, and returns something that is still the
author's function. Nothing is judged here, so the order of declarations is free: ``compile`` finds every fault
at once. No registry exists besides the Workflow.
"""

from __future__ import annotations

import sys
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import cached_property, partial, update_wrapper
from types import FrameType
from typing import Any, Generic, Literal, ParamSpec, TypeAlias, TypeVar, overload

from attrs import define, field, frozen

from infraweave.core.document import Document, Retry
from infraweave.core.values import Duration

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

    kind: Literal["node", "agent", "tool", "llm", "router", "human_input", "timer", "http"]
    name: str
    function: Callable[..., Any] | None = None
    #: Names that the function's annotations may use beside its module's.
    scope: Mapping[str, Any] = field(factory=dict)
    after: Sequence[Named] = ()
    retry: Retry | None = DEFAULT
    timeout: Duration | None = None
    executor: str = "default"
    routes: Sequence[Named] = ()
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
        scope = _scope()

        def declare(undo: Callable[..., Any]) -> Callable[..., Any]:
            self.declaration.undos.append(Undo(undo, scope, retry, timeout))
            self._changed()
            return undo

        return declare if function is None else declare(function)


class Workflow:
    """A workflow being declared. ``input``: a class, a JSON Schema, or None for any JSON object."""

    def __init__(self, workflow_id: str, *, version: str | None = None, input: Any = None) -> None:  # noqa: A002
        self.workflow_id, self.version, self.input = workflow_id, version, input
        self.declarations: list[Declaration] = []
        self.output_of: Named | None = None

    def __repr__(self) -> str:
        return f"Workflow({self.workflow_id!r}, version={self.version!r})"

    # --- nodes ---------------------------------------------------------------------------------------------

    @overload
    def node(self, function: Callable[P, R], /) -> Node[P, R]: ...
    @overload
    def node(
        self,
        *,
        name: str | None = ...,
        kind: Literal["node", "agent", "tool", "llm"] = ...,
        after: Sequence[Named] = ...,
        retry: Retry | None = ...,
        timeout: Duration | None = ...,
        executor: str = ...,
    ) -> Callable[[Callable[P, R]], Node[P, R]]: ...
    def node(
        self,
        function: Any = None,
        *,
        name: str | None = None,
        kind: Literal["node", "agent", "tool", "llm"] = "node",
        after: Sequence[Named] = (),
        retry: Retry | None = DEFAULT,
        timeout: Duration | None = None,
        executor: str = "default",
    ) -> Any:
        """Declare a node that does work. ``timeout`` counts per attempt; ``retry=None``: one attempt only."""
        options = {"after": after, "retry": retry, "timeout": timeout, "executor": executor}
        return self._decorated(function, kind, name, options)

    def router(
        self,
        *,
        routes: Sequence[Named],
        name: str | None = None,
        after: Sequence[Named] = (),
        retry: Retry | None = DEFAULT,
        timeout: Duration | None = None,
    ) -> Callable[[Callable[P, R]], Node[P, R]]:
        """Declare a router: it returns which of its ``routes`` run, one name, a list, or ``[]``."""
        options = {"routes": routes, "after": after, "retry": retry, "timeout": timeout}
        decorate: Callable[[Callable[P, R]], Node[P, R]] = self._decorated(None, "router", name, options)
        return decorate

    @overload
    def human_input(
        self,
        name: str,
        /,
        *,
        prompt: str,
        schema: Any,
        after: Sequence[Named] = ...,
        timeout: Duration | None = ...,
        on_timeout: Any = ...,
    ) -> Wait: ...
    @overload
    def human_input(
        self,
        *,
        schema: Any,
        name: str | None = ...,
        after: Sequence[Named] = ...,
        timeout: Duration | None = ...,
        on_timeout: Any = ...,
    ) -> Callable[[Callable[P, R]], Node[P, R]]: ...
    def human_input(
        self,
        declared_name: str | None = None,
        *,
        schema: Any,
        prompt: str | None = None,
        name: str | None = None,
        after: Sequence[Named] = (),
        timeout: Duration | None = None,
        on_timeout: Any = "fail",
    ) -> Any:
        """Declare a durable wait for a person, whose answer must pass ``schema`` (a class or a JSON Schema).

        As a decorator, on a function that returns the prompt, or ``{"prompt": …, "data": …}``; as a call,
        with a name and a fixed prompt.
        """
        options = {"schema": schema, "after": after, "timeout": timeout, "on_timeout": on_timeout}
        if declared_name is None:
            return self._decorated(None, "human_input", name, options)
        return self._declared(Declaration("human_input", str(declared_name), prompt=prompt, **options))

    @overload
    def sleep(self, name: str, delay: Duration, /, *, after: Sequence[Named] = ...) -> Wait: ...
    @overload
    def sleep(self, function: Callable[P, R], /) -> Node[P, R]: ...
    @overload
    def sleep(
        self, *, name: str | None = ..., after: Sequence[Named] = ...
    ) -> Callable[[Callable[P, R]], Node[P, R]]: ...
    def sleep(
        self,
        function: Any = None,
        delay: Duration | None = None,
        *,
        name: str | None = None,
        after: Sequence[Named] = (),
    ) -> Any:
        """Declare a durable timer: a name and a delay, or a function that returns the delay or the time."""
        if isinstance(function, str):
            return self._declared(Declaration("timer", function, delay=delay, after=after))
        return self._decorated(function, "timer", name, {"after": after})

    def http(
        self,
        name: str,
        *,
        url: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        output: str = "/body",
        accept: Sequence[int] = (),
        follow_redirects: int = 0,
        max_bytes: int = 1_048_576,
        after: Sequence[Named] = (),
        retry: Retry | None = DEFAULT,
        timeout: Duration = 30.0,
    ) -> Wait:
        """Declare a call over HTTP, made by the server itself within its outbound guard.

        Texts of url, headers, query and body have places, ``{input.id}``: the first name of each is ``input``
        or a node, to which it makes an edge. ``output`` is a JSON Pointer into the response's status, headers
        and body; ``accept`` lists the statuses that are a success (by default 200 to 299).
        """
        request = {
            "method": method,
            "url": url,
            "headers": headers or {},
            "query": query or {},
            "body": body,
            "output": output,
            "accept": accept,
            "follow_redirects": follow_redirects,
            "max_bytes": max_bytes,
        }
        return self._declared(
            Declaration("http", str(name), after=after, retry=retry, timeout=timeout, request=request)
        )

    def output(self, node: Named) -> None:
        """Let the run's result be this node's output."""
        self.output_of = node
        self._changed()

    def _decorated(self, function: Any, kind: Any, name: str | None, options: dict[str, Any]) -> Any:
        scope = _scope(depth=2)

        def declare(given: Callable[..., Any]) -> Node[Any, Any]:
            body = given.function if isinstance(given, Node) else given  # one function, several workflows
            called = name_of_function(body) if name is None else str(name)
            declaration = Declaration(kind, called, function=body, scope=scope, **options)
            self._add(declaration)
            return Node(declaration, body, self._changed)

        return declare if function is None else declare(function)

    def _declared(self, declaration: Declaration) -> Wait:
        self._add(declaration)
        return Wait(declaration.name)

    def _add(self, declaration: Declaration) -> None:
        self.declarations.append(declaration)
        self._changed()

    def _changed(self) -> None:
        """Forget what was compiled: it knew nothing of what has been declared since."""
        self.__dict__.pop("compiled", None)

    # --- compiling -----------------------------------------------------------------------------------------

    @cached_property
    def compiled(self) -> Any:
        """The document and the code; made once, when first asked for."""
        from infraweave.authoring.compiler import compile_workflow

        return compile_workflow(self)

    def compile(self) -> Document:
        """Return the definition document.

        Raises:
            DeclarationError: it cannot be compiled; lists every fault.
        """
        document: Document = self.compiled.document
        return document

    def codes(self) -> Mapping[str, Any]:
        """Return the functions by the references that the document uses.

        Raises:
            DeclarationError: it cannot be compiled; lists every fault.
        """
        codes: Mapping[str, Any] = self.compiled.codes
        return codes


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


def _scope(depth: int = 1) -> Mapping[str, Any]:
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
