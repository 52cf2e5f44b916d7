"""The definition document: an immutable, versioned workflow graph, as plain values.

Everything that runs or shows a workflow reads only this. It contains no functions: ``code`` is a stable
reference that ``engine.catalog`` resolves. The kinds of nodes are a closed union. For a new kind, add a class
here; the type checker then lists every place that must handle it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args, get_type_hints

from attrs import Factory, field

from infraweave.core.data.values import Json, JsonObject
from infraweave.core.records import frozen
from infraweave.core.workflow.triggers import Schedule, Webhook

#: The source of a parameter that takes the run's input; no node may have this name.
INPUT = "input"
#: The source of a parameter that takes the item of a map.
ITEM = "$item"
#: Items of a map that run at once, unless its author sets a number.
DEFAULT_MAX_CONCURRENCY = 16

ActivityKind: TypeAlias = Literal["node", "agent", "tool", "llm"]


@frozen(kw_only=True)
class Retry:
    """When and how often a failed attempt is retried. Times are in seconds.

    The delay before attempt n+1 is ``initial * factor ** (n - 1)``, at most ``maximum``. With ``jitter`` it
    is a random value from the upper half, so that attempts that failed together are not retried together.
    """

    max_attempts: int = 3
    initial: float = 1.0
    factor: float = 2.0
    maximum: float = 60.0
    jitter: bool = True


@frozen
class Concurrency:
    """How many runs may be open at once. A run counts from its first start to its end, also while it waits.

    ``key`` is a template over ``{input…}``: each of its values has a separate limit. None counts all runs of
    the workflow. Beyond the limit a start is queued, or refused. Children, and delayed starts that are due,
    are always queued. A run that waits for a child keeps its place. So a child does not wait for a limit that
    already counts one of its ancestors, but it is counted too.
    """

    limit: int
    key: str | None = field(default=None, kw_only=True)
    when_full: Literal["queue", "reject"] = field(default="queue", kw_only=True)


@frozen
class Param:
    """One parameter of a node: where its value comes from, and whether it is required."""

    name: str
    #: The name of a node, or ``input``; in a map also ``$item``.
    source: str
    #: False: the code has a default, which is used if the source was skipped.
    required: bool = True
    #: True: the source is a later node of the same loop, and its value is that of the previous iteration.
    carried: bool = False
    #: A JSON Pointer into the value of the source; empty: the whole value.
    pointer: str = ""


@frozen(kw_only=True)
class Request:
    """What an http node sends. Texts of url, headers, query and body are templates over the node's params.

    Placeholders in the url are percent-encoded, except one at its very beginning. In query and body, a text
    that is only one placeholder becomes the value itself. A query value of null is left out, and a list is
    repeated. The value of a skipped node is null. A header that is only one placeholder is left out if the
    value is null. ``{secret.NAME}`` is replaced by a secret that only the server knows.
    """

    method: str = "GET"
    url: str
    headers: Mapping[str, str] = field(factory=dict)
    query: Mapping[str, Json] = field(factory=dict)
    #: Sent as JSON, unless a Content-Type header says otherwise; None: no body.
    body: Json = None
    #: The node's output: a JSON Pointer into {"status", "headers", "body"}, or a template over these three.
    #: The body is JSON if its media type says so, else text; a body that is not text is in base64.
    output: Json = "/body"
    #: Statuses that are a success; empty: all from 200 to 299.
    accept: tuple[int, ...] = ()
    #: How many redirects may be followed. Each is checked like the first address.
    follow_redirects: int = 0
    #: The most bytes of the response's body.
    max_bytes: int = 1_048_576


@frozen(kw_only=True)
class Compensation:
    """How a completed node is undone: by code or by a request. Params may also name the node itself."""

    code: str | None = None
    request: Request | None = None
    params: tuple[Param, ...] = ()
    retry: Retry = field(factory=Retry)
    timeout: float | None = None


@frozen(kw_only=True)
class NodeBase:
    """The fields of all kinds of nodes."""

    #: The name that other nodes use: letters, digits, _ and -.
    name: str = field(metadata={"schema": {"minLength": 1, "maxLength": 128}})
    params: tuple[Param, ...] = ()
    #: Nodes to wait for without taking their output.
    after: tuple[str, ...] = ()
    #: ``any``: a race. The first upstream node that ran opens this one; the others that only lead here stop.
    join: Literal["all", "any"] = "all"


@frozen(kw_only=True)
class Activity(NodeBase):
    """Code that does work, or an expression that computes a value. The kinds are labels for people."""

    kind: ActivityKind = "node"
    code: str | None = None
    #: Instead of code: CEL over the params that yields the output. `double(a.b)` reads numbers safely.
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
    #: Instead of code: CEL over the params that yields a route, a list of routes, or [].
    expression: str | None = None
    routes: tuple[str, ...]
    #: False: the code returns exactly one route, so two routes never run together.
    many: bool = True
    retry: Retry = field(factory=Retry)
    timeout: float | None = None


@frozen(kw_only=True)
class Loop(NodeBase):
    """The condition at the end of a loop: if it is true, the loop runs again from ``back_to``.

    The loop consists of all nodes on the paths from ``back_to`` to the condition, both included.
    """

    kind: Literal["loop"] = "loop"
    code: str | None = None
    #: Instead of code: CEL over the params that yields true to repeat.
    expression: str | None = None
    back_to: str
    #: The most iterations.
    max_iterations: int
    #: What happens if the condition is still true after the last iteration.
    on_exhausted: Literal["fail", "continue"] = "fail"
    retry: Retry = field(factory=Retry)
    timeout: float | None = None


def _retry_of_items(node: Map) -> Retry:
    return Retry() if node.workflow_id is None else Retry(max_attempts=1)


@frozen(kw_only=True)
class Map(NodeBase):
    """Work that is done once for each item of a list. The output is the list of results, in the items' order.

    The work is ``code``, a ``request``, or a child run of ``workflow_id``; for a child run, ``code`` returns
    the input.
    """

    kind: Literal["map"] = "map"
    #: The node, or ``input``, that yields the list.
    over: str
    #: A JSON Pointer to the list in that value; empty: the value is the list.
    pointer: str = ""
    code: str | None = None
    request: Request | None = None
    workflow_id: str | None = None
    #: The version of the children; None: the active one.
    workflow_version: str | None = None
    #: The schema of a child's result.
    schema: JsonObject | None = None
    max_concurrency: int = DEFAULT_MAX_CONCURRENCY
    #: How many items may fail for good; each yields null.
    max_failures: int = 0
    #: For each item. A failed child is not retried by default.
    retry: Retry = field(default=Factory(_retry_of_items, takes_self=True))
    timeout: float | None = None
    compensate: Compensation | None = None
    executor: Literal["default", "process"] = "default"


@frozen(kw_only=True)
class Subworkflow(NodeBase):
    """A child run of another workflow. ``code`` returns its input; without code, the params are its fields.

    Without code, a single parameter named ``input`` is the whole input.
    """

    kind: Literal["subworkflow"] = "subworkflow"
    workflow_id: str
    #: None: the version that is active when the child starts.
    workflow_version: str | None = None
    code: str | None = None
    #: The schema of the child's result.
    schema: JsonObject | None = None
    #: A failed child is not retried by default.
    retry: Retry = field(factory=lambda: Retry(max_attempts=1))
    compensate: Compensation | None = None


@frozen(kw_only=True)
class Wait(NodeBase):
    """The fields of nodes that wait for signals."""

    #: The schema of the payload.
    schema: JsonObject
    #: Seconds until the deadline.
    timeout: float | None = None
    #: What a timeout does: fail the run, use ``timeout_value`` as the answer, or run ``timeout_route``.
    on_timeout: Literal["fail", "value", "route"] = "fail"
    #: The value that replaces the answer.
    timeout_value: Json = None
    #: The node that runs instead of the nodes that need the answer.
    timeout_route: str | None = None


@frozen(kw_only=True)
class HumanInput(Wait):
    """A durable wait for a person. A signal with the node's name and a valid payload ends it."""

    kind: Literal["human_input"] = "human_input"
    #: The prompt: a template if there are params. None: ``code`` returns it.
    prompt: str | None = None
    code: str | None = None


@frozen(kw_only=True)
class Signal(Wait):
    """A durable wait for data: a signal with the node's name."""

    kind: Literal["signal"] = "signal"


@frozen(kw_only=True)
class Timer(NodeBase):
    """A durable timer of ``delay`` seconds, or of the delay or RFC 3339 time that ``code`` returns."""

    kind: Literal["timer"] = "timer"
    delay: float | None = None
    code: str | None = None
    #: Instead of code: CEL over the params that yields seconds, a text like "2h", or an RFC 3339 time.
    expression: str | None = None


@frozen(kw_only=True)
class Http(NodeBase):
    """An HTTP call that the server makes itself, within its outbound policy."""

    kind: Literal["http"] = "http"
    request: Request
    retry: Retry = field(factory=Retry)
    #: Seconds per attempt, from the start of the name look-up to the last byte of the body.
    timeout: float = 30.0
    compensate: Compensation | None = None


Node: TypeAlias = Activity | Router | Loop | Map | Subworkflow | HumanInput | Signal | Timer | Http
#: The class of each kind, derived from the union.
KINDS: Mapping[str, type[Node]] = {
    kind: cls for cls in get_args(Node) for kind in get_args(get_type_hints(cls)["kind"])
}


@frozen(kw_only=True)
class Document:
    """One version of a workflow. ``nodes`` are in the order of their declaration."""

    workflow_id: str
    #: If it is left out of a published document, it is derived from the content.
    version: str = field(default="", metadata={"schema": {"minLength": 1}})
    input_schema: JsonObject = field(factory=lambda: {"type": "object"})
    nodes: tuple[Node, ...]
    #: The node that yields the result; None: the nodes without successors.
    output: str | None = None
    #: At most one limit without a key and one with a key.
    concurrency: tuple[Concurrency, ...] = ()
    #: Schedules and webhooks start runs while this version is active.
    schedules: tuple[Schedule, ...] = ()
    webhooks: tuple[Webhook, ...] = ()


def signal_schemas(document: Document) -> dict[str, Json]:
    """Return the schema of each signal that the document declares, by name."""
    return {node.name: node.schema for node in document.nodes if isinstance(node, Wait)}


def route_targets(node: Node) -> tuple[str, ...]:
    """Return the nodes that a node can choose between."""
    if isinstance(node, Router):
        return node.routes
    return (node.timeout_route,) if isinstance(node, Wait) and node.timeout_route is not None else ()


def starts_child(node: Node) -> bool:
    """Tell whether the node runs another workflow."""
    return isinstance(node, Subworkflow) or (isinstance(node, Map) and node.workflow_id is not None)
