"""What authors write: a ``Workflow`` and its decorators.

A decorator records a declaration on the Workflow and returns a callable that still is the author's function.
There is no global registry. Decorators check nothing, so the order of declarations does not matter:
``compile`` reports every fault at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, ParamSpec, TypeVar, overload

from infraweave.authoring.declarations import (
    DEFAULT,
    Declaration,
    DeclaredNode,
    DeclaredWait,
    Named,
    name_of_function,
    scope_of_caller,
)
from infraweave.authoring.http_declarations import HttpDeclarations, Join
from infraweave.authoring.trigger_declarations import TriggerDeclarations
from infraweave.core.data.values import Duration
from infraweave.core.workflow.document import DEFAULT_MAX_CONCURRENCY, Document, Retry

P = ParamSpec("P")
R = TypeVar("R")


class Workflow(TriggerDeclarations, HttpDeclarations):
    """A workflow being declared. ``input``: a class, a JSON Schema, or None for any JSON object.

    ``concurrency`` limits how many runs may be open at once. It is a number, a ``Concurrency``, or a list of
    one limit without a key and one with a key.
    """

    # --- nodes ---------------------------------------------------------------------------------------------

    @overload
    def node(self, function: Callable[P, R], /) -> DeclaredNode[P, R]: ...
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
    ) -> Callable[[Callable[P, R]], DeclaredNode[P, R]]: ...
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

        ``timeout`` applies to each attempt. ``retry=None`` allows one attempt only. ``join="any"`` is a race:
        the node runs after the first upstream node that ran, and the other branches that lead only to it are
        stopped.
        """
        decorator: Any = self._decorator(
            kind, name, after=after, join=join, retry=retry, timeout=timeout, executor=executor
        )
        return decorator if function is None else decorator(function)

    def router(
        self,
        *,
        routes: Sequence[Named],
        name: str | None = None,
        after: Sequence[Named] = (),
        join: Join = "all",
        retry: Retry | None = DEFAULT,
        timeout: Duration | None = None,
    ) -> Callable[[Callable[P, R]], DeclaredNode[P, R]]:
        """Declare a router. It returns which of its ``routes`` run: one name, a list, or ``[]``."""
        return self._decorator(
            "router", name, routes=routes, after=after, join=join, retry=retry, timeout=timeout
        )

    def map(
        self,
        *,
        over: Named,
        max_concurrency: int = DEFAULT_MAX_CONCURRENCY,
        max_failures: int = 0,
        name: str | None = None,
        after: Sequence[Named] = (),
        retry: Retry | None = DEFAULT,
        timeout: Duration | None = None,
        executor: str = "default",
        subworkflow: Workflow | str | None = None,
        version: str | None = None,
        schema: Any = None,
    ) -> Callable[[Callable[P, R]], DeclaredNode[P, R]]:
        """Declare work for each item of a list: of a node's output, ``input``, or ``"input.files"``.

        The first parameter is the item, whatever its name. The output is the list of results, in the items'
        order. At most ``max_concurrency`` items run at once. Up to ``max_failures`` items may fail for good;
        they yield None. ``retry`` and ``timeout`` apply to each item. With ``subworkflow`` each item starts a
        child run: the function returns its input, and its result must pass ``schema``.
        """
        return self._decorator(
            "map",
            name,
            over=over,
            max_concurrency=max_concurrency,
            max_failures=max_failures,
            after=after,
            retry=_once_for_children(retry) if subworkflow is not None else retry,
            timeout=timeout,
            executor=executor,
            workflow=subworkflow,
            workflow_version=version,
            schema=schema,
        )

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
    ) -> Callable[[Callable[P, R]], DeclaredNode[P, R]]:
        """Declare the condition at the end of a loop. True runs the nodes from ``back_to`` again.

        The loop runs at most ``max_iterations`` times. Then the run fails, or goes on as if the condition had
        been False (``on_exhausted="continue"``). A parameter that names a later node of the loop takes that
        node's output of the previous iteration, and its default in the first iteration.
        """
        return self._decorator(
            "loop",
            name,
            back_to=back_to,
            max_iterations=max_iterations,
            on_exhausted=on_exhausted,
            after=after,
            retry=retry,
            timeout=timeout,
        )

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
    ) -> Callable[[Callable[P, R]], DeclaredNode[P, R]]:
        """Declare a child run of another workflow. The function returns its input; its result is the output.

        Without ``version`` the child runs the version that is active at that time. Its result must pass
        ``schema`` (a class or a JSON Schema). ``retry`` starts a new child run after one that failed.
        """
        return self._decorator(
            "subworkflow",
            name,
            workflow=workflow,
            workflow_version=version,
            schema=schema,
            after=after,
            join=join,
            retry=retry,
        )

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
    ) -> DeclaredWait: ...
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
    ) -> Callable[[Callable[P, R]], DeclaredNode[P, R]]: ...
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
        """Declare a durable wait for a person's answer. It must pass ``schema`` (a class or a JSON Schema).

        Use it as a decorator on a function that returns the prompt, or ``{"prompt": …, "data": …}``; or call
        it with a name and a fixed prompt. ``on_timeout`` is "fail", or a node that runs instead of the nodes
        that need the answer, or any other value, which replaces the answer and must pass ``schema``.
        """
        options = {
            "schema": schema,
            "after": after,
            "join": join,
            "timeout": timeout,
            "on_timeout": on_timeout,
        }
        if declared_name is None:
            return self._decorator("human_input", name, **options)
        return self._declare(Declaration("human_input", str(declared_name), prompt=prompt, **options))

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
    ) -> DeclaredWait:
        """Declare a durable wait for a signal of this name. Its payload must pass ``schema``.

        A signal that came earlier is consumed at once. ``on_timeout`` works as for ``human_input``.
        """
        return self._declare(
            Declaration(
                "signal",
                str(name),
                schema=schema,
                after=after,
                join=join,
                timeout=timeout,
                on_timeout=on_timeout,
            )
        )

    @overload
    def sleep(
        self, name: str, delay: Duration, /, *, after: Sequence[Named] = ..., join: Join = ...
    ) -> DeclaredWait: ...
    @overload
    def sleep(self, function: Callable[P, R], /) -> DeclaredNode[P, R]: ...
    @overload
    def sleep(
        self, *, name: str | None = ..., after: Sequence[Named] = ..., join: Join = ...
    ) -> Callable[[Callable[P, R]], DeclaredNode[P, R]]: ...
    def sleep(
        self,
        function: Any = None,
        delay: Duration | None = None,
        *,
        name: str | None = None,
        after: Sequence[Named] = (),
        join: Join = "all",
    ) -> Any:
        """Declare a durable timer: by a name and a delay, or by a function that returns a delay or a time."""
        if isinstance(function, str):
            return self._declare(Declaration("timer", function, delay=delay, after=after, join=join))
        decorator: Any = self._decorator("timer", name, after=after, join=join)
        return decorator if function is None else decorator(function)

    def output(self, node: Named) -> None:
        """Make this node's output the result of the run."""
        self.output_of = node
        self._on_change()

    def _decorator(
        self, kind: str, name: str | None, **options: Any
    ) -> Callable[[Callable[P, R]], DeclaredNode[P, R]]:
        scope = scope_of_caller(depth=2)

        def declare(given: Callable[P, R]) -> DeclaredNode[P, R]:
            # One function may be a node of several workflows.
            body = given.function if isinstance(given, DeclaredNode) else given
            called = name_of_function(body) if name is None else str(name)
            declaration = Declaration(kind, called, function=body, scope=scope, **options)
            self._declare(declaration)
            return DeclaredNode(declaration, body, self._on_change)

        return declare

    # --- compiling -----------------------------------------------------------------------------------------

    @cached_property
    def compiled(self) -> Any:
        """The document and the code, compiled on first use."""
        from infraweave.authoring.compiler import compile_workflow

        return compile_workflow(self)

    def compile(self) -> Document:
        """Return the definition document.

        Raises:
            DeclarationError: the workflow does not compile; lists every fault.
        """
        document: Document = self.compiled.document
        return document

    def codes(self) -> Mapping[str, Any]:
        """Return the functions by their references in the document.

        Raises:
            DeclarationError: the workflow does not compile; lists every fault.
        """
        codes: Mapping[str, Any] = self.compiled.codes
        return codes


def _once_for_children(retry: Retry | None) -> Retry | None:
    """Return the retry policy of child runs, which are not retried by default."""
    return None if retry is DEFAULT else retry
