"""The handler of open input requests, across runs."""

from __future__ import annotations

from infraweave.api.http.cursors import Cursors
from infraweave.api.http.routing import ApiRequest, ApiResponse
from infraweave.api.runs import presenters
from infraweave.api.runs.queries import InputRequestQuery
from infraweave.api.runs.schemas import InputRequestList
from infraweave.core.access import Principal, readable
from infraweave.core.lazy_records import frozen
from infraweave.engine.engine import Engine
from infraweave.store.input_requests import InputRequests


@frozen(eq=False)
class InputRequestHandlers:
    """The handler of open input requests."""

    _engine: Engine
    _cursors: Cursors = Cursors.field()

    async def list(self, request: ApiRequest[InputRequestQuery, None]) -> ApiResponse:
        """List the open questions to people, of the workflows that the principal may read, oldest first."""
        query, principal = request.query, request.principal
        requests, names = InputRequests(self._engine.db), _workflows(query, principal)
        after = await self._cursors.read("input-requests", request) or 0
        page = await requests.list(principal.tenant, names, limit=query.limit, after=after)
        total = await requests.count(principal.tenant, names)
        last = page.requests[-1].event_key if page.more else None
        next_cursor = await self._cursors.issue("input-requests", request, last)
        listed = tuple(map(presenters.input_request, page.requests))
        return ApiResponse(InputRequestList(input_requests=listed, next_cursor=next_cursor, total=total))


def _workflows(query: InputRequestQuery, principal: Principal) -> frozenset[str] | None:
    """Return the requested workflows that the principal may read; None means all."""
    names = readable(principal)
    if query.workflow_id is None:
        return names
    selected = frozenset({query.workflow_id})
    return selected if names is None else names & selected
