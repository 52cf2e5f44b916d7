"""Compiles a declared workflow into its definition document and code.

Edges come from parameter names. Every fault is collected, so that an author sees all at once. This module
checks functions and options; ``core/workflow/rules`` checks the graph.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, TypeVar

from attrs import evolve

from infraweave.authoring.declarations import Declaration, DeclaredWorkflow, name_of
from infraweave.authoring.edge_types import edge_faults
from infraweave.authoring.http_options import request_from_author
from infraweave.authoring.loop_carried import carried_over
from infraweave.authoring.option_reader import NAMED, OptionReader
from infraweave.authoring.signatures import Code, CodeParam, is_one_route, literals, read
from infraweave.authoring.trigger_options import read_schedule, read_webhook, unwritable_triggers
from infraweave.core.data.json_codec import dumps, loads
from infraweave.core.data.python_types import from_author, unfit
from infraweave.core.data.values import to_pointer
from infraweave.core.lazy_records import frozen
from infraweave.core.workflow.document import (
    INPUT,
    ITEM,
    Activity,
    Compensation,
    Document,
    Http,
    HumanInput,
    Loop,
    Map,
    Node,
    Param,
    Request,
    Router,
    Signal,
    Subworkflow,
    Timer,
)
from infraweave.core.workflow.document_codec import derived_version, document_from_json, document_to_json
from infraweave.core.workflow.http_request import parameter_names
from infraweave.core.workflow.rules.check import faults as document_faults
from infraweave.errors import DeclarationError, Fault

__all__ = ["Code", "CodeParam", "Compiled", "compile_workflow"]

T = TypeVar("T")
#: A placeholder until the version is derived from the content.
_UNKNOWN = "derived"
#: Kinds that have no effects to undo.
_NOTHING_TO_UNDO = ("router", "loop", "human_input", "signal", "timer")


@frozen
class Compiled:
    """A workflow's document, its code by reference, and models that check values from outside.

    ``models`` are classes of pydantic or msgspec, by node name, or by ``input`` for the input.
    ``derived`` says that the input schema was derived from a class, so other releases may derive another.
    """

    document: Document
    codes: Mapping[str, Code]
    models: Mapping[str, Any]
    derived: bool = False


def compile_workflow(workflow: DeclaredWorkflow) -> Compiled:
    """Return the document and the code of a declared workflow.

    Raises:
        DeclarationError: the workflow does not compile; lists every fault.
    """
    work = _Compilation(workflow)
    document = work.document()
    found = [*work.faults, *document_faults(document)]
    stored = None if found else _stored(document)
    if stored is None:
        found += _unwritable(document)
        distinct = {fault.message: fault for fault in reversed(found)}
        raise DeclarationError(workflow.workflow_id, list(distinct.values())[::-1])
    document = stored
    if workflow.version is None:
        document = evolve(document, version=derived_version(document))
    derived = workflow.input is not None and not isinstance(workflow.input, Mapping)
    return Compiled(document, work.codes, work.models, derived)


def _stored(document: Document) -> Document | None:
    """Return a document as JSON stores it, with lists for tuples; None if it cannot be written as JSON."""
    try:
        return document_from_json(loads(dumps(document_to_json(document))))
    except TypeError:
        return None


def _unwritable(document: Document) -> Iterator[Fault]:
    for place, node in enumerate(document.nodes):
        try:
            dumps(document_to_json(evolve(document, nodes=(node,), schedules=(), webhooks=())))
        except TypeError as error:
            message = f"{node.name}: it cannot be written as JSON: {error}"
            yield Fault(f"/nodes/{place}", "not_json", message)
    yield from unwritable_triggers(document)


class _Compilation(OptionReader):
    """One compilation, with the faults and code found so far."""

    def __init__(self, workflow: DeclaredWorkflow) -> None:
        super().__init__()
        self.workflow = workflow
        self.codes: dict[str, Code] = {}

    @cached_property
    def _names(self) -> set[str]:
        return {declaration.name for declaration in self.workflow.declarations}

    def document(self) -> Document:
        workflow = self.workflow
        output = workflow.output_of
        document = Document(
            workflow_id=self.text("workflow_id", workflow.workflow_id),
            version=_UNKNOWN if workflow.version is None else self.text("version", workflow.version),
            input_schema=self.schema("input", workflow.input, {"type": "object"}, closed=True),
            nodes=carried_over([self._node_at(place) for place in range(len(workflow.declarations))]),
            output=None if output is None else next(iter(self.named("output", "it", [output])), None),
            concurrency=self.limits(workflow.concurrency),
            schedules=self._triggers("schedules", read_schedule, workflow.schedules),
            webhooks=self._triggers("webhooks", read_webhook, workflow.webhooks),
        )
        self.faults += edge_faults(document, self.codes)
        return document

    def _triggers(
        self,
        field: str,
        read_one: Callable[[OptionReader, Mapping[str, Any]], T],
        given: Sequence[Mapping[str, Any]],
    ) -> tuple[T, ...]:
        made = []
        for place, options in enumerate(given):
            with self.at(f"/{field}/{place}"):
                made.append(read_one(self, options))
        return tuple(made)

    def _node_at(self, place: int) -> Node:
        with self.at(f"/nodes/{place}"):
            return self._node(self.workflow.declarations[place])

    def _node(self, declaration: Declaration) -> Node:
        name = declaration.name
        code = self._code(name, self._reference(declaration), declaration.function, declaration.scope)
        if declaration.function is None and declaration.kind not in (
            "human_input",
            "signal",
            "timer",
            "http",
        ):
            self.fault(f"{name}: None is not a function whose parameters can be read")
        if declaration.compensations and declaration.kind in _NOTHING_TO_UNDO:
            self.fault(
                f"{name}: a {declaration.kind.replace('_', ' ')} has nothing to compensate;"
                " compensate the node that acts on it"
            )
        shared: dict[str, Any] = {
            "name": name,
            "params": _params(declaration, code),
            "after": self.named(name, "after", declaration.after),
            "join": self.choice(name, "join", declaration.join, ("all", "any")),
        }
        return self._made(declaration, shared, code)

    def _reference(self, declaration: Declaration) -> str:
        return f"{self.workflow.workflow_id}:{declaration.name}"

    def _made(self, declaration: Declaration, shared: dict[str, Any], code: Code | None) -> Node:
        match declaration.kind:
            case "router":
                return self._router(declaration, shared, code)
            case "loop":
                return self._loop(declaration, shared, code)
            case "map":
                return self._map(declaration, shared, code)
            case "subworkflow":
                return self._subworkflow(declaration, shared, code)
            case "human_input":
                return self._human_input(declaration, shared, code)
            case "signal":
                return Signal(**shared, **self._wait(declaration))
            case "timer":
                delay = self.duration(declaration.name, "delay", declaration.delay)
                return Timer(**shared, delay=delay, code=code.reference if code else None)
            case "http":
                return self._http(declaration, shared)
            case "node" | "agent" | "tool" | "llm":
                return self._activity(declaration, shared, code)
            case _:
                self.fault(
                    f"{declaration.name}: kind is {declaration.kind!r}; expected node, agent, tool or llm"
                )
                return self._activity(declaration, shared, code)

    def _http(self, declaration: Declaration, shared: dict[str, Any]) -> Http:
        name = declaration.name
        request = self._request(name, declaration.request or {})
        places = dict.fromkeys(parameter_names(request))
        timeout = self.duration(name, "timeout", declaration.timeout)
        if declaration.timeout is None:
            self.fault(f"{name}: timeout is None; expected a duration, for a call must end")
        return Http(
            **{**shared, "params": tuple(Param(place, place) for place in places)},
            request=request,
            retry=self.retry(name, declaration.retry),
            timeout=30.0 if timeout is None else timeout,
        )

    def _request(self, name: str, given: Mapping[str, Any]) -> Request:
        """Return a request whose fields have the right types; a placeholder if one has not."""
        try:
            return request_from_author(given)
        except (TypeError, ValueError) as error:
            self.fault(f"{name}: {error}")
            return Request(url="http://unknown")

    def _activity(self, declaration: Declaration, shared: dict[str, Any], code: Code | None) -> Activity:
        return Activity(
            **shared,
            kind=typing.cast("Literal['node']", declaration.kind),
            code=code.reference if code else "",
            retry=self.retry(declaration.name, declaration.retry),
            timeout=self.duration(declaration.name, "timeout", declaration.timeout),
            compensate=self._undo(declaration),
            executor=self._executor(declaration, code),
        )

    def _executor(self, declaration: Declaration, code: Code | None) -> Literal["default", "process"]:
        name, executor = declaration.name, declaration.executor
        if executor not in ("default", "process"):
            self.fault(f"{name}: executor={executor!r}; expected 'default' or 'process'")
        elif executor == "process" and code is not None and code.is_async:
            self.fault(f"{name}: executor='process' takes a sync function, and this one is async")
        return "process" if executor == "process" else "default"

    def _router(self, declaration: Declaration, shared: dict[str, Any], code: Code | None) -> Router:
        routes = self.named(declaration.name, "routes", declaration.routes)
        returned = literals(code.returns) if code else ()
        for route in (value for value in returned if value not in routes):
            self.fault(f"{declaration.name}: it may return {route!r}, which is not one of its routes")
        return Router(
            **shared,
            code=code.reference if code else "",
            routes=routes,
            many=code is None or not is_one_route(code.returns),
            retry=self.retry(declaration.name, declaration.retry),
            timeout=self.duration(declaration.name, "timeout", declaration.timeout),
        )

    def _loop(self, declaration: Declaration, shared: dict[str, Any], code: Code | None) -> Loop:
        name = declaration.name
        back_to = [] if declaration.back_to is None else self.named(name, "back_to", [declaration.back_to])
        return Loop(
            **shared,
            code=code.reference if code else "",
            back_to=next(iter(back_to), ""),
            max_iterations=self.number(name, "max_iterations", declaration.max_iterations),
            on_exhausted=self.choice(name, "on_exhausted", declaration.on_exhausted, ("fail", "continue")),
            retry=self.retry(name, declaration.retry),
            timeout=self.duration(name, "timeout", declaration.timeout),
        )

    def _map(self, declaration: Declaration, shared: dict[str, Any], code: Code | None) -> Map:
        name = declaration.name
        if code is not None and not code.params:
            self.fault(f"{name}: a map's first parameter takes the item; there is none")
        return Map(
            **shared,
            **self._child(declaration),
            code=code.reference if code else None,
            **self._over(declaration),
            max_concurrency=self.number(name, "max_concurrency", declaration.max_concurrency),
            max_failures=self.number(name, "max_failures", declaration.max_failures),
            retry=self.retry(name, declaration.retry),
            timeout=self.duration(name, "timeout", declaration.timeout),
            compensate=self._undo(declaration, code.params[0].name if code and code.params else None),
            executor=self._executor(declaration, code),
        )

    def _over(self, declaration: Declaration) -> dict[str, Any]:
        """Return the source of a map and the JSON Pointer of the list in it, from ``input.files``."""
        named = self.named(declaration.name, "over", [declaration.over])
        over, _, way = next(iter(named), "").partition(".")
        return {"over": over, "pointer": to_pointer(way.split(".")) if way else ""}

    def _subworkflow(
        self, declaration: Declaration, shared: dict[str, Any], code: Code | None
    ) -> Subworkflow:
        if declaration.workflow is None:
            self.fault(f"{declaration.name}: a subworkflow needs the workflow that it runs")
        return Subworkflow(
            **shared,
            **{"workflow_id": "", **self._child(declaration)},
            code=code.reference if code else None,
            retry=self.retry(declaration.name, declaration.retry),
            compensate=self._undo(declaration),
        )

    def _child(self, declaration: Declaration) -> dict[str, Any]:
        """Return which workflow a node runs, and the schema of its result."""
        workflow, name = declaration.workflow, declaration.name
        given = workflow.workflow_id if isinstance(workflow, DeclaredWorkflow) else workflow
        options: dict[str, Any] = {}
        if given is not None:
            options["workflow_id"] = self.text(f"{name}: workflow", given)
        if declaration.workflow_version is not None:
            options["workflow_version"] = self.text(f"{name}: version", declaration.workflow_version)
        if declaration.schema is not None:
            options["schema"] = self.schema(name, declaration.schema, {})
        return options

    def _human_input(self, declaration: Declaration, shared: dict[str, Any], code: Code | None) -> HumanInput:
        where = f"{declaration.name}: prompt"
        return HumanInput(
            **shared,
            **self._wait(declaration),
            prompt=None if declaration.prompt is None else self.text(where, declaration.prompt),
            code=code.reference if code else None,
        )

    def _wait(self, declaration: Declaration) -> dict[str, Any]:
        return {
            "schema": self.schema(declaration.name, declaration.schema, {}),
            "timeout": self.duration(declaration.name, "timeout", declaration.timeout),
            **self._on_timeout(declaration),
        }

    def _on_timeout(self, declaration: Declaration) -> dict[str, Any]:
        """Return what happens on timeout: fail, run a node, or use a value."""
        given = declaration.on_timeout
        if given == "fail":
            return {}
        if isinstance(given, NAMED) and name_of(given) in self._names:
            return {"on_timeout": "route", "timeout_route": name_of(given)}
        try:
            return {"on_timeout": "value", "timeout_value": from_author(given)}
        except (TypeError, ValueError) as error:
            self.fault(f"{declaration.name}: on_timeout={given!r:.100}: {error}")
            return {}

    def _undo(self, declaration: Declaration, item: str | None = None) -> Compensation | None:
        """Return the compensation of a node; ``item`` is the parameter that takes a map's item."""
        name, undos = declaration.name, declaration.compensations
        if not undos:
            return None
        where, undo = f"{name}.compensate", undos[0]
        if len(undos) > 1:
            self.fault(f"{name}: it has {len(undos)} compensations; expected one")
        code = self._code(where, f"{self.workflow.workflow_id}:{name}:compensate", undo.function, undo.scope)
        return Compensation(
            code=code.reference if code else "",
            params=tuple(
                Param(p.name, ITEM if p.name == item else p.name, not p.has_default)
                for p in (code.params if code else ())
            ),
            retry=self.retry(where, undo.retry),
            timeout=self.duration(where, "timeout", undo.timeout),
        )

    # --- functions -----------------------------------------------------------------------------------------

    def _code(
        self, where: str, reference: str, function: Callable[..., Any] | None, scope: Mapping[str, Any]
    ) -> Code | None:
        if function is None:
            return None
        names = self._names
        code, faults = read(reference, function, scope, names)
        for message in faults:
            self.fault(f"{where}: {message}")
        for param in code.params if code else ():
            reason = unfit(param.annotation) if param.name in names or param.name == INPUT else None
            if reason:
                self.fault(f"{where}: parameter {param.name}: {reason}")
        if code is not None:
            self.codes[reference] = code
        return code


def _params(declaration: Declaration, code: Code | None) -> tuple[Param, ...]:
    """Return the parameters for the document, named after their sources; a map's first one is the item."""
    if code is None:
        return ()
    params = [Param(p.name, p.name, not p.has_default) for p in code.params]
    if declaration.kind == "map" and params:
        params[0] = Param(params[0].name, ITEM)
    return tuple(params)
