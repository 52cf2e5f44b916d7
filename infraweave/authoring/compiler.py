"""From declarations to the definition document and the code behind it.

Edges come from parameter names. Every fault is collected, so that an author sees them all at once; what makes
a graph valid is ``core/check``'s business, what can be read off functions is this file's.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import evolve, frozen

from infraweave.authoring.context import Context
from infraweave.authoring.decorators import Declaration, Undo, Workflow, name_of
from infraweave.core.check import faults as document_faults
from infraweave.core.codec import content_digest
from infraweave.core.document import (
    INPUT,
    Activity,
    Compensation,
    Document,
    HumanInput,
    Node,
    Param,
    Retry,
    Router,
    Timer,
)
from infraweave.core.shape import schema_of
from infraweave.core.values import Duration, Json, seconds
from infraweave.errors import DeclarationError

#: A version that only stands in until the content's digest is known.
_UNKNOWN = "derived"
ONCE = Retry(max_attempts=1)


@frozen
class CodeParam:
    """A parameter of an author's function, apart from its Context."""

    name: str
    annotation: Any
    has_default: bool


@frozen
class Code:
    """An author's function and what calling it takes."""

    reference: str
    function: Callable[..., Any]
    is_async: bool
    params: tuple[CodeParam, ...]
    #: The parameter that takes the Context, or None.
    context_param: str | None
    returns: Any


@frozen
class Compiled:
    """A workflow's document, and its code by reference."""

    document: Document
    codes: Mapping[str, Code]


def compile_workflow(workflow: Workflow) -> Compiled:
    """Return the document and the code of a declared workflow.

    Raises:
        DeclarationError: it cannot be compiled; lists every fault.
    """
    work = _Compilation(workflow)
    document = work.document()
    found = [*work.faults, *document_faults(document)]
    if found:
        raise DeclarationError(workflow.workflow_id, list(dict.fromkeys(found)))
    if workflow.version is None:
        document = evolve(document, version=f"v-{content_digest(document)[:12]}")
    return Compiled(document, work.codes)


class _Compilation:
    """One compilation: the faults and the code found so far."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.faults: list[str] = []
        self.codes: dict[str, Code] = {}

    def document(self) -> Document:
        workflow = self.workflow
        output = workflow.output_of
        return Document(
            workflow_id=workflow.workflow_id,
            version=_UNKNOWN if workflow.version is None else workflow.version,
            input_schema=self._schema("input", workflow.input, {"type": "object"}),
            nodes=tuple(self._node(declaration) for declaration in workflow.declarations),
            output=None if output is None else name_of(output),
        )

    def _node(self, declaration: Declaration) -> Node:
        code = self._code(declaration.name, "", declaration.function, declaration.scope)
        shared: dict[str, Any] = {
            "name": declaration.name,
            "params": _params(code),
            "after": tuple(name_of(node) for node in declaration.after),
        }
        match declaration.kind:
            case "router":
                return self._router(declaration, shared, code)
            case "human_input":
                return self._human_input(declaration, shared, code)
            case "timer":
                delay = self._duration(declaration.name, "delay", declaration.delay)
                return Timer(**shared, delay=delay, code=code.reference if code else None)
            case _:
                return self._activity(declaration, shared, code)

    def _activity(self, declaration: Declaration, shared: dict[str, Any], code: Code | None) -> Activity:
        if declaration.kind not in ("node", "agent", "tool", "llm"):
            self.faults.append(
                f"{declaration.name}: no kind {declaration.kind!r}; there are node, agent, tool, llm"
            )
        return Activity(
            **shared,
            kind=typing.cast("Literal['node']", declaration.kind),
            code=code.reference if code else "",
            retry=self._retry(declaration.name, declaration.retry),
            timeout=self._duration(declaration.name, "timeout", declaration.timeout),
            compensate=self._undo(declaration.name, declaration.undo),
        )

    def _router(self, declaration: Declaration, shared: dict[str, Any], code: Code | None) -> Router:
        return Router(
            **shared,
            code=code.reference if code else "",
            routes=tuple(name_of(route) for route in declaration.routes),
            many=code is None or not _is_one_route(code.returns),
            retry=self._retry(declaration.name, declaration.retry),
            timeout=self._duration(declaration.name, "timeout", declaration.timeout),
        )

    def _human_input(self, declaration: Declaration, shared: dict[str, Any], code: Code | None) -> HumanInput:
        if declaration.on_timeout != "fail":
            self.faults.append(f"{declaration.name}: on_timeout={declaration.on_timeout!r}; expected 'fail'")
        return HumanInput(
            **shared,
            schema=self._schema(declaration.name, declaration.schema, {}),
            prompt=declaration.prompt,
            code=code.reference if code else None,
            timeout=self._duration(declaration.name, "timeout", declaration.timeout),
        )

    def _undo(self, name: str, undo: Undo | None) -> Compensation | None:
        if undo is None:
            return None
        code = self._code(name, ":compensate", undo.function, undo.scope)
        where = f"{name}.compensate"
        return Compensation(
            code=code.reference if code else "",
            params=_params(code),
            retry=self._retry(where, undo.retry),
            timeout=self._duration(where, "timeout", undo.timeout),
        )

    # --- functions -----------------------------------------------------------------------------------------

    def _code(
        self, name: str, suffix: str, function: Callable[..., Any] | None, scope: Mapping[str, Any]
    ) -> Code | None:
        if function is None:
            return None
        reference = f"{self.workflow.workflow_id}:{name}{suffix}"
        hints = self._hints(name, function, scope)
        params, context = [], None
        for param in inspect.signature(function).parameters.values():
            annotation = hints.get(param.name, Any)
            if _is_context(annotation):
                context = param.name
            elif param.kind in (param.POSITIONAL_OR_KEYWORD, param.KEYWORD_ONLY):
                params.append(CodeParam(param.name, annotation, param.default is not param.empty))
            else:
                self.faults.append(f"{name}: parameter {param} cannot be bound; parameters are bound by name")
        is_async = inspect.iscoroutinefunction(function)
        returns = hints.get("return", Any)
        code = Code(reference, function, is_async, tuple(params), context, returns)
        self.codes[reference] = code
        return code

    def _hints(self, name: str, function: Callable[..., Any], scope: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return typing.get_type_hints(function, localns=dict(scope) or None, include_extras=True)
        except (NameError, TypeError, AttributeError) as error:
            self.faults.append(f"{name}: its annotations cannot be read: {error}")
            return {}

    # --- options -------------------------------------------------------------------------------------------

    def _schema(self, name: str, shape: Any, default: dict[str, Json]) -> Json:
        if shape is None or isinstance(shape, Mapping):
            return default if shape is None else dict(shape)
        try:
            return schema_of(shape)
        except TypeError as error:
            self.faults.append(f"{name}: no JSON Schema can be derived: {error}")
            return default

    def _duration(self, name: str, option: str, duration: Duration | None) -> float | None:
        if duration is None:
            return None
        try:
            return seconds(duration)
        except ValueError as error:
            self.faults.append(f"{name}: {option}: {error}")
            return None

    def _retry(self, name: str, retry: Any) -> Retry:
        if retry is None:
            return ONCE
        if not isinstance(retry, Retry):
            self.faults.append(f"{name}: retry={retry!r}; expected Retry(…) or None")
            return ONCE
        return retry


def _params(code: Code | None) -> tuple[Param, ...]:
    """Return the parameters as the document has them: each is named for its source."""
    if code is None:
        return ()
    return tuple(Param(p.name, INPUT if p.name == INPUT else p.name, not p.has_default) for p in code.params)


def _is_context(annotation: Any) -> bool:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return any(argument is Context for argument in typing.get_args(annotation))
    return annotation is Context


def _is_one_route(returns: Any) -> bool:
    return returns is str or typing.get_origin(returns) is Literal
