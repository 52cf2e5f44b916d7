"""Webhooks: which delivery is genuine, and the run that it starts.

The address of a webhook is its name; that of another tenant than the first says the tenant before a colon, so
that names need be unique within a tenant only. Whatever does not pass gets one and the same answer, after the
same work: nobody learns which names exist.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from attrs import evolve

from infraweave.core import trace, webhooks
from infraweave.core.mapping import fill
from infraweave.core.template import TemplateError
from infraweave.core.triggers import Scheme, Webhook
from infraweave.core.values import Json
from infraweave.engine.clock import base64_secret, token_secret, trace_id
from infraweave.engine.requests import Started, StartRequest, details
from infraweave.errors import (
    DefinitionInvalid,
    Draining,
    InputInvalid,
    WebhookNotFound,
)
from infraweave.store.notes import Note
from infraweave.store.principals import FIRST_TENANT
from infraweave.store.webhooks import WebhookRow, Webhooks

if TYPE_CHECKING:
    from infraweave.engine.engine import Engine

log = logging.getLogger("infraweave.engine")

#: The tags of a delivered run; ids are cut to what a tag should hold.
WEBHOOK_TAG, DELIVERY_TAG = "webhook", "delivery_id"
_LONGEST_TAG = 255
#: Checked where there is no webhook, so that its absence takes as long as a wrong signature.
_NONE = Webhook(name="none")


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


class Hooks:
    """The webhooks of all tenants, and what may be asked of them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.webhooks = Webhooks(engine.db)

    async def create(self, row: WebhookRow, note: Note | None = None) -> WebhookRow:
        """Make a webhook, with a secret of its own unless one is given.

        Raises:
            DefinitionInvalid: it has faults.
            WorkflowNotFound, WebhookConflict: see ``Webhooks.create``.
        """
        if self._engine.draining:
            raise Draining(headers={"Retry-After": "1"})
        made = evolve(row, secret=row.secret or new_secret(row.webhook.scheme))
        faults = [
            *details(Webhook, webhooks.faults(row.webhook)),
            *details(WebhookRow, _secret_faults(made)),
        ]
        if faults:
            raise DefinitionInvalid(f"The webhook is not valid: {faults[0].message}.", details=faults)
        await self.webhooks.create(made, note)
        return made

    async def start(
        self,
        row: WebhookRow,
        headers: Mapping[str, str],
        body: bytes,
        value: Json,
        note: Note | None = None,
    ) -> Started:
        """Start the run of a genuine delivery, or return the one that it has started before.

        ``headers`` have their names in small letters; ``value`` is what ``body`` says.

        Raises:
            InputInvalid: the input cannot be made of it, or does not match the schema.
            WorkflowNotFound, Capacity, Draining, StorageUnavailable: see ``Engine.start``.
        """
        delivery = webhooks.delivery_id(row.webhook, headers, value, body)
        try:
            made = fill(row.webhook.input, webhooks.values(headers, value, delivery))
        except TemplateError as error:
            raise InputInvalid(f"The input cannot be made of this delivery: {error}.") from error
        return await self._engine.start(evolve(_request(row, delivery, made, headers), note=note))

    async def genuine(self, name: str, headers: Mapping[str, str], body: bytes) -> WebhookRow:
        """Return the webhook that a delivery is for, if the delivery passes.

        Raises:
            WebhookNotFound: there is none, or its secret is not set, or the signature or its time do not fit.
        """
        row = await self.webhooks.get(*_owner(name))
        key = None if row is None else _key(row)
        webhook = _NONE if row is None else row.webhook
        passes = webhooks.is_genuine(webhook, key or b"none", headers, body, self._engine.clock.now())
        if row is not None and key is not None and not passes:
            why = webhooks.refusal(webhook, headers)
            log.warning("webhook %s of tenant %s refused a delivery: %s", webhook.name, row.tenant, why)
        if row is None or key is None or not passes:
            raise WebhookNotFound
        return row


def _key(row: WebhookRow) -> bytes | None:
    variable = row.webhook.secret_env
    text = row.secret if variable is None else os.environ.get(variable)
    if not text:
        log.warning("webhook %s refuses all: %s is not set", row.webhook.name, variable)
        return None
    try:
        return webhooks.key_of(row.webhook.scheme, text.encode("utf-8", "surrogateescape"))
    except ValueError as error:
        log.warning("webhook %s refuses all: its secret is none: %s", row.webhook.name, error)
        return None


def _secret_faults(row: WebhookRow) -> Iterator[str]:
    try:
        webhooks.key_of(row.webhook.scheme, (row.secret or "").encode())
    except ValueError as error:
        yield f"secret: {error}"


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
        trace=trace.accept(parents, states, trace_id()),
        idempotency_key=f"webhook\n{name}\n{mark}",  # no caller's key has a line break
    )
