"""From declarations to the definition document and the code behind it.

Edges come from parameter names. Every fault is collected, so that an author sees them all at once; what makes
a graph valid is ``core/check``'s business, what can be read off functions is this file's.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Literal

from attrs import evolve, frozen

from infraweave.authoring.decorators import Declaration, Undo, Wait, Workflow, name_of
from infraweave.authoring.decorators import Node as DeclaredNode
from infraweave.authoring.functions import Code, CodeParam, is_one_route, literals, read
from infraweave.authoring.requests import request_from_author
from infraweave.core.check import faults as document_faults
from infraweave.core.codec import content_digest, document_from_json, document_to_json, dumps, loads, unfit
from infraweave.core.document import (
    INPUT,
    Activity,
    Compensation,
    Document,
    Http,
    HumanInput,
    Node,
    Param,
    Request,
    Retry,
    Router,
    Timer,
)
from infraweave.core.outgoing import names_in
from infraweave.core.shape import schema_of
from infraweave.core.values import Duration, Json, seconds
from infraweave.errors import DeclarationError

__all__ = ["Code", "CodeParam", "Compiled", "compile_workflow"]

#: A version that only stands in until the content's digest is known.
_UNKNOWN = "derived"
ONCE = Retry(max_attempts=1)
#: More is a mistake; whoever wants a node tried for ever means a loop or a timer.
_MOST_ATTEMPTS = 1_000_000
#: What stands for a node's name; of enums the value.
_NAMED = (str, DeclaredNode, Wait, Enum)


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
    document = _stored(workflow, document)
    if workflow.version is None:
        document = evolve(document, version=f"v-{content_digest(document)[:12]}")
    return Compiled(document, work.codes)


def _stored(workflow: Workflow, document: Document) -> Document:
    """Return a document as it is once it was stored: with lists for tuples, and numbers as JSON has them."""
    try:
        return document_from_json(loads(dumps(document_to_json(document))))
    except TypeError:
        raise DeclarationError(workflow.workflow_id, list(_unwritable(document))) from None


def _unwritable(document: Document) -> Iterator[str]:
    for node in document.nodes:
        try:
            dumps(document_to_json(evolve(document, nodes=(node,))))
        except TypeError as error:
            yield f"{node.name}: it cannot be written as JSON: {error}"


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
            workflow_id=self._text("workflow_id", workflow.workflow_id),
            version=_UNKNOWN if workflow.version is None else self._text("version", workflow.version),
            input_schema=self._schema("input", workflow.input, {"type": "object"}),
            nodes=tuple(self._node(declaration) for declaration in workflow.declarations),
            output=None if output is None else next(iter(self._named("output", "it", [output])), None),
        )

    def _node(self, declaration: Declaration) -> Node:
        reference = f"{self.workflow.workflow_id}:{declaration.name}"
        code = self._code(declaration.name, reference, declaration.function, declaration.scope)
        if declaration.function is None and declaration.kind not in ("human_input", "timer", "http"):
            self.faults.append(f"{declaration.name}: None is no function whose parameters can be read")
        shared: dict[str, Any] = {
            "name": declaration.name,
            "params": _params(code),
            "after": self._named(declaration.name, "after", declaration.after),
        }
        if declaration.undos and declaration.kind in ("router", "human_input", "timer"):
            self.faults.append(
                f"{declaration.name}: a {declaration.kind.replace('_', ' ')} has nothing to compensate;"
                " compensate the node that acts on it"
            )
        match declaration.kind:
            case "router":
                return self._router(declaration, shared, code)
            case "human_input":
                return self._human_input(declaration, shared, code)
            case "timer":
                delay = self._duration(declaration.name, "delay", declaration.delay)
                return Timer(**shared, delay=delay, code=code.reference if code else None)
            case "http":
                return self._http(declaration, shared)
            case _:
                return self._activity(declaration, shared, code)

    def _http(self, declaration: Declaration, shared: dict[str, Any]) -> Http:
        name = declaration.name
        request = self._request(name, declaration.request or {})
        places = dict.fromkeys(names_in(request))
        timeout = self._duration(name, "timeout", declaration.timeout)
        if declaration.timeout is None:
            self.faults.append(f"{name}: timeout is None; expected a duration, for a call must end")
        return Http(
            **{**shared, "params": tuple(Param(place, place) for place in places)},
            request=request,
            retry=self._retry(name, declaration.retry),
            timeout=30.0 if timeout is None else timeout,
        )

    def _request(self, name: str, given: Mapping[str, Any]) -> Request:
        """Return a request whose fields have the types that its checks expect."""
        try:
            return request_from_author(given)
        except (TypeError, ValueError) as error:
            self.faults.append(f"{name}: {error}")
            return Request(url="http://unknown")

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
            compensate=self._undo(declaration.name, declaration.undos),
            executor=self._executor(declaration, code),
        )

    def _executor(self, declaration: Declaration, code: Code | None) -> Literal["default", "process"]:
        name, executor = declaration.name, declaration.executor
        if executor not in ("default", "process"):
            self.faults.append(f"{name}: executor={executor!r}; expected 'default' or 'process'")
        elif executor == "process" and code is not None and code.is_async:
            self.faults.append(f"{name}: executor='process' takes a sync function, and this one is async")
        return "process" if executor == "process" else "default"

    def _router(self, declaration: Declaration, shared: dict[str, Any], code: Code | None) -> Router:
        routes = self._named(declaration.name, "routes", declaration.routes)
        returned = literals(code.returns) if code else ()
        for route in (value for value in returned if value not in routes):
            self.faults.append(f"{declaration.name}: it may return {route!r}, which is none of its routes")
        return Router(
            **shared,
            code=code.reference if code else "",
            routes=routes,
            many=code is None or not is_one_route(code.returns),
            retry=self._retry(declaration.name, declaration.retry),
            timeout=self._duration(declaration.name, "timeout", declaration.timeout),
        )

    def _human_input(self, declaration: Declaration, shared: dict[str, Any], code: Code | None) -> HumanInput:
        where = f"{declaration.name}: prompt"
        if declaration.on_timeout != "fail":
            self.faults.append(f"{declaration.name}: on_timeout={declaration.on_timeout!r}; expected 'fail'")
        return HumanInput(
            **shared,
            schema=self._schema(declaration.name, declaration.schema, {}),
            prompt=None if declaration.prompt is None else self._text(where, declaration.prompt),
            code=code.reference if code else None,
            timeout=self._duration(declaration.name, "timeout", declaration.timeout),
        )

    def _undo(self, name: str, undos: Sequence[Undo]) -> Compensation | None:
        if not undos:
            return None
        where, undo = f"{name}.compensate", undos[0]
        if len(undos) > 1:
            self.faults.append(f"{name}: it has {len(undos)} compensations; expected one")
        code = self._code(where, f"{self.workflow.workflow_id}:{name}:compensate", undo.function, undo.scope)
        return Compensation(
            code=code.reference if code else "",
            params=_params(code),
            retry=self._retry(where, undo.retry),
            timeout=self._duration(where, "timeout", undo.timeout),
        )

    # --- functions -----------------------------------------------------------------------------------------

    def _code(
        self, where: str, reference: str, function: Callable[..., Any] | None, scope: Mapping[str, Any]
    ) -> Code | None:
        if function is None:
            return None
        names = {declaration.name for declaration in self.workflow.declarations}
        code, faults = read(reference, function, scope, names)
        self.faults += [f"{where}: {fault}" for fault in faults]
        for param in code.params if code else ():
            reason = unfit(param.annotation) if param.name in names or param.name == INPUT else None
            if reason:
                self.faults.append(f"{where}: parameter {param.name}: {reason}")
        if code is not None:
            self.codes[reference] = code
        return code

    # --- options -------------------------------------------------------------------------------------------

    def _schema(self, name: str, shape: Any, default: dict[str, Json]) -> Json:
        if shape is None or isinstance(shape, Mapping):
            return default if shape is None else dict(shape)
        try:
            return schema_of(shape)
        except TypeError as error:
            self.faults.append(f"{name}: no JSON Schema can be derived: {error}")
            return default

    def _text(self, option: str, given: Any) -> str:
        if not isinstance(given, str):
            self.faults.append(f"{option} is {given!r:.100}; expected text")
        return str(given)

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
        if isinstance(retry.max_attempts, bool) or not isinstance(retry.max_attempts, int):
            self.faults.append(
                f"{name}: retry.max_attempts is {retry.max_attempts!r}; expected a whole number"
            )
            return ONCE
        if retry.max_attempts > _MOST_ATTEMPTS:
            self.faults.append(f"{name}: retry.max_attempts is more than {_MOST_ATTEMPTS:,}")
            return ONCE
        if isinstance(retry.factor, bool) or not isinstance(retry.factor, int | float):
            self.faults.append(f"{name}: retry.factor is {retry.factor!r}; expected a number")
            return ONCE
        return evolve(
            retry,
            initial=self._delay(name, "initial", retry.initial),
            factor=float(retry.factor),
            maximum=self._delay(name, "maximum", retry.maximum),
        )

    def _delay(self, name: str, option: str, delay: Any) -> float:
        return self._duration(name, f"retry.{option}", delay) or 0.0

    def _named(self, name: str, option: str, given: Any) -> tuple[str, ...]:
        """Return the names of some nodes; one alone is taken for a list of one."""
        nodes = [given] if isinstance(given, _NAMED) else given
        if not isinstance(nodes, Iterable):
            nodes = [nodes]
        names = []
        for node in nodes:
            if isinstance(node, _NAMED):
                names.append(name_of(node))
            else:
                self.faults.append(f"{name}: {option} has {node!r:.100}; expected nodes or their names")
        return tuple(names)


def _params(code: Code | None) -> tuple[Param, ...]:
    """Return the parameters as the document has them: each is named for its source."""
    if code is None:
        return ()
    return tuple(Param(p.name, INPUT if p.name == INPUT else p.name, not p.has_default) for p in code.params)
