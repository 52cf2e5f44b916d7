"""Starting runs: one, or many in one request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from attrs import frozen
from werkzeug.datastructures import Headers

from infraweave.api.http.body_limits import check_tags
from infraweave.api.http.decoding import read_body, read_time
from infraweave.api.http.errors import info
from infraweave.api.http.headers import preferred_wait
from infraweave.api.http.routing import Answer, Call, NoQuery, require, veiled
from infraweave.api.runs import presenters
from infraweave.api.runs.batch_schemas import BatchItem, BatchResult, BatchResults, StartBatch
from infraweave.api.runs.queries import MAX_WAIT
from infraweave.api.runs.rerun_schemas import RerunRun
from infraweave.api.runs.schemas import RunAcknowledged, StartRun
from infraweave.core import trace_context
from infraweave.core.data import json_codec
from infraweave.core.data.values import Json
from infraweave.core.run.events import Trigger
from infraweave.engine import clock
from infraweave.engine.engine import Engine
from infraweave.engine.runs.requests import RerunWish, Started, StartRequest
from infraweave.errors import AclDenied, InputInvalid, MalformedRequest, RequestError
from infraweave.store.sqlite.audit_record import AuditRecord

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_KEY_FORM = "must be given once and have 1 to 255 printable ASCII characters."
#: How a client of ours says what started a run; without it, it was the API.
TRIGGER_HEADER = "X-Infraweave-Trigger"
OWN_TRIGGERS: tuple[Trigger, ...] = ("api", "cli", "console")

#: Refusals of a rerun that tell of the run and its workflow.
_ABOUT_THE_RUN = (InputInvalid, MalformedRequest)


@frozen(eq=False)
class StartRoutes:
    """The handlers of starts."""

    _engine: Engine

    async def start(self, call: Call[NoQuery, StartRun]) -> Answer:
        """Start a run; the answer is sent once it is durable."""
        key = idempotency_key(call.headers)
        digest = json_codec.digest(call.sent) if key is not None else None
        done = await self._engine.start(self._request(call, call.body, key, digest))
        return await self._started(call, done)

    async def rerun(self, call: Call[NoQuery, RerunRun]) -> Answer:
        """Run a run again, or say what that would do."""
        run, body = call.run, call.body
        wish = RerunWish(from_node=body.from_node, patch=body.input, version=body.version)
        key = idempotency_key(call.headers)
        digest = json_codec.digest({"rerun": run.run_id, "body": call.sent}) if key is not None else None
        base = StartRun(workflow_id=run.workflow_id)
        request = self._request(call, base, key, digest)  # what it would refuse, a dry run refuses too
        if body.dry_run:
            return await self._plan(call, wish)
        with veiled(call, run.workflow_id, *_ABOUT_THE_RUN):
            done = await self._engine.rerun(run, wish, request)
        return await self._started(call, done)

    async def _plan(self, call: Call[NoQuery, RerunRun], wish: RerunWish) -> Answer:
        run = call.run
        with veiled(call, run.workflow_id, *_ABOUT_THE_RUN):
            planned = await self._engine.plan_rerun(run, wish)
        if not call.may_read(run.workflow_id):
            return Answer(RunAcknowledged(run_id=run.run_id, state=run.state))
        return Answer(presenters.rerun_plan(run, wish.from_node, planned))

    async def _started(self, call: Call[NoQuery, Any], done: Started) -> Answer:
        row, headers = done.run, {"Location": f"/v1/runs/{done.run.run_id}"}
        if done.replayed:
            headers["Idempotent-Replayed"] = "true"
        wait = preferred_wait(call.headers.getlist("Prefer"), MAX_WAIT)
        if wait is not None:
            headers["Preference-Applied"] = f"wait={wait}"
            await self._engine.wait_end(row.run_key, wait)
            row = await self._engine.runs.get_by_key(row.run_key) or row
        return Answer(presenters.started(row), 200 if done.replayed else 201, headers)

    async def start_many(self, call: Call[NoQuery, StartBatch]) -> Answer:
        """Start many runs in one transaction; what is wrong with one is told in its result."""
        if "Idempotency-Key" in call.headers:
            raise MalformedRequest("Idempotency-Key is for one start; give each item its idempotency_key.")
        _trigger(call.headers)
        read = [self._item(call, item) for item in call.body.runs]
        requests = [one for one in read if isinstance(one, StartRequest)]
        started = iter(await self._engine.start_many(requests))
        outcomes = [next(started) if isinstance(one, StartRequest) else one for one in read]
        made = sum(isinstance(outcome, Started) for outcome in outcomes)
        call.record.detail = f"{made} of {len(outcomes)} started"
        results = tuple(_result(outcome, call.request_id) for outcome in outcomes)
        return Answer(BatchResults(results=results), headers=_again_after(outcomes))

    def _item(self, call: Call[NoQuery, StartBatch], item: Json) -> StartRequest | RequestError:
        try:
            body = read_body(BatchItem, item, "The item")
            require(call.principal, "execute", f"workflow:{body.workflow_id}")
            key = body.idempotency_key
            if key is not None and not _KEY.fullmatch(key):
                raise MalformedRequest(f"idempotency_key {_KEY_FORM}")
            meant = {name: value for name, value in item.items() if name != "idempotency_key"}
            return self._request(call, body, key, json_codec.digest(meant) if key is not None else None)
        except AclDenied as error:
            self._engine.audit_buffer.deny(_record(call, body.workflow_id).denied(error.code, error.message))
            return error
        except RequestError as error:
            return error

    def _request(
        self, call: Call[Any, Any], body: StartRun, key: str | None, digest: str | None
    ) -> StartRequest:
        check_tags(self._engine.settings, body.tags)
        headers = call.headers
        parents, states = headers.getlist("traceparent"), headers.getlist("tracestate")
        return StartRequest(
            tenant=call.principal.tenant,
            by=call.principal.name,
            workflow_id=body.workflow_id,
            workflow_version=body.workflow_version,
            input=body.input,
            tags=body.tags,
            trigger=_trigger(headers),
            trace=trace_context.accept(parents, states, clock.trace_id()),
            idempotency_key=key,
            body_digest=digest,
            start_at=None if body.start_at is None else read_time(body.start_at),
            record=_record(call, body.workflow_id) if isinstance(call.body, StartBatch) else call.record,
        )


def _record(call: Call[Any, Any], workflow_id: str) -> AuditRecord:
    """Return the audit record of one start of many."""
    return call.record.for_action(action="start_run", resource=f"workflow:{workflow_id}")


def _result(outcome: Started | RequestError, request_id: str) -> BatchResult:
    if isinstance(outcome, RequestError):
        return BatchResult(status=outcome.status, error=info(outcome, request_id))
    return BatchResult(status=200 if outcome.replayed else 201, run=presenters.started(outcome.run))


def _again_after(outcomes: Sequence[Started | RequestError]) -> dict[str, str]:
    """Return the header that says when to send again what a limit has refused, if any was."""
    refusals = [outcome.headers for outcome in outcomes if isinstance(outcome, RequestError)]
    waits = [headers["Retry-After"] for headers in refusals if "Retry-After" in headers]
    return {"Retry-After": max(waits, key=int)} if waits else {}


def idempotency_key(headers: Headers) -> str | None:
    """Return the key of a start.

    Raises:
        MalformedRequest: it is none, or there are several.
    """
    keys = headers.getlist("Idempotency-Key")
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise MalformedRequest(f"Idempotency-Key {_KEY_FORM}")
    return keys[0]


def _trigger(headers: Headers) -> Trigger:
    given = headers.get(TRIGGER_HEADER, "api")
    for trigger in OWN_TRIGGERS:
        if given == trigger:
            return trigger
    raise MalformedRequest(f"{TRIGGER_HEADER} must be one of {', '.join(OWN_TRIGGERS)}.")
