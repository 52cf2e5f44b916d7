"""Webhooks: authenticates deliveries and starts their runs.

The address of a webhook ends in its name. For other tenants than the first, the tenant and a colon precede
it, so that names must be unique only within a tenant. All refused deliveries get the same answer after the
same work, so that senders cannot find out which names exist.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote

from attrs import evolve

from infraweave.core import trace_context
from infraweave.core.access import FIRST_TENANT
from infraweave.core.data.redact import sanitize
from infraweave.core.data.template import TemplateError, render_json
from infraweave.core.data.values import Json
from infraweave.core.workflow import webhooks
from infraweave.core.workflow.triggers import Scheme
from infraweave.engine.clock import base64_secret, token_secret, trace_id
from infraweave.engine.runs.requests import Started, StartRequest
from infraweave.engine.runs.service import RunService
from infraweave.errors import (
    DefinitionInvalid,
    Fault,
    InputInvalid,
    WebhookNotFound,
)
from infraweave.store.runs import RunFilters, RunRow, Runs
from infraweave.store.sqlite.audit_record import AuditRecord
from infraweave.store.webhooks import WebhookRow, Webhooks, no_webhook

log = logging.getLogger("infraweave.engine")

#: The tags of a delivered run; longer ids are cut.
WEBHOOK_TAG, DELIVERY_TAG = "webhook", "delivery_id"
_LONGEST_TAG = 255
#: The tag of a run whose delivery signed its time but not its id.
SIGNATURE_TAG = "delivery_signature"
#: Replaces a missing key.
_NO_KEY = b"none"
#: Remembered signatures of repeated deliveries.
_MAX_REPEATED = 10_000
#: Characters of a name that the log shows.
_SHOWN = 128


def address(tenant: str, name: str) -> str:
    """Return the path to which deliveries of a webhook are sent."""
    owner = "" if tenant == FIRST_TENANT else f"{quote(quote(tenant, safe=''), safe='')}:"
    return f"/hooks/{owner}{name}"


def _owner(text: str) -> tuple[str, str]:
    """Return the tenant and the name in the last part of an address."""
    tenant, colon, name = text.rpartition(":")
    return (unquote(tenant), name) if colon else (FIRST_TENANT, name)


def new_secret(scheme: Scheme) -> str:
    """Return a new secret in the form that a signing scheme requires."""
    return webhooks.SECRET_PREFIX + (base64_secret() if scheme == "standard" else token_secret())


class WebhookService:
    """The webhooks of all tenants."""

    def __init__(self, service: RunService, webhooks: Webhooks, runs: Runs) -> None:
        self._service, self.store, self._runs = service, webhooks, runs
        #: Held while a delivery is looked up and, if it is new, started.
        self._starting = asyncio.Lock()
        #: Signature → run of repeated deliveries: the tag of a run has only its first signature.
        self._repeated: dict[str, int] = {}

    async def create(self, row: WebhookRow, record: AuditRecord | None = None) -> WebhookRow:
        """Create a webhook, with a new secret unless one is given.

        Raises:
            DefinitionInvalid: it has faults.
            WorkflowNotFound, WebhookConflict: see ``Webhooks.create``.
        """
        self._service.check_accepting()
        made = evolve(row, secret=row.secret or new_secret(row.webhook.scheme))
        faults = [*webhooks.faults(row.webhook), *_secret_faults(made)]
        if faults:
            raise DefinitionInvalid(f"The webhook is not valid: {faults[0].message}.", details=faults)
        await self.store.create(made, record)
        return made

    async def start(
        self,
        row: WebhookRow,
        headers: Mapping[str, str],
        body: bytes,
        value: Json,
        record: AuditRecord | None = None,
    ) -> Started:
        """Start the run of an authentic delivery, or return the run that it started before.

        The names in ``headers`` are in lower case; ``value`` is the decoded ``body``.

        Raises:
            InputInvalid: the input cannot be made of it, or does not match the schema.
            WorkflowNotFound, Capacity, Draining, StorageUnavailable: see ``RunService.start``.
        """
        delivery = webhooks.delivery_id(row.webhook, headers, value, body)
        try:
            made = render_json(row.webhook.input, webhooks.template_values(headers, value, delivery))
        except TemplateError as error:
            raise InputInvalid(f"The input cannot be made of this delivery: {error}.") from error
        request = evolve(_request(row, delivery, made, headers), record=record)
        signature = webhooks.fingerprint(row.webhook, headers, body)
        return await (
            self._service.start(request) if signature is None else self._start_once(request, signature)
        )

    async def _start_once(self, request: StartRequest, signature: str) -> Started:
        """Start the run of a delivery whose id is not signed, or return the run of its signature.

        The same id with another signature is a repetition of the same delivery.
        """
        async with self._starting:
            filters = RunFilters(trigger="webhook", tag=(SIGNATURE_TAG, signature))
            for row in await self._runs.list(request.tenant, filters):
                if row.by == request.by:
                    return Started(row, replayed=True)
            if (known := await self._find_repeated(signature)) is not None:
                return Started(known, replayed=True)
            started = await self._service.start(
                evolve(request, tags={**request.tags, SIGNATURE_TAG: signature})
            )
            if started.replayed:
                self._repeated[signature] = started.run.run_key
                if len(self._repeated) > _MAX_REPEATED:
                    self._repeated.pop(next(iter(self._repeated)))
        return started

    async def _find_repeated(self, signature: str) -> RunRow | None:
        run_key = self._repeated.get(signature)
        return None if run_key is None else await self._runs.get_by_key(run_key)

    async def authenticate(self, name: str, headers: Mapping[str, str], body: bytes) -> WebhookRow:
        """Return the webhook of a delivery if the delivery is authentic.

        Raises:
            WebhookNotFound: there is none, its secret is not set, or the signature or its time is wrong.
        """
        tenant, name = _owner(name)
        # The same work is done without a webhook, so that the duration does not reveal which names exist.
        row = await self.store.get(tenant, name) or no_webhook(tenant, name)
        key, problem = _key(row)
        passes = webhooks.is_authentic(row.webhook, key, headers, body, self._service.clock.now())
        if passes and problem is None:
            return row
        why = webhooks.rejection_reason(row.webhook, headers)
        who = sanitize(row.webhook.name, _SHOWN), sanitize(row.tenant, _SHOWN)
        log.warning("webhook %s of tenant %s refused a delivery: %s", *who, problem or why)
        raise WebhookNotFound


def _key(row: WebhookRow) -> tuple[bytes, str | None]:
    """Return the signing key of a webhook; if it has none, a placeholder and the reason."""
    variable = row.webhook.secret_env
    text = row.secret if variable is None else os.environ.get(variable)
    if not text:
        return _NO_KEY, f"{variable} is not set" if variable is not None else "there is none of that name"
    try:
        return webhooks.signing_key(row.webhook.scheme, text.encode("utf-8", "surrogateescape")), None
    except ValueError as error:
        return _NO_KEY, f"its secret is not valid: {error}"


def _secret_faults(row: WebhookRow) -> Iterator[Fault]:
    try:
        webhooks.signing_key(row.webhook.scheme, (row.secret or "").encode())
    except ValueError as error:
        yield Fault("/secret", "format", f"secret: {error}")


def _request(row: WebhookRow, delivery: str, made: Json, headers: Mapping[str, str]) -> StartRequest:
    name = row.webhook.name
    parents, states = ([headers[name]] if name in headers else [] for name in ("traceparent", "tracestate"))
    digest = hashlib.sha256(delivery.encode()).hexdigest()
    return StartRequest(
        tenant=row.tenant,
        by=f"webhook:{name}",
        workflow_id=row.workflow_id,
        input=made,
        tags={WEBHOOK_TAG: name, DELIVERY_TAG: delivery[:_LONGEST_TAG]},
        trigger="webhook",
        trace=trace_context.accept(parents, states, trace_id()),
        idempotency_key=f"webhook\n{name}\n{digest}",  # no caller's key has a line break
    )
