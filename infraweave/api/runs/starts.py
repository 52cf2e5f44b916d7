"""Handlers of starts: one run, several runs in one request, a rerun."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from infraweave.api.http.body_limits import check_tags
from infraweave.api.http.decoding import read_body
from infraweave.api.http.errors import error_info
from infraweave.api.http.fields import read_time
from infraweave.api.http.headers import preferred_wait
from infraweave.api.http.request_head import HeaderValues
from infraweave.api.http.routing import ApiRequest, ApiResponse, NoQuery, hide_details, require
from infraweave.api.runs import presenters
from infraweave.api.runs.queries import MAX_WAIT
from infraweave.api.runs.schemas import (
    BatchItem,
    BatchResult,
    BatchResults,
    RerunRun,
    RunAcknowledged,
    StartBatch,
    StartRun,
)
from infraweave.core import trace_context
from infraweave.core.data import json_codec
from infraweave.core.data.values import Json
from infraweave.core.lazy_records import frozen
from infraweave.core.run.events import Trigger
from infraweave.engine import clock
from infraweave.engine.engine import Engine
from infraweave.engine.runs.requests import RerunWish, Started, StartRequest
from infraweave.errors import AclDenied, InputInvalid, MalformedRequest, RequestError
from infraweave.store.sqlite.audit_record import AuditRecord

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_KEY_FORM = "must be given once and have 1 to 255 printable ASCII characters."
#: The header for what started a run. Only clients that come with the server send it. Default: api.
TRIGGER_HEADER = "X-Infraweave-Trigger"
OWN_TRIGGERS: tuple[Trigger, ...] = ("api", "cli", "console")

#: Errors of a rerun that reveal details of the run and its workflow.
_ABOUT_THE_RUN = (InputInvalid, MalformedRequest)


@frozen(eq=False)
class StartHandlers:
    """The handlers of starts."""

    _engine: Engine

    async def start(self, request: ApiRequest[NoQuery, StartRun]) -> ApiResponse:
        """Start a run. The response is sent once the run is durable."""
        key = idempotency_key(request.headers)
        digest = json_codec.digest(request.sent) if key is not None else None
        done = await self._engine.service.start(self._request(request, request.body, key, digest))
        return await self._started(request, done)

    async def rerun(self, request: ApiRequest[NoQuery, RerunRun]) -> ApiResponse:
        """Run an ended run again, from a node on. A dry run only returns the plan."""
        run, body = request.run, request.body
        wish = RerunWish(from_node=body.from_node, patch=body.input, version=body.version)
        key = idempotency_key(request.headers)
        digest = json_codec.digest({"rerun": run.run_id, "body": request.sent}) if key is not None else None
        base = StartRun(workflow_id=run.workflow_id)
        start = self._request(request, base, key, digest)  # a dry run refuses what the rerun would
        if body.dry_run:
            return await self._plan(request, wish)
        with hide_details(request, run.workflow_id, *_ABOUT_THE_RUN):
            done = await self._engine.service.rerun(run, wish, start)
        return await self._started(request, done)

    async def _plan(self, request: ApiRequest[NoQuery, RerunRun], wish: RerunWish) -> ApiResponse:
        run = request.run
        with hide_details(request, run.workflow_id, *_ABOUT_THE_RUN):
            planned = await self._engine.service.plan_rerun(run, wish)
        if not request.may_read(run.workflow_id):
            return ApiResponse(RunAcknowledged(run_id=run.run_id, state=run.state))
        return ApiResponse(presenters.rerun_plan(run, wish.from_node, planned))

    async def _started(self, request: ApiRequest[NoQuery, Any], done: Started) -> ApiResponse:
        wait = preferred_wait(request.headers.getlist("Prefer"), MAX_WAIT)
        if wait is None:
            return started(done)
        key = done.run.run_key
        await self._engine.service.wait_end(key, wait)
        row = await self._engine.runs.get_by_key(key) or done.run
        return started(Started(row, done.replayed), {"Preference-Applied": f"wait={wait}"})

    async def start_many(self, request: ApiRequest[NoQuery, StartBatch]) -> ApiResponse:
        """Start several runs in one transaction; each needs execute on its workflow."""
        if "Idempotency-Key" in request.headers:
            raise MalformedRequest("Idempotency-Key is for one start; give each item its idempotency_key.")
        _trigger(request.headers)
        read = [self._item(request, item) for item in request.body.runs]
        requests = [one for one in read if isinstance(one, StartRequest)]
        ready = iter(await self._engine.service.start_many(requests))
        outcomes = [next(ready) if isinstance(one, StartRequest) else one for one in read]
        count = sum(isinstance(outcome, Started) for outcome in outcomes)
        request.record.detail = f"{count} of {len(outcomes)} started"
        results = tuple(_result(outcome, request.request_id) for outcome in outcomes)
        return ApiResponse(BatchResults(results=results), headers=_retry_after(outcomes))

    def _item(self, request: ApiRequest[NoQuery, StartBatch], item: Json) -> StartRequest | RequestError:
        try:
            body = read_body(BatchItem, item, "The item")
            require(request.principal, "execute", f"workflow:{body.workflow_id}")
            key = body.idempotency_key
            if key is not None and not _KEY.fullmatch(key):
                raise MalformedRequest(f"idempotency_key {_KEY_FORM}")
            content = {name: value for name, value in item.items() if name != "idempotency_key"}
            return self._request(request, body, key, json_codec.digest(content) if key is not None else None)
        except AclDenied as error:
            self._engine.audit_buffer.deny(
                _record(request, body.workflow_id).denied(error.code, error.message)
            )
            return error
        except RequestError as error:
            return error

    def _request(
        self, request: ApiRequest[Any, Any], body: StartRun, key: str | None, digest: str | None
    ) -> StartRequest:
        check_tags(self._engine.settings, body.tags)
        headers = request.headers
        parents, states = headers.getlist("traceparent"), headers.getlist("tracestate")
        return StartRequest(
            tenant=request.principal.tenant,
            by=request.principal.name,
            workflow_id=body.workflow_id,
            workflow_version=body.workflow_version,
            input=body.input,
            tags=body.tags,
            trigger=_trigger(headers),
            trace=trace_context.accept(parents, states, clock.trace_id()),
            idempotency_key=key,
            body_digest=digest,
            start_at=None if body.start_at is None else read_time(body.start_at),
            record=_record(request, body.workflow_id)
            if isinstance(request.body, StartBatch)
            else request.record,
        )


def started(done: Started, headers: Mapping[str, str] | None = None) -> ApiResponse:
    """Return the response to a start: 201, or 200 for a run that existed already."""
    headers = {**(headers or {}), "Location": f"/v1/runs/{done.run.run_id}"}
    if done.replayed:
        headers["Idempotent-Replayed"] = "true"
    return ApiResponse(presenters.started(done.run), 200 if done.replayed else 201, headers)


def _record(request: ApiRequest[Any, Any], workflow_id: str) -> AuditRecord:
    """Return the audit record of one start of a batch."""
    return request.record.for_action(action="start_run", resource=f"workflow:{workflow_id}")


def _result(outcome: Started | RequestError, request_id: str) -> BatchResult:
    if isinstance(outcome, RequestError):
        return BatchResult(status=outcome.status, error=error_info(outcome, request_id))
    return BatchResult(status=200 if outcome.replayed else 201, run=presenters.started(outcome.run))


def _retry_after(outcomes: Sequence[Started | RequestError]) -> dict[str, str]:
    """Return the header with the time for another try, if a limit refused a start."""
    refusals = [outcome.headers for outcome in outcomes if isinstance(outcome, RequestError)]
    waits = [headers["Retry-After"] for headers in refusals if "Retry-After" in headers]
    return {"Retry-After": max(waits, key=int)} if waits else {}


def idempotency_key(headers: HeaderValues) -> str | None:
    """Return the key of a start.

    Raises:
        MalformedRequest: it is not valid, or there are several.
    """
    keys = headers.getlist("Idempotency-Key")
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise MalformedRequest(f"Idempotency-Key {_KEY_FORM}")
    return keys[0]


def _trigger(headers: HeaderValues) -> Trigger:
    given = headers.get(TRIGGER_HEADER, "api")
    for trigger in OWN_TRIGGERS:
        if given == trigger:
            return trigger
    raise MalformedRequest(f"{TRIGGER_HEADER} must be one of {', '.join(OWN_TRIGGERS)}.")
