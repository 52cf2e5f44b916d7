"""What authors write: a ``Workflow`` and its decorators.

A decorator records a declaration on the object that the author holds, and returns something that is still the
author's function. Nothing is judged here, so the order of declarations is free: ``compile`` finds every fault
at once. No registry exists besides the Workflow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, ParamSpec, TypeVar, overload

from infraweave.authoring.declarations import (
    DEFAULT,
    Declaration,
    Named,
    Node,
    Wait,
    name_of_function,
    scope_of_caller,
)
from infraweave.authoring.http_declarations import Calls, Join
from infraweave.authoring.triggers import Triggers
from infraweave.core.data.values import Duration
from infraweave.core.workflow.document import ITEMS_AT_ONCE, Concurrency, Document, Retry

P = ParamSpec("P")
R = TypeVar("R")


class Workflow(Triggers, Calls):
    """A workflow being declared. ``input``: a class, a JSON Schema, or None for any JSON object.

    ``concurrency``: how many runs may be open at once; a number, a ``Concurrency``, or one without a key and
    one with a key as a list.
    """

    def __init__(
        self,
        workflow_id: str,
        *,
        version: str | None = None,
        input: Any = None,  # noqa: A002 - the wire's word
        concurrency: int | Concurrency | Sequence[int | Concurrency] = (),
    ) -> None:
        self.workflow_id, self.version, self.input = workflow_id, version, input
        super().__init__()
        self.concurrency = concurrency
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
        join: Join = ...,
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
        join: Join = "all",
        retry: Retry | None = DEFAULT,
        timeout: Duration | None = None,
        executor: str = "default",
    ) -> Any:
        """Declare a node that does work.

        ``timeout`` counts per attempt; ``retry=None``: one attempt only. ``join="any"``: a race, the node
        runs with the first of its upstreams that ran, and what else only led to it is stopped.
        """
        options = {"after": after, "join": join, "retry": retry, "timeout": timeout, "executor": executor}
        return self._decorated(function, kind, name, options)

    def router(
        self,
        *,
        routes: Sequence[Named],
        name: str | None = None,
        after: Sequence[Named] = (),
        join: Join = "all",
        retry: Retry | None = DEFAULT,
        timeout: Duration | None = None,
    ) -> Callable[[Callable[P, R]], Node[P, R]]:
        """Declare a router: it returns which of its ``routes`` run, one name, a list, or ``[]``."""
        options = {"routes": routes, "after": after, "join": join, "retry": retry, "timeout": timeout}
        decorate: Callable[[Callable[P, R]], Node[P, R]] = self._decorated(None, "router", name, options)
        return decorate

    def map(
        self,
        *,
        over: Named,
        max_concurrency: int = ITEMS_AT_ONCE,
        max_failures: int = 0,
        name: str | None = None,
        after: Sequence[Named] = (),
        retry: Retry | None = DEFAULT,
        timeout: Duration | None = None,
        executor: str = "default",
        subworkflow: Workflow | str | None = None,
        version: str | None = None,
        schema: Any = None,
    ) -> Callable[[Callable[P, R]], Node[P, R]]:
        """Declare work done for each item of a list: a node's output, or ``input``, or ``"input.files"``.

        The first parameter is the item, whatever its name. The output is the list of results, in the items'
        order. ``max_concurrency`` items are in flight at once; ``max_failures`` may fail for good and yield
        None. ``retry`` and ``timeout`` are those of each item. With ``subworkflow`` the function makes the
        input of a child run for each item, whose result must pass ``schema``.
        """
        options = {
            "over": over,
            "max_concurrency": max_concurrency,
            "max_failures": max_failures,
            "after": after,
            "retry": _once_for_children(retry) if subworkflow is not None else retry,
            "timeout": timeout,
            "executor": executor,
            "workflow": subworkflow,
            "workflow_version": version,
            "schema": schema,
        }
        decorate: Callable[[Callable[P, R]], Node[P, R]] = self._decorated(None, "map", name, options)
        return decorate

    def repeat(
        self,
        *,
        back_to: Named,
        max_iterations: int,
        on_exhausted: Literal["fail", "continue"] = "fail",
        name: str | None = None,
        after: Sequence[Named] = (),
        retry: Retry | None = DEFAULT,
        timeout: Duration | None = None,
    ) -> Callable[[Callable[P, R]], Node[P, R]]:
        """Declare the condition that ends a loop: True runs the nodes from ``back_to`` on again.

        The region runs ``max_iterations`` times at most; then the run fails, or goes on as if the condition
        had been False. A parameter of the region that names a later node of it takes that node's output of
        the iteration before, and its default in the first.
        """
        options = {
            "back_to": back_to,
            "max_iterations": max_iterations,
            "on_exhausted": on_exhausted,
            "after": after,
            "retry": retry,
            "timeout": timeout,
        }
        decorate: Callable[[Callable[P, R]], Node[P, R]] = self._decorated(None, "loop", name, options)
        return decorate

    def subworkflow(
        self,
        workflow: Workflow | str,
        /,
        *,
        version: str | None = None,
        schema: Any = None,
        name: str | None = None,
        after: Sequence[Named] = (),
        join: Join = "all",
        retry: Retry | None = None,
    ) -> Callable[[Callable[P, R]], Node[P, R]]:
        """Declare a run of another workflow, whose input the function makes and whose result is the output.

        Without ``version`` the child runs the version that is active then. Its result must pass ``schema`` (a
        class or a JSON Schema). A child that failed is tried again, as a new run, where ``retry`` says so.
        """
        options = {
            "workflow": workflow,
            "workflow_version": version,
            "schema": schema,
            "after": after,
            "join": join,
            "retry": retry,
        }
        decorate: Callable[[Callable[P, R]], Node[P, R]] = self._decorated(None, "subworkflow", name, options)
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
        join: Join = ...,
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
        join: Join = ...,
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
        join: Join = "all",
        timeout: Duration | None = None,
        on_timeout: Any = "fail",
    ) -> Any:
        """Declare a durable wait for a person, whose answer must pass ``schema`` (a class or a JSON Schema).

        As a decorator, on a function that returns the prompt, or ``{"prompt": …, "data": …}``; as a call,
        with a name and a fixed prompt. ``on_timeout``: "fail", a node that runs in place of what needs the
        answer, or any other value, which stands in for the answer and must pass ``schema``.
        """
        options = {
            "schema": schema,
            "after": after,
            "join": join,
            "timeout": timeout,
            "on_timeout": on_timeout,
        }
        if declared_name is None:
            return self._decorated(None, "human_input", name, options)
        return self._declared(Declaration("human_input", str(declared_name), prompt=prompt, **options))

    def signal(
        self,
        name: str,
        /,
        *,
        schema: Any = None,
        after: Sequence[Named] = (),
        join: Join = "all",
        timeout: Duration | None = None,
        on_timeout: Any = "fail",
    ) -> Wait:
        """Declare a durable wait for data: a signal of this name whose payload passes ``schema``.

        One that came before is taken at once. ``on_timeout`` is as for ``human_input``.
        """
        options = {
            "schema": schema,
            "after": after,
            "join": join,
            "timeout": timeout,
            "on_timeout": on_timeout,
        }
        return self._declared(Declaration("signal", str(name), **options))

    @overload
    def sleep(
        self, name: str, delay: Duration, /, *, after: Sequence[Named] = ..., join: Join = ...
    ) -> Wait: ...
    @overload
    def sleep(self, function: Callable[P, R], /) -> Node[P, R]: ...
    @overload
    def sleep(
        self, *, name: str | None = ..., after: Sequence[Named] = ..., join: Join = ...
    ) -> Callable[[Callable[P, R]], Node[P, R]]: ...
    def sleep(
        self,
        function: Any = None,
        delay: Duration | None = None,
        *,
        name: str | None = None,
        after: Sequence[Named] = (),
        join: Join = "all",
    ) -> Any:
        """Declare a durable timer: a name and a delay, or a function that returns the delay or the time."""
        if isinstance(function, str):
            return self._declared(Declaration("timer", function, delay=delay, after=after, join=join))
        return self._decorated(function, "timer", name, {"after": after, "join": join})

    def output(self, node: Named) -> None:
        """Let the run's result be this node's output."""
        self.output_of = node
        self._changed()

    def _decorated(self, function: Any, kind: Any, name: str | None, options: dict[str, Any]) -> Any:
        scope = scope_of_caller(depth=2)

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


def _once_for_children(retry: Retry | None) -> Retry | None:
    """Return how children are retried: only where the author says so."""
    return None if retry is DEFAULT else retry
