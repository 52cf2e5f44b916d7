"""Webhooks: which delivery is genuine, and the run that it starts.

The address of a webhook is its name; that of another tenant than the first says the tenant before a colon, so
that names need be unique within a tenant only. Whatever does not pass gets one and the same answer, after the
same work: nobody learns which names exist.
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

#: The tags of a delivered run; ids are cut to what a tag should hold.
WEBHOOK_TAG, DELIVERY_TAG = "webhook", "delivery_id"
_LONGEST_TAG = 255
#: The tag of a run that was started by a delivery whose time is signed and whose id is not.
SIGNATURE_TAG = "delivery_signature"
#: Signs nothing: stands in where there is no key.
_NO_KEY = b"none"
#: Signatures of second tries that are remembered.
_MOST_AGAIN = 10_000
#: Characters of a name that the log repeats.
_SHOWN = 128


def address(tenant: str, name: str) -> str:
    """Return the path at which a webhook takes deliveries."""
    owner = "" if tenant == FIRST_TENANT else f"{quote(quote(tenant, safe=''), safe='')}:"
    return f"/hooks/{owner}{name}"


def _owner(text: str) -> tuple[str, str]:
    """Return the tenant and the name that the last part of an address tells."""
    tenant, colon, name = text.rpartition(":")
    return (unquote(tenant), name) if colon else (FIRST_TENANT, name)


def new_secret(scheme: Scheme) -> str:
    """Return a new secret, as the signing of a scheme wants it."""
    return webhooks.SECRET_PREFIX + (base64_secret() if scheme == "standard" else token_secret())


class WebhookService:
    """The webhooks of all tenants, and what may be asked of them."""

    def __init__(self, service: RunService, webhooks: Webhooks, runs: Runs) -> None:
        self._service, self.store, self._runs = service, webhooks, runs
        #: Held while a delivery is looked for and, where it is new, started.
        self._starting = asyncio.Lock()
        #: The runs of signatures by which senders tried again: their tags tell the first one.
        self._again: dict[str, int] = {}

    async def create(self, row: WebhookRow, record: AuditRecord | None = None) -> WebhookRow:
        """Make a webhook, with a secret of its own unless one is given.

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
        """Start the run of a genuine delivery, or return the one that it has started before.

        ``headers`` have their names in small letters; ``value`` is what ``body`` says.

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
        mark = webhooks.fingerprint(row.webhook, headers, body)
        return await (self._service.start(request) if mark is None else self._start_once(request, mark))

    async def _start_once(self, request: StartRequest, mark: str) -> Started:
        """Start the run of a delivery whose id is not signed, or return that of the signature.

        The same id under another signature is the same delivery, too: its sender tries again.
        """
        async with self._starting:
            made = RunFilters(trigger="webhook", tag=(SIGNATURE_TAG, mark))
            for row in await self._runs.list(request.tenant, made):
                if row.by == request.by:
                    return Started(row, replayed=True)
            if (known := await self._tried_again(mark)) is not None:
                return Started(known, replayed=True)
            started = await self._service.start(evolve(request, tags={**request.tags, SIGNATURE_TAG: mark}))
            if started.replayed:
                self._again[mark] = started.run.run_key
                if len(self._again) > _MOST_AGAIN:
                    self._again.pop(next(iter(self._again)))
        return started

    async def _tried_again(self, mark: str) -> RunRow | None:
        run_key = self._again.get(mark)
        return None if run_key is None else await self._runs.get_by_key(run_key)

    async def genuine(self, name: str, headers: Mapping[str, str], body: bytes) -> WebhookRow:
        """Return the webhook that a delivery is for, if the delivery passes.

        Raises:
            WebhookNotFound: there is none, or its secret is not set, or the signature or its time do not fit.
        """
        tenant, name = _owner(name)
        # The same is done whether there is one or not: how long it takes tells nobody which names exist.
        row = await self.store.get(tenant, name) or no_webhook(tenant, name)
        key, trouble = _key(row)
        passes = webhooks.is_authentic(row.webhook, key, headers, body, self._service.clock.now())
        if passes and trouble is None:
            return row
        why = webhooks.rejection_reason(row.webhook, headers)
        who = sanitize(row.webhook.name, _SHOWN), sanitize(row.tenant, _SHOWN)
        log.warning("webhook %s of tenant %s refused a delivery: %s", *who, trouble or why)
        raise WebhookNotFound


def _key(row: WebhookRow) -> tuple[bytes, str | None]:
    """Return the key that a webhook's deliveries are signed with, and why none of them passes, if so."""
    variable = row.webhook.secret_env
    text = row.secret if variable is None else os.environ.get(variable)
    if not text:
        return _NO_KEY, f"{variable} is not set" if variable is not None else "there is none of that name"
    try:
        return webhooks.signing_key(row.webhook.scheme, text.encode("utf-8", "surrogateescape")), None
    except ValueError as error:
        return _NO_KEY, f"its secret is none: {error}"


def _secret_faults(row: WebhookRow) -> Iterator[Fault]:
    try:
        webhooks.signing_key(row.webhook.scheme, (row.secret or "").encode())
    except ValueError as error:
        yield Fault("/secret", "format", f"secret: {error}")


def _request(row: WebhookRow, delivery: str, made: Json, headers: Mapping[str, str]) -> StartRequest:
    name = row.webhook.name
    parents, states = ([headers[name]] if name in headers else [] for name in ("traceparent", "tracestate"))
    mark = hashlib.sha256(delivery.encode()).hexdigest()
    return StartRequest(
        tenant=row.tenant,
        by=f"webhook:{name}",
        workflow_id=row.workflow_id,
        input=made,
        tags={WEBHOOK_TAG: name, DELIVERY_TAG: delivery[:_LONGEST_TAG]},
        trigger="webhook",
        trace=trace_context.accept(parents, states, trace_id()),
        idempotency_key=f"webhook\n{name}\n{mark}",  # no caller's key has a line break
    )
