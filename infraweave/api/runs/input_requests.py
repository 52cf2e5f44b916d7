"""What people are being asked, across runs: the shapes, the handler, and the route."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from infraweave.api.http.cursors import Cursors
from infraweave.api.http.routing import Answer, Call, Reply, Route
from infraweave.api.runs import presenters
from infraweave.api.runs.queries import InputRequestQuery
from infraweave.api.runs.schemas import Time, said
from infraweave.core.access import Principal, readable
from infraweave.core.data.values import Json, rfc3339
from infraweave.engine.engine import Engine
from infraweave.errors import InvalidCursor
from infraweave.store.input_requests import InputRequests, OpenRequest


@frozen(kw_only=True)
class InputRequest:
    """What a run asks a person. A signal to the run answers it; with ``request_id``, this request alone."""

    run_id: str
    workflow_id: str
    workflow_version: str
    node: str
    iteration: int | None
    index: int | None
    signal: str = said("The name of the signal that answers.")
    request_id: str
    prompt: str
    schema: dict[str, Any] = said("What the answer is checked against.")
    data: Json = said("Shown to the person with the prompt.", default=None, omit=True)
    since: Time
    deadline: Time | None


@frozen(kw_only=True)
class InputRequestList:
    """A page of open input requests, oldest first."""

    input_requests: tuple[InputRequest, ...]
    next_cursor: str | None
    total: int = said("How many there are, on all pages.")


@frozen(eq=False)
class InputRequestRoutes:
    """The handler of open input requests."""

    _engine: Engine
    _cursors: Cursors = field(init=False)

    @_cursors.default
    def _made(self) -> Cursors:
        return Cursors(self._engine)

    async def list(self, call: Call[InputRequestQuery, None]) -> Answer:
        """List what is being asked by runs of the workflows that the principal may read."""
        query, who = call.query, call.principal
        requests, names = InputRequests(self._engine.db), _meant(query, who)
        after = await self._cursors.read("input-requests", call) or 0
        page = await requests.list(who.tenant, names, limit=query.limit, after=after)
        total = await requests.count(who.tenant, names)
        following = None
        if page.more:
            last = page.requests[-1].event_key
            following = await self._cursors.give("input-requests", call, last)
        listed = tuple(map(_listed, page.requests))
        return Answer(InputRequestList(input_requests=listed, next_cursor=following, total=total))


def _meant(query: InputRequestQuery, who: Principal) -> frozenset[str] | None:
    """Return the workflows that are asked for and may be read; None means all."""
    names = readable(who)
    if query.workflow_id is None:
        return names
    wanted = frozenset({query.workflow_id})
    return wanted if names is None else names & wanted


def _listed(request: OpenRequest) -> InputRequest:
    event = request.event
    return InputRequest(
        run_id=request.run_id,
        workflow_id=request.workflow_id,
        workflow_version=request.workflow_version,
        node=event.node,
        iteration=event.iteration,
        index=event.index,
        signal=event.signal,
        request_id=event.request_id,
        prompt=event.prompt,
        schema=dict(event.schema),
        data=event.data,
        since=rfc3339(event.at),
        deadline=presenters.time(event.deadline),
    )


def input_request_route(routes: InputRequestRoutes) -> Route:
    """Return the route of open input requests."""
    return Route(
        name="list_input_requests",
        method="GET",
        path="/v1/input-requests",
        handler=routes.list,
        summary="List what people are being asked, oldest first",
        on="own",
        query=InputRequestQuery,
        replies={200: Reply(doc="A page of open input requests.", shape=InputRequestList)},
        errors=(InvalidCursor,),
    )
