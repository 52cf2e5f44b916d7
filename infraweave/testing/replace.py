"""Replaces node bodies in tests, and records their calls."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from attrs import define, field, frozen

from infraweave.authoring.context import Context
from infraweave.authoring.signatures import Code, CodeParam, is_context
from infraweave.core.data.values import Duration, Json, to_seconds
from infraweave.core.run.address import Address
from infraweave.core.workflow.graph import Graph
from infraweave.engine.catalog import code_of
from infraweave.engine.clock import Clock, sleep
from infraweave.engine.execution.context import RunContext

Phase: TypeAlias = Literal["forward", "compensation"]
#: What a body raises: an exception, its class, or the message of a RuntimeError.
Raises: TypeAlias = BaseException | type[BaseException] | str | None

#: The parameter that passes the Context to a replacement. No Python parameter can have this name.
_CONTEXT = "the context"


class _Unset:
    def __repr__(self) -> str:
        return "unset"


UNSET: Any = _Unset()


@frozen
class Call:
    """One call of a replaced body."""

    run_id: str
    node: str
    #: Counts from 1, over retries and crashes.
    attempt: int
    iteration: int | None
    index: int | None
    #: The arguments by parameter, of the types that the body's annotations name.
    arguments: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        """Return an argument."""
        return self.arguments[name]


@define(eq=False)
class Replacement:
    """The replacement of a node's body, with its ``calls``."""

    node: str
    phase: Phase
    workflow_id: str | None
    returns: Any = UNSET
    raises: Sequence[Raises] | Raises = None
    attempts: Sequence[Any] | None = None
    body: Callable[..., Any] | None = None
    takes: float = 0.0
    #: Every call, in order.
    calls: list[Call] = field(factory=list)

    def __str__(self) -> str:
        name = self.node if self.workflow_id is None else f"{self.workflow_id}:{self.node}"
        return name if self.phase == "forward" else f"the compensation of {name}"

    @property
    def count(self) -> int:
        """The number of calls."""
        return len(self.calls)

    def outcome(self, attempt: int) -> Any:
        """Return the result of an attempt, or UNSET if a body must be called.

        Raises:
            BaseException: the attempt must raise this.
        """
        if self.attempts is not None:
            return _return_or_raise(self.attempts[min(attempt, len(self.attempts)) - 1])
        error = self._error(attempt)
        if error is not None:
            raise _exception(error)
        return self.returns

    def _error(self, attempt: int) -> Raises:
        if self.raises is None or isinstance(self.raises, str | BaseException | type):
            return self.raises
        return self.raises[attempt - 1] if attempt <= len(self.raises) else None


def _return_or_raise(value: Any) -> Any:
    if isinstance(value, BaseException) or (isinstance(value, type) and issubclass(value, BaseException)):
        raise _exception(value)
    return value


def _exception(error: Any) -> BaseException:
    if isinstance(error, str):
        return RuntimeError(error)
    made: BaseException = error() if isinstance(error, type) else error
    return made.with_traceback(None)


class Replacements:
    """All replacements of one test. The catalog asks ``code_override`` for the code of nodes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all: list[Replacement] = []
        #: Contexts of bodies that only wait for the clock.
        self.waiting: set[RunContext] = set()

    def add(self, replacement: Replacement) -> None:
        """Add a replacement. It replaces an earlier one of the same node."""
        self.remove(str(replacement))
        self._all.insert(0, replacement)

    def remove(self, name: str) -> bool:
        """Restore the own body of a node; return whether it was replaced."""
        kept = [one for one in self._all if str(one) != name]
        removed, self._all = len(kept) < len(self._all), kept
        return removed

    def unknown(self, nodes: Mapping[str, Iterable[str]]) -> list[str]:
        """Return the replaced names that are not nodes of these workflows."""
        known = _names(nodes)
        named = (
            one.node if one.workflow_id is None else f"{one.workflow_id}:{one.node}" for one in self._all
        )
        return [name for name in named if name not in known]

    def check(self, nodes: Mapping[str, Iterable[str]]) -> None:
        """Check that each replacement names a node; ``nodes`` has the node names of each workflow.

        Raises:
            LookupError: a replacement does not; suggests a similar name.
        """
        for name in self.unknown(nodes):
            known = _names(nodes)
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}."
            raise LookupError(f"iw.replace({name!r}): no loaded workflow has this node; {hint}")

    def _for(self, graph: Graph, address: Address) -> Replacement | None:
        """Return the replacement of an entry. One that names the workflow wins over one that does not."""
        found = [one for one in self._all if (one.node, one.phase) == (address.node, address.phase)]
        own = [one for one in found if one.workflow_id == graph.document.workflow_id]
        return next(iter([*own, *(one for one in found if one.workflow_id is None)]), None)

    def code_override(self, graph: Graph, address: Address, code: Code | None) -> Code | None:
        """Return the code that an entry runs in this test."""
        replacement = self._for(graph, address)
        if replacement is None:
            return code
        params = _params(graph, address) if code is None else code.params

        async def body(**values: Any) -> Any:
            return await self._call(replacement, code, values.pop(_CONTEXT), values)

        return Code("", body, is_async=True, params=params, context_param=_CONTEXT, returns=Any)

    async def _call(
        self, replacement: Replacement, code: Code | None, context: RunContext, values: dict[str, Any]
    ) -> Any:
        call = Call(
            context.run_id, context.node, context.attempt, context.iteration, context.index, dict(values)
        )
        replacement.calls.append(call)
        await self._take_time(replacement.takes, context)
        value = replacement.outcome(context.attempt)
        if value is not UNSET:
            return value
        if replacement.body is not None:
            return await _result(_call_with(replacement.body, values, context))
        if code is None:
            raise LookupError(f"{replacement} has no body of its own; give returns=…")
        own = values if code.context_param is None else {**values, code.context_param: context}
        return await _result(code.function(**own))

    async def _take_time(self, duration: float, context: RunContext) -> None:
        if duration:
            self.waiting.add(context)
            try:
                await sleep(self._clock, duration)
            finally:
                self.waiting.discard(context)


def _names(nodes: Mapping[str, Iterable[str]]) -> set[str]:
    """Return the valid names of replacements: node names with and without their workflow."""
    return {name for flow, names in nodes.items() for node in names for name in (node, f"{flow}:{node}")}


def _params(graph: Graph, address: Address) -> tuple[CodeParam, ...]:
    _, params = code_of(graph, address)
    return tuple(CodeParam(param.name, Any, not param.required) for param in params)


async def _result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _call_with(
    function: Callable[..., Any], values: Mapping[str, Json], context: Context | RunContext
) -> Any:
    """Call a function with the values, and the Context, that it has parameters for."""
    params = inspect.signature(function, eval_str=False).parameters.values()
    if any(param.kind is param.VAR_KEYWORD for param in params):
        return function(**values)
    given: dict[str, Any] = {}
    for param in params:
        if param.name in values:
            given[param.name] = values[param.name]
        elif param.name in ("ctx", "context") or is_context(param.annotation):
            given[param.name] = context
    return function(**given)


def replacement(
    name: str,
    body: Callable[..., Any] | None,
    phase: Phase,
    takes: Duration,
    **outcome: Any,
) -> Replacement:
    """Make a replacement from the arguments of ``Iw.replace``.

    Raises:
        TypeError: the arguments describe no behaviour, or contradict each other.
        ValueError: ``takes`` is not a duration.
    """
    unsaid = {"returns": UNSET}
    given = [key for key, value in outcome.items() if value is not unsaid.get(key)]
    if body is not None and not callable(body):
        raise TypeError(f"iw.replace({name!r}, …): the second argument must be a function; or use returns=…")
    if not given and body is None and not takes:
        raise TypeError(f"iw.replace({name!r}): give returns=, raises=, attempts=, takes= or a function")
    if "attempts" in given and (len(given) > 1 or body is not None or not outcome["attempts"]):
        raise TypeError(f"iw.replace({name!r}): attempts=[…] must be the only outcome, and not empty")
    if "returns" in given and body is not None:
        raise TypeError(f"iw.replace({name!r}): give either returns=… or a function")
    workflow_id, _, node = name.rpartition(":")
    return Replacement(node, phase, workflow_id or None, body=body, takes=to_seconds(takes), **outcome)
