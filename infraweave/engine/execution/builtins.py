"""Built-in code: what http nodes, expressions and children without author code call.

It has the form of an author's code, so attempts, retries, timeouts and events treat both alike.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias

from attrs import evolve

from infraweave.authoring.signatures import Code, CodeParam
from infraweave.core.data import expressions
from infraweave.core.data.values import Json
from infraweave.core.workflow.document import (
    Activity,
    Compensation,
    Http,
    Loop,
    Map,
    Node,
    Param,
    Router,
    Timer,
    starts_child,
)
from infraweave.engine.clock import Clock
from infraweave.engine.execution.attempt_error import AttemptError
from infraweave.engine.execution.compute_pool import ComputePool, WorkLimitExceeded, WorkRejected
from infraweave.engine.execution.context import RunContext
from infraweave.engine.execution.http_calls import HttpCalls
from infraweave.settings import Settings

#: Performs a call with its context and its values; skipped parameters are None.
Perform: TypeAlias = Callable[[RunContext, Mapping[str, Json]], Awaitable[Json]]

#: The argument that carries the Context; no parameter of a document can have this name.
_CONTEXT = "the context"
#: Seconds of processor time for one expression, if the node's timeout does not end it before.
MAX_SECONDS = 30


class Builtins:
    """The built-in code of one engine."""

    def __init__(self, clock: Clock, settings: Settings, compute_pool: ComputePool) -> None:
        self._compute_pool = compute_pool
        self.http = HttpCalls(clock, settings)

    def code(self, acting: Node | Compensation) -> Code | None:
        """Return the built-in code of a node or a compensation; None if it calls author code."""
        if isinstance(acting, Http | Map | Compensation) and acting.request is not None:
            perform = partial(self.http.call, acting.request)
            return evolve(_code("builtin:http", acting.params, perform), room=self.http.room)
        if isinstance(acting, Activity | Router | Loop | Timer) and acting.expression is not None:
            return expression_code("builtin:expression", acting.expression, acting.params, self._compute_pool)
        return None if isinstance(acting, Compensation) or not starts_child(acting) else _child_input(acting)


def expression_code(
    reference: str, expression: str, params: Iterable[Param], compute_pool: ComputePool
) -> Code:
    """Return the code that evaluates an expression over a node's parameters.

    Used for routers (a route, a list of routes, or []), conditions (a truth value), timers (a delay or a
    time) and activities (any value).
    """

    async def evaluate(_: RunContext, values: Mapping[str, Json]) -> Json:
        try:
            if expressions.is_quick(expression, values):
                return expressions.evaluate(expression, values)
            return await compute_pool.call("evaluate", expression, {**values}, seconds=MAX_SECONDS)
        except (expressions.ExpressionError, WorkRejected) as error:
            raise AttemptError("expression_failed", str(error), final=True) from error
        except WorkLimitExceeded as error:
            message = f"the expression cannot be evaluated with these values: {error}"
            raise AttemptError("expression_failed", message, final=True) from error

    return _code(reference, params, evaluate)


def _code(reference: str, params: Iterable[Param], perform: Perform) -> Code:
    absent = {param.name: None for param in params}

    async def function(**arguments: Any) -> Json:
        return await perform(arguments.pop(_CONTEXT), {**absent, **arguments})

    return Code(reference, function, True, _code_params(params), _CONTEXT, Any)


def _code_params(params: Iterable[Param]) -> tuple[CodeParam, ...]:
    return tuple(CodeParam(param.name, Any, not param.required) for param in params)


def _child_input(node: Node) -> Code:
    """Return the code that makes a child's input of the parameters: one named ``input`` is all of it."""
    return Code(
        "", _as_input, is_async=True, params=_code_params(node.params), context_param=None, returns=Any
    )


async def _as_input(**values: Json) -> Json:
    return values["input"] if values.keys() == {"input"} else values
