"""Reads the signature of an author's function: parameters, annotations, and how to call it.

It supports functions, bound methods, ``functools.partial``, callable objects and classes. It resolves
annotations one by one, so that an unreadable one does not hide others. It
calls nothing, and returns faults.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from asyncio import Semaphore
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import cached_property, partial
from typing import Annotated, Any, Literal

from infraweave.authoring.context import Context
from infraweave.core.data.contracts import Contract
from infraweave.core.lazy_records import frozen

#: What resolving an annotation may raise.
_UNREADABLE = (NameError, TypeError, AttributeError, SyntaxError, ValueError, LookupError, ImportError)
#: Parameter names that suggest a forgotten ``Context`` annotation.
_CONTEXT_NAMES = frozenset({"ctx", "context"})


@frozen
class CodeParam:
    """A parameter of an author's function, other than the Context."""

    name: str
    annotation: Any
    has_default: bool

    @cached_property
    def contract(self) -> Contract:
        """The checks that the annotation requires for an argument."""
        return Contract(self.annotation)


@frozen
class Code:
    """An author's function, and how to call it."""

    reference: str
    function: Callable[..., Any]
    is_async: bool
    params: tuple[CodeParam, ...]
    #: The parameter that takes the Context, or None.
    context_param: str | None
    returns: Any
    #: Limits concurrent calls: an attempt acquires it before it starts. None means no limit.
    room: Semaphore | None = None

    @cached_property
    def result(self) -> Contract:
        """The checks that the return annotation requires for an output."""
        return Contract(self.returns)


def read(
    reference: str, function: Callable[..., Any], scope: Mapping[str, Any], nodes: set[str]
) -> tuple[Code | None, list[str]]:
    """Return the code of a function and its faults; None if it is not a function.

    ``scope`` has the local names at the decorator. ``nodes`` are the valid parameter names.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None, [f"{function!r:.80} is not a function whose parameters can be read"]
    reader = _Reader(function, scope)
    params = tuple(reader.params(_unbound(function, signature), nodes))
    returns = reader.annotation("its return annotation", signature.return_annotation, Any)
    if _is(function, inspect.isgeneratorfunction) or _is(function, inspect.isasyncgenfunction):
        reader.faults.append("it yields; a node returns one value")
    is_async = _is(function, inspect.iscoroutinefunction)
    return Code(reference, function, is_async, params, reader.context_param, returns), reader.faults


class _Reader:
    """Reads the parameters of one function and collects their faults."""

    def __init__(self, function: Callable[..., Any], scope: Mapping[str, Any]) -> None:
        self.faults: list[str] = []
        self.context_param: str | None = None
        body = inspect.unwrap(_body(function))
        self._globals: dict[str, Any] = (
            vars(sys.modules[function.__module__])
            if isinstance(function, type)
            else getattr(body, "__globals__", {})
        )
        self._locals = {**scope, **_captured(body)}

    def params(self, params: list[inspect.Parameter], nodes: set[str]) -> Iterator[CodeParam]:
        unread = object()  # it might be the Context, so its name is not checked
        for param in params:
            if param.kind not in (param.POSITIONAL_OR_KEYWORD, param.KEYWORD_ONLY):
                self.faults.append(
                    f"parameter {_spelled(param)} cannot be bound; parameters are bound by name"
                )
                continue
            annotation = self.annotation(f"the annotation of {param.name}", param.annotation, unread)
            if is_context(annotation):
                self._take_context(param.name)
            elif param.annotation is param.empty and param.name in _CONTEXT_NAMES - nodes:
                self.faults.append(
                    f"parameter {param.name} is not annotated; write {param.name}: Context for the Context"
                )
            elif annotation is not unread:
                yield CodeParam(param.name, annotation, param.default is not param.empty)

    def _take_context(self, name: str) -> None:
        if self.context_param is not None:
            self.faults.append(f"parameters {self.context_param} and {name} both take the Context")
        self.context_param = name

    def annotation(self, what: str, annotation: Any, otherwise: Any) -> Any:
        """Resolve an annotation, which may be text; return Any if there is none."""
        if annotation is inspect.Signature.empty:
            return Any
        holder = types.SimpleNamespace(__annotations__={"it": annotation})
        try:
            return typing.get_type_hints(holder, self._globals, self._locals, include_extras=True)["it"]
        except _UNREADABLE as error:
            self.faults.append(f"{what} cannot be read: {error}")
            return otherwise


def is_context(annotation: Any) -> bool:
    """Tell whether an annotation is ``Context`` or a union with it."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return is_context(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return any(is_context(argument) for argument in typing.get_args(annotation))
    return isinstance(annotation, type) and Context in annotation.__mro__


def is_one_route(returns: Any) -> bool:
    """Tell whether a router with this return annotation chooses one route: a string or a Literal."""
    if typing.get_origin(returns) is Annotated:
        return is_one_route(typing.get_args(returns)[0])
    return typing.get_origin(returns) is Literal or (
        isinstance(returns, type) and issubclass(returns, str | Enum)
    )


def literals(returns: Any) -> tuple[Any, ...]:
    """Return the values of a Literal or an enum, otherwise nothing."""
    if isinstance(returns, type) and issubclass(returns, Enum):
        return tuple(member.value for member in returns)
    values = typing.get_args(returns) if typing.get_origin(returns) is Literal else ()
    return tuple(value.value if isinstance(value, Enum) else value for value in values)


def _body(function: Any) -> Any:
    """Return the function that a call of ``function`` runs."""
    while isinstance(function, partial):
        function = function.func
    if isinstance(function, type):
        function = vars(function).get("__init__", function)
    elif not inspect.isroutine(function):
        function = type(function).__call__
    return getattr(function, "__func__", function)


def _is(function: Any, kind: Callable[[Any], bool]) -> bool:
    return kind(_body(function))


def _unbound(function: Any, signature: inspect.Signature) -> list[inspect.Parameter]:
    """Return the parameters that a partial has not bound yet."""
    bound: set[str] = set()
    while isinstance(function, partial):
        bound |= function.keywords.keys()
        function = function.func
    return [param for name, param in signature.parameters.items() if name not in bound]


def _captured(body: Any) -> dict[str, Any]:
    """Return the variables that a function captures from enclosing functions."""
    names = getattr(getattr(body, "__code__", None), "co_freevars", ())
    found: dict[str, Any] = {}
    for name, cell in zip(names, getattr(body, "__closure__", None) or (), strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # assigned later
            continue
    return found


def _spelled(param: inspect.Parameter) -> str:
    if param.kind is param.POSITIONAL_ONLY:
        return f"{param.name}, which is positional-only,"
    return f"{'*' if param.kind is param.VAR_POSITIONAL else '**'}{param.name}"
