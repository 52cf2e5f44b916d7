"""Bodies that a test puts in the place of a workflow's own, and what they were called with."""

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
#: What makes a body fail: an exception, its class, or its text.
Raises: TypeAlias = BaseException | type[BaseException] | str | None

#: The parameter by which a stand-in gets its Context; no Python parameter has such a name.
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
    #: From 1; counts on over retries and crashes.
    attempt: int
    iteration: int | None
    index: int | None
    #: What the body was given, by parameter; structured as the body's annotations say.
    arguments: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        """Return an argument."""
        return self.arguments[name]


@define(eq=False)
class Replacement:
    """What stands in for the body of a node, and the ``calls`` of it."""

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
        """How often it has been called."""
        return len(self.calls)

    def outcome(self, attempt: int) -> Any:
        """Return what an attempt returns; UNSET where the body is to be called.

        Raises:
            BaseException: what the attempt is to raise.
        """
        if self.attempts is not None:
            return _returned(self.attempts[min(attempt, len(self.attempts)) - 1])
        error = self._error(attempt)
        if error is not None:
            raise _exception(error)
        return self.returns

    def _error(self, attempt: int) -> Raises:
        if self.raises is None or isinstance(self.raises, str | BaseException | type):
            return self.raises
        return self.raises[attempt - 1] if attempt <= len(self.raises) else None


def _returned(value: Any) -> Any:
    if isinstance(value, BaseException) or (isinstance(value, type) and issubclass(value, BaseException)):
        raise _exception(value)
    return value


def _exception(error: Any) -> BaseException:
    if isinstance(error, str):
        return RuntimeError(error)
    made: BaseException = error() if isinstance(error, type) else error
    return made.with_traceback(None)


class Replacements:
    """All replacements of one world. ``code_override`` is what the catalog asks for code."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all: list[Replacement] = []
        #: Contexts of bodies that only wait for the clock.
        self.waiting: set[RunContext] = set()

    def add(self, replacement: Replacement) -> None:
        """Put a replacement in the place of an earlier one of the same node."""
        self.remove(str(replacement))
        self._all.insert(0, replacement)

    def remove(self, name: str) -> bool:
        """Let a node have its own body again; return whether it was replaced."""
        kept = [one for one in self._all if str(one) != name]
        removed, self._all = len(kept) < len(self._all), kept
        return removed

    def strangers(self, nodes: Mapping[str, Iterable[str]]) -> list[str]:
        """Return the names that are replaced and that none of these workflows has as a node."""
        known = _names(nodes)
        named = (
            one.node if one.workflow_id is None else f"{one.workflow_id}:{one.node}" for one in self._all
        )
        return [name for name in named if name not in known]

    def check(self, nodes: Mapping[str, Iterable[str]]) -> None:
        """Check that each replacement names a node of the workflows, given by workflow.

        Raises:
            LookupError: one does not; names what is nearest.
        """
        for name in self.strangers(nodes):
            known = _names(nodes)
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}."
            raise LookupError(f"iw.replace({name!r}): no workflow here has such a node; {hint}")

    def _for(self, graph: Graph, address: Address) -> Replacement | None:
        """Return what stands in for an entry: what names its workflow before what names the node alone."""
        found = [one for one in self._all if (one.node, one.phase) == (address.node, address.phase)]
        own = [one for one in found if one.workflow_id == graph.document.workflow_id]
        return next(iter([*own, *(one for one in found if one.workflow_id is None)]), None)

    def code_override(self, graph: Graph, address: Address, code: Code | None) -> Code | None:
        """Return the code that an entry runs in a test."""
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
            return await _result(_invoked(replacement.body, values, context))
        if code is None:
            raise LookupError(f"{replacement} has no body of its own; say what it returns")
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
    """Return the names that a replacement may have: of nodes, alone and with their workflow."""
    return {name for flow, names in nodes.items() for node in names for name in (node, f"{flow}:{node}")}


def _params(graph: Graph, address: Address) -> tuple[CodeParam, ...]:
    _, params = code_of(graph, address)
    return tuple(CodeParam(param.name, Any, not param.required) for param in params)


async def _result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _invoked(function: Callable[..., Any], values: Mapping[str, Json], context: Context | RunContext) -> Any:
    """Call a function with those of the values, and the Context, that it has parameters for."""
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
    """Return a replacement as a test describes it.

    Raises:
        TypeError: the description says nothing, or two things at once.
        ValueError: ``takes`` is no duration.
    """
    unsaid = {"returns": UNSET}
    given = [key for key, value in outcome.items() if value is not unsaid.get(key)]
    if body is not None and not callable(body):
        raise TypeError(f"iw.replace({name!r}, …): the second argument is a function; a value is returns=…")
    if not given and body is None and not takes:
        raise TypeError(f"iw.replace({name!r}): say returns=…, raises=…, attempts=[…], takes=… or a function")
    if "attempts" in given and (len(given) > 1 or body is not None or not outcome["attempts"]):
        raise TypeError(f"iw.replace({name!r}): attempts=[…] says all of it, and has one item at least")
    if "returns" in given and body is not None:
        raise TypeError(f"iw.replace({name!r}): either returns=… or a function")
    workflow_id, _, node = name.rpartition(":")
    return Replacement(node, phase, workflow_id or None, body=body, takes=to_seconds(takes), **outcome)
