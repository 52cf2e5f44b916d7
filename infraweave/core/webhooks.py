"""What a delivery must look like to pass, and what it starts. Pure; the secret and the time are handed in."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping

from infraweave.core import template
from infraweave.core.mapping import mapping_faults
from infraweave.core.triggers import DELIVERY_VALUES, Webhook
from infraweave.core.values import Json

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_UNIX_SECONDS = re.compile(r"[0-9]{1,12}")
#: A day; a longer tolerance protects from nothing.
_LONGEST_TOLERANCE = 86_400
#: Signatures of one delivery that are looked at: senders give two while they change the secret.
_MOST_SIGNATURES = 4
#: Headers that no input may take over.
_PRIVATE = frozenset({"authorization", "cookie", "proxy-authorization"})


def faults(webhook: Webhook) -> Iterator[str]:
    """Yield what is wrong with a webhook."""
    if not _NAME.fullmatch(webhook.name):
        yield f"name {webhook.name!r:.140} must be 1 to 128 letters, digits, . _ or -"
    if webhook.secret_env is not None and not _VARIABLE.fullmatch(webhook.secret_env):
        yield f"secret_env {webhook.secret_env!r:.140} is no name of an environment variable"
    for option in ("signature_header", "timestamp_header"):
        header = getattr(webhook, option)
        if header is not None and not _HEADER.fullmatch(header):
            yield f"{option} {header!r:.140} is no name of a header"
    if not 1 <= webhook.tolerance <= _LONGEST_TOLERANCE:
        yield f"tolerance is {webhook.tolerance} s; expected one second to a day"
    if "{" in webhook.delivery:
        yield from (f"delivery: {fault}" for fault in template.faults(webhook.delivery, ("body", "headers")))
    elif not _HEADER.fullmatch(webhook.delivery):
        yield f"delivery {webhook.delivery!r:.140} is no header's name and no template such as {{body.id}}"
    yield from (f"input: {fault}" for fault in mapping_faults(webhook.input, DELIVERY_VALUES))


# --- signatures --------------------------------------------------------------------------------------------


def sign(secret: bytes, body: bytes, timestamp: str | None = None) -> str:
    """Return the signature of a delivery, hexadecimal."""
    signed = body if timestamp is None else timestamp.encode() + b"." + body
    return hmac.new(secret, signed, hashlib.sha256).hexdigest()


def is_genuine(webhook: Webhook, secret: bytes, headers: Mapping[str, str], body: bytes, now: int) -> bool:
    """Tell whether a delivery was signed with the secret, and lately where the webhook asks for the time.

    ``headers`` have their names in small letters; ``now`` is in milliseconds.
    """
    given = headers.get(webhook.signature_header.lower(), "")
    timestamp, signatures = _claims(webhook, given, headers)
    is_timed = webhook.timestamp_header is not None
    expected = sign(secret, body, timestamp if is_timed else None)
    fits = [hmac.compare_digest(expected.encode(), signature.encode()) for signature in signatures]
    return any(fits) and (not is_timed or _is_recent(timestamp, now, webhook.tolerance))


def _claims(webhook: Webhook, given: str, headers: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the time of signing, empty where there is none, and the signatures."""
    pairs = [part.strip().partition("=") for part in given.split(",")[: 2 * _MOST_SIGNATURES]]
    if webhook.timestamp_header is None:
        timestamp, wanted = "", "sha256"
    elif webhook.timestamp_header.lower() == webhook.signature_header.lower():
        timestamp, wanted = next((value for key, _, value in pairs if key == "t"), ""), "v1"
    else:
        timestamp, wanted = headers.get(webhook.timestamp_header.lower(), "").strip(), "sha256"
    named = [value if equals else key for key, equals, value in pairs if not equals or key == wanted]
    return timestamp, [value.lower() for value in named[:_MOST_SIGNATURES]]


def _is_recent(timestamp: str, now: int, tolerance: float) -> bool:
    if not _UNIX_SECONDS.fullmatch(timestamp):
        return False
    return abs(now / 1000 - int(timestamp)) <= tolerance


# --- what it starts ----------------------------------------------------------------------------------------


def delivery_id(webhook: Webhook, headers: Mapping[str, str], body: Json, raw: bytes) -> str:
    """Return what tells this delivery from others: as the webhook says, else the digest of its body."""
    if "{" in webhook.delivery:
        named = _filled(webhook.delivery, {"body": body, "headers": dict(headers)})
    else:
        named = headers.get(webhook.delivery.lower(), "")
    return named or f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _filled(text: str, known: Mapping[str, Json]) -> str:
    """Return a template's text; empty where it names nothing that is there, or null."""
    try:
        return "" if template.value_of(text, known) is None else template.render(text, known)
    except template.TemplateError:
        return ""


def values(headers: Mapping[str, str], body: Json, delivery: str) -> dict[str, Json]:
    """Return what the places of a webhook's input may name."""
    shown = {name: value for name, value in headers.items() if name not in _PRIVATE}
    return {"body": body, "headers": shown, "delivery_id": delivery}
