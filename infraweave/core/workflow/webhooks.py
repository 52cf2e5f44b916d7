"""Verifies webhook deliveries, and renders the input of their runs. Pure: callers pass secret and time."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import assert_never

from infraweave.core.data import template
from infraweave.core.data.values import Json
from infraweave.core.records import frozen
from infraweave.core.workflow.triggers import (
    DELIVERY_HEADER,
    DELIVERY_VALUES,
    SCHEMES,
    SIGNATURE_HEADER,
    Scheme,
    Webhook,
)
from infraweave.errors import Fault

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_UNIX_SECONDS = re.compile(r"[0-9]{1,12}")
#: The prefix of generated secrets and of Standard Webhooks.
SECRET_PREFIX = "whsec_"  # noqa: S105 - no secret itself
#: Bytes; Standard Webhooks asks senders for 24 to 64.
_SHORTEST_KEY = 16
#: A day; a longer tolerance does not protect against replays.
_LONGEST_TOLERANCE = 86_400
#: The most signatures that are checked: senders give two while they rotate the secret.
_MOST_SIGNATURES = 4
#: Headers that are not available to inputs.
_PRIVATE = frozenset({"authorization", "cookie", "proxy-authorization"})


def faults(webhook: Webhook) -> Iterator[Fault]:
    """Yield the faults of a webhook; paths lead into the webhook."""
    if not _NAME.fullmatch(webhook.name):
        message = f"name {webhook.name!r:.140} must be 1 to 128 letters, digits, . _ or -"
        yield Fault("/name", "format", message)
    if webhook.secret_env is not None and not _VARIABLE.fullmatch(webhook.secret_env):
        message = f"secret_env {webhook.secret_env!r:.140} is not a valid name of an environment variable"
        yield Fault("/secret_env", "format", message)
    for option in ("signature_header", "timestamp_header"):
        header = getattr(webhook, option)
        if header is not None and not _HEADER.fullmatch(header):
            yield Fault(f"/{option}", "format", f"{option} {header!r:.140} is not a valid header name")
    yield from _scheme_faults(webhook)
    if not 1 <= webhook.tolerance <= _LONGEST_TOLERANCE:
        message = f"tolerance is {webhook.tolerance} s; expected one second to a day"
        yield Fault("/tolerance", "range", message)
    yield from (fault.within("/delivery") for fault in _delivery_faults(webhook.delivery))
    found = template.json_faults(webhook.input, DELIVERY_VALUES)
    yield from (fault.within("/input", "input: ") for fault in found)


def _scheme_faults(webhook: Webhook) -> Iterator[Fault]:
    if webhook.scheme not in SCHEMES:
        yield Fault("/scheme", "value", f"scheme is {webhook.scheme!r:.60}; expected {', '.join(SCHEMES)}")
    elif webhook.scheme == "standard":
        if webhook.signature_header != SIGNATURE_HEADER or webhook.timestamp_header is not None:
            option = "signature_header" if webhook.timestamp_header is None else "timestamp_header"
            rest = "goes with the schemes hex and base64; the scheme standard has its own headers"
            yield Fault(f"/{option}", "conflict", f"{option} {rest}")
    elif webhook.scheme == "base64" and _share_a_header(webhook):
        message = "timestamp_header is the same as signature_header, which only the scheme hex allows"
        yield Fault("/timestamp_header", "conflict", message)


def _delivery_faults(delivery: str) -> Iterator[Fault]:
    if "{" in delivery:
        found = template.faults(delivery, ("body", "headers"))
        yield from (fault.within("", "delivery: ") for fault in found)
    elif not _HEADER.fullmatch(delivery):
        expected = "expected the name of a header, or a template such as {body.id}"
        yield Fault("", "format", f"delivery is {delivery!r:.140}; {expected}")


def _share_a_header(webhook: Webhook) -> bool:
    return (webhook.timestamp_header or "").lower() == webhook.signature_header.lower()


# --- signatures --------------------------------------------------------------------------------------------


def sign(secret: bytes, body: bytes, timestamp: str | None = None) -> str:
    """Return the signature of a delivery, hexadecimal."""
    return _mac(secret, _timed(body, timestamp)).hex()


def sign_standard(key: bytes, body: bytes, message_id: str, timestamp: str) -> str:
    """Return the Standard Webhooks signature of a delivery; ``key`` comes from ``signing_key``."""
    return b64encode(_mac(key, _identified(body, message_id, timestamp))).decode()


def _mac(key: bytes, signed: bytes) -> bytes:
    return hmac.new(key, signed, hashlib.sha256).digest()


def _timed(body: bytes, timestamp: str | None) -> bytes:
    return body if timestamp is None else timestamp.encode() + b"." + body


def _identified(body: bytes, message_id: str, timestamp: str) -> bytes:
    return b".".join((message_id.encode(), timestamp.encode(), body))


def signing_key(scheme: Scheme, secret: bytes) -> bytes:
    """Return the signing key of a secret.

    Raises:
        ValueError: the secret is not valid; the message says what is expected.
    """
    if scheme != "standard":
        return secret
    try:
        key = b64decode(secret.removeprefix(SECRET_PREFIX.encode()), validate=True)
    except ValueError:
        key = b""
    if len(key) < _SHORTEST_KEY:
        raise ValueError(f"expected {SECRET_PREFIX} and at least {_SHORTEST_KEY} bytes in base64")
    return key


@frozen
class _Claim:
    """The signed bytes of a delivery, the time of signing (None: not given), and the signatures."""

    signed: bytes
    timestamp: str | None
    signatures: list[str]


def is_authentic(webhook: Webhook, key: bytes, headers: Mapping[str, str], body: bytes, now: int) -> bool:
    """Tell whether a delivery was signed with the key, and recently if the time is signed.

    ``headers`` have lower-case names; ``now`` is in milliseconds.
    """
    claim = _claim(webhook, headers, body)
    mac = _mac(key, claim.signed)
    expected = mac.hex().encode() if webhook.scheme == "hex" else b64encode(mac)
    fits = [hmac.compare_digest(expected, signature.encode()) for signature in claim.signatures]
    is_timely = claim.timestamp is None or _is_recent(claim.timestamp, now, webhook.tolerance)
    return any(fits) and is_timely


def rejection_reason(webhook: Webhook, headers: Mapping[str, str]) -> str:
    """Return why a delivery is rejected, for the log of the server; the sender does not see it."""
    names = effective_headers(webhook)
    wanted = (names["signature_header"], names["timestamp_header"])
    missing = [name for name in wanted if name is not None and name.lower() not in headers]
    if missing and _prefix(headers) == "webhook":
        return f"it has no header {' and no '.join(missing)}"
    return "its signature or its time of signing does not fit"


def _claim(webhook: Webhook, headers: Mapping[str, str], body: bytes) -> _Claim:
    match webhook.scheme:
        case "hex":
            timestamp, signatures = _hex_claims(webhook, headers)
        case "base64":
            timestamp = _header(headers, webhook.timestamp_header)
            signatures = [_header(headers, webhook.signature_header) or ""]
        case "standard":
            return _standard_claim(headers, body)
        case _:
            assert_never(webhook.scheme)
    return _Claim(_timed(body, timestamp), timestamp, signatures)


def _standard_claim(headers: Mapping[str, str], body: bytes) -> _Claim:
    prefix = _prefix(headers)
    message_id, timestamp, given = (
        headers.get(f"{prefix}-{name}", "") for name in ("id", "timestamp", "signature")
    )
    pairs = [part.partition(",") for part in given.split(maxsplit=_MOST_SIGNATURES)[:_MOST_SIGNATURES]]
    signatures = [value for version, _, value in pairs if version == "v1" and message_id]
    return _Claim(_identified(body, message_id, timestamp), timestamp, signatures)


def _prefix(headers: Mapping[str, str]) -> str:
    """Return the prefix of the Standard Webhooks headers: some senders use the name of their service."""
    return "svix" if "svix-signature" in headers and "webhook-signature" not in headers else "webhook"


def _header(headers: Mapping[str, str], name: str | None) -> str | None:
    """Return a header, empty if it is absent; None if there is no name."""
    return None if name is None else headers.get(name.lower(), "").strip()


def _hex_claims(webhook: Webhook, headers: Mapping[str, str]) -> tuple[str | None, list[str]]:
    """Return the time of signing, empty if it is absent, and the signatures."""
    given = headers.get(webhook.signature_header.lower(), "")
    pairs = [part.strip().partition("=") for part in given.split(",")[: 2 * _MOST_SIGNATURES]]
    timestamp, wanted = _header(headers, webhook.timestamp_header), "sha256"
    if _share_a_header(webhook):
        timestamp, wanted = next((value for key, _, value in pairs if key == "t"), ""), "v1"
    named = [value if equals else key for key, equals, value in pairs if not equals or key == wanted]
    return timestamp, [value.lower() for value in named[:_MOST_SIGNATURES]]


def _is_recent(timestamp: str, now: int, tolerance: float) -> bool:
    if not _UNIX_SECONDS.fullmatch(timestamp):
        return False
    return abs(now / 1000 - int(timestamp)) <= tolerance


def effective_headers(webhook: Webhook) -> dict[str, str | None]:
    """Return the headers of the signature and the time of a delivery, and the source of its id."""
    own = webhook.scheme == "standard"
    is_named = webhook.delivery != DELIVERY_HEADER
    return {
        "signature_header": "webhook-signature" if own else webhook.signature_header,
        "timestamp_header": "webhook-timestamp" if own else webhook.timestamp_header,
        "delivery": "webhook-id" if own and not is_named else webhook.delivery,
    }


# --- deliveries --------------------------------------------------------------------------------------------


def delivery_id(webhook: Webhook, headers: Mapping[str, str], body: Json, raw: bytes) -> str:
    """Return the id of a delivery from the webhook's source for it, or else the digest of the body."""
    if "{" in webhook.delivery:
        named = _filled(webhook.delivery, {"body": body, "headers": dict(headers)})
    elif webhook.scheme == "standard" and webhook.delivery == DELIVERY_HEADER:
        named = headers.get(f"{_prefix(headers)}-id", "")
    else:
        named = headers.get(webhook.delivery.lower(), "")
    return named or f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _filled(text: str, known: Mapping[str, Json]) -> str:
    """Return the text of a template; empty if a placeholder has no value, or null."""
    try:
        return template.render(text, known, _something)
    except template.TemplateError:
        return ""


def _something(value: Json) -> str:
    if value is None:
        raise template.TemplateError
    return template.to_text(value)


def fingerprint(webhook: Webhook, headers: Mapping[str, str], body: bytes) -> str | None:
    """Return what identifies a signed delivery if its time is signed but its id is not; otherwise None.

    Anybody who has such a delivery could send it again under another id while it is recent. A signed id needs
    no fingerprint. Without a signed time, a delivery could be sent again at any time.
    """
    if _is_signed(webhook):
        return None
    claim = _claim(webhook, headers, body)
    return None if claim.timestamp is None else hashlib.sha256(claim.signed).hexdigest()


def _is_signed(webhook: Webhook) -> bool:
    if "{" in webhook.delivery:
        return "{headers" not in webhook.delivery
    return webhook.scheme == "standard" and webhook.delivery == DELIVERY_HEADER


def template_values(headers: Mapping[str, str], body: Json, delivery: str) -> dict[str, Json]:
    """Return the values for the placeholders of a webhook's input."""
    shown = {name: value for name, value in headers.items() if name not in _PRIVATE}
    return {"body": body, "headers": shown, "delivery_id": delivery}
