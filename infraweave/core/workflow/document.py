"""The definition document: an immutable, versioned workflow graph, as plain values.

Everything that runs or shows a workflow reads this and nothing else. It holds no functions: ``code`` is a
stable reference that ``engine/catalog`` resolves. Node kinds form a closed union; a new kind is a new class
here, and the type checker then lists every place to visit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args, get_type_hints

from attrs import Factory, field, frozen

from infraweave.core.data.values import Json, JsonObject
from infraweave.core.workflow.triggers import Schedule, Webhook

#: The source of a parameter that takes the run's input; no node may have this name.
INPUT = "input"
#: The source of a parameter that takes the item of a map.
ITEM = "$item"
#: Items of a map that are in flight at once, where its author does not say.
DEFAULT_MAX_CONCURRENCY = 16

ActivityKind: TypeAlias = Literal["node", "agent", "tool", "llm"]


@frozen(kw_only=True)
class Retry:
    """When and how often a failed attempt is tried again. Times in seconds.

    The delay before attempt n+1 is ``initial * factor ** (n - 1)``, at most ``maximum``; with ``jitter`` it
    is drawn from its upper half, so that many failures of one moment do not return in one moment.
    """

    max_attempts: int = 3
    initial: float = 1.0
    factor: float = 2.0
    maximum: float = 60.0
    jitter: bool = True


@frozen
class Concurrency:
    """How many runs may be open at once, from their first start to their end; waiting counts too.

    ``key`` is a template over ``{input…}``: each value that it takes has a limit of its own; None counts all
    runs of the workflow. Beyond the limit a start is queued, or refused; what exists already is only ever
    queued: children, and delayed starts whose time has come. A run that waits for a child holds its place,
    so a child below a run that the same limit counts does not wait for it; it counts as well.
    """

    limit: int
    key: str | None = field(default=None, kw_only=True)
    when_full: Literal["queue", "reject"] = field(default="queue", kw_only=True)


@frozen
class Param:
    """One parameter of a node's code: where its value comes from, and whether it must have one."""

    name: str
    #: A node's name, or ``input``; in a map also ``$item``.
    source: str
    #: False: the code has a default, used where the source was skipped.
    required: bool = True
    #: The source is a later node of the same loop: its value in the previous iteration.
    carried: bool = False
    #: A JSON Pointer into the source's value; empty: all of it.
    pointer: str = ""


@frozen(kw_only=True)
class Request:
    """What an http node sends. Texts of url, headers, query and body are templates over the node's params.

    Places in the url are percent-encoded, apart from one at its very beginning. In query and body a text that
    is one place alone stands for the value itself; a query value of null is left out, a list is repeated.
    What was skipped is null; a header that is one place alone is left out where that is null.
    ``{secret.NAME}`` stands for a secret of the server, which is known to it alone.
    """

    method: str = "GET"
    url: str
    headers: Mapping[str, str] = field(factory=dict)
    query: Mapping[str, Json] = field(factory=dict)
    #: Sent as JSON, unless a Content-Type header says otherwise; None: no body.
    body: Json = None
    #: What becomes the node's output: a JSON Pointer into {"status", "headers", "body"}, or a template over
    #: these three. A body is JSON where its type says so, else text; what is no text stands in base64.
    output: Json = "/body"
    #: Statuses that are a success; none: all from 200 to 299.
    accept: tuple[int, ...] = ()
    #: Redirects that may be followed, each guarded like the first address.
    follow_redirects: int = 0
    #: Bytes that the response's body may have.
    max_bytes: int = 1_048_576


@frozen(kw_only=True)
class Compensation:
    """How a completed node is undone, by code or by a request. Its params may also name the node itself."""

    code: str | None = None
    request: Request | None = None
    params: tuple[Param, ...] = ()
    retry: Retry = field(factory=Retry)
    timeout: float | None = None


@frozen(kw_only=True)
class NodeBase:
    """What all kinds share."""

    #: The name that others know it by: letters, digits, _ and -.
    name: str = field(metadata={"schema": {"minLength": 1, "maxLength": 128}})
    params: tuple[Param, ...] = ()
    #: Nodes to wait for without taking their output.
    after: tuple[str, ...] = ()
    #: ``any``: a race. The first upstream that ran opens the node; what else led to it is stopped.
    join: Literal["all", "any"] = "all"


@frozen(kw_only=True)
class Activity(NodeBase):
    """Code that does work, or an expression that makes a value of others. The kinds are labels for people."""

    kind: ActivityKind = "node"
    code: str | None = None
    #: In place of code: CEL over the params; yields the output. It reads numbers safely as `double(a.b)`.
    expression: str | None = None
    retry: Retry = field(factory=Retry)
    #: Seconds per attempt.
    timeout: float | None = None
    compensate: Compensation | None = None
    executor: Literal["default", "process"] = "default"


@frozen(kw_only=True)
class Router(NodeBase):
    """Code, or an expression, that chooses which of its ``routes`` (nodes) run; the others are skipped."""

    kind: Literal["router"] = "router"
    code: str | None = None
    #: In place of code: CEL over the params; yields a route, a list of routes, or [].
    expression: str | None = None
    routes: tuple[str, ...]
    #: False: the code is declared to return one route, so two routes never run together.
    many: bool = True
    retry: Retry = field(factory=Retry)
    timeout: float | None = None


@frozen(kw_only=True)
class Loop(NodeBase):
    """A condition that ends a region: true repeats it, from ``back_to`` on.

    The region is what lies on the ways from ``back_to`` to the condition, both included.
    """

    kind: Literal["loop"] = "loop"
    code: str | None = None
    #: In place of code: CEL over the params; yields true to repeat.
    expression: str | None = None
    back_to: str
    #: How often the region runs at most.
    max_iterations: int
    #: What happens when the condition is still true then.
    on_exhausted: Literal["fail", "continue"] = "fail"
    retry: Retry = field(factory=Retry)
    timeout: float | None = None


def _retry_of_items(node: Map) -> Retry:
    return Retry() if node.workflow_id is None else Retry(max_attempts=1)


@frozen(kw_only=True)
class Map(NodeBase):
    """Work done once for each item of a list; its output is the list of results, in the items' order.

    The work is ``code``, a ``request``, or a child run of ``workflow_id`` whose input ``code`` makes.
    """

    kind: Literal["map"] = "map"
    #: Whose output is the list, or holds it: a node, or ``input``.
    over: str
    #: Where in that the list is, as a JSON Pointer.
    pointer: str = ""
    code: str | None = None
    request: Request | None = None
    workflow_id: str | None = None
    #: The version of the children; None: the active one.
    workflow_version: str | None = None
    #: What a child's result must pass.
    schema: JsonObject | None = None
    max_concurrency: int = DEFAULT_MAX_CONCURRENCY
    #: So many items may fail for good; they yield null.
    max_failures: int = 0
    #: Of each item; a child that failed is not tried again, unless the author says so.
    retry: Retry = field(default=Factory(_retry_of_items, takes_self=True))
    timeout: float | None = None
    compensate: Compensation | None = None
    executor: Literal["default", "process"] = "default"


@frozen(kw_only=True)
class Subworkflow(NodeBase):
    """A run of another workflow, linked to this one. ``code`` makes its input; without it the params do.

    A single parameter named ``input`` is the whole input.
    """

    kind: Literal["subworkflow"] = "subworkflow"
    workflow_id: str
    #: None: the version that is active when the child starts.
    workflow_version: str | None = None
    code: str | None = None
    #: What the child's result must pass.
    schema: JsonObject | None = None
    #: A child that failed is not tried again, unless the author says so.
    retry: Retry = field(factory=lambda: Retry(max_attempts=1))
    compensate: Compensation | None = None


@frozen(kw_only=True)
class Wait(NodeBase):
    """What waits for signals share. ``on_timeout``: the run fails, a value stands in, or a route is taken."""

    #: What the payload must pass.
    schema: JsonObject
    #: Seconds until the deadline.
    timeout: float | None = None
    on_timeout: Literal["fail", "value", "route"] = "fail"
    #: The value that stands in.
    timeout_value: Json = None
    #: The node that runs in place of what needs the answer.
    timeout_route: str | None = None


@frozen(kw_only=True)
class HumanInput(Wait):
    """A durable wait for a person: closed by a signal of the node's name whose payload passes ``schema``."""

    kind: Literal["human_input"] = "human_input"
    #: The prompt, a template where there are params; or None where ``code`` makes it.
    prompt: str | None = None
    code: str | None = None


@frozen(kw_only=True)
class Signal(Wait):
    """A durable wait for data: a signal of the node's name."""

    kind: Literal["signal"] = "signal"


@frozen(kw_only=True)
class Timer(NodeBase):
    """A durable timer: ``delay`` seconds, or what ``code`` returns: a delay, or an RFC 3339 time."""

    kind: Literal["timer"] = "timer"
    delay: float | None = None
    code: str | None = None
    #: In place of code: CEL over the params; yields seconds, a text such as "2h", or an RFC 3339 time.
    expression: str | None = None


@frozen(kw_only=True)
class Http(NodeBase):
    """A call over HTTP, made by the server itself within its outbound guard."""

    kind: Literal["http"] = "http"
    request: Request
    retry: Retry = field(factory=Retry)
    #: Seconds per attempt, from the first byte of the look-up to the last of the body.
    timeout: float = 30.0
    compensate: Compensation | None = None


Node: TypeAlias = Activity | Router | Loop | Map | Subworkflow | HumanInput | Signal | Timer | Http
#: The class of each kind, read off the union.
KINDS: Mapping[str, type[Node]] = {
    kind: cls for cls in get_args(Node) for kind in get_args(get_type_hints(cls)["kind"])
}


@frozen(kw_only=True)
class Document:
    """One version of a workflow. ``nodes`` stand in the order of their declaration."""

    workflow_id: str
    #: Left out of what is published: derived from the content.
    version: str = field(default="", metadata={"schema": {"minLength": 1}})
    input_schema: JsonObject = field(factory=lambda: {"type": "object"})
    nodes: tuple[Node, ...]
    #: The node whose output is the result; None: the sinks'.
    output: str | None = None
    #: At most one limit without a key and one with a key.
    concurrency: tuple[Concurrency, ...] = ()
    #: What starts runs by itself while this version is the active one.
    schedules: tuple[Schedule, ...] = ()
    webhooks: tuple[Webhook, ...] = ()


def signal_schemas(document: Document) -> dict[str, Json]:
    """Return the schema of each signal that the document declares, by the signal's name."""
    return {node.name: node.schema for node in document.nodes if isinstance(node, Wait)}


def route_targets(node: Node) -> tuple[str, ...]:
    """Return the nodes between which a node chooses."""
    if isinstance(node, Router):
        return node.routes
    return (node.timeout_route,) if isinstance(node, Wait) and node.timeout_route is not None else ()


def starts_child(node: Node) -> bool:
    """Tell whether the node's work is a run of another workflow."""
    return isinstance(node, Subworkflow) or (isinstance(node, Map) and node.workflow_id is not None)
