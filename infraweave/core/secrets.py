"""Secrets in requests, ``{secret.NAME}``: where they may go, and how answers are freed of them. Pure."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

from attrs import field, frozen

from infraweave.core.codec import dump_ascii, dumps
from infraweave.core.values import Json

#: The first name of a place that stands for a secret; no parameter of a request may have it.
SECRET = "secret"  # noqa: S105 - a word
NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
#: Shorter ones could not be told from what stands in answers anyway.
LEAST = 8
_HIDDEN = "[redacted]"


@frozen
class Given:
    """The secrets that one request may use, by name; and the origins, all of which every one may go to."""

    values: Mapping[str, str] = field(factory=dict, repr=False)
    origins: frozenset[str] = frozenset()


def origin(scheme: str, host: str, port: int | None) -> str:
    """Return the one spelling of where a request goes: ``https://api.test:443``."""
    host = host.lower()
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or (443 if scheme == 'https' else 80)}"


class Hidden:
    """Takes secrets out of what is kept and shown, in each form in which answers repeat them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        # A longer one may hold a shorter one.
        self._forms = sorted(forms, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return a text without them."""
        for form in self._forms:
            text = text.replace(form, _HIDDEN)
        return text

    def value(self, value: Json) -> Json:
        """Return a JSON value in whose texts and keys they are not."""
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self.value(item) for key, item in value.items()}
        return [self.value(item) for item in value] if isinstance(value, list) else value


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it is, and as JSON, urls, forms, HTML and base64 spell it."""
    yield secret
    for spelled in (dumps(secret).decode()[1:-1], dump_ascii(secret).decode()[1:-1]):
        yield spelled
        yield spelled.replace("/", "\\/")
    for encoded in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield encoded
        yield re.sub("%..", lambda found: found[0].lower(), encoded)
    yield html.escape(secret)
    yield base64.b64encode(secret.encode()).decode().rstrip("=")
