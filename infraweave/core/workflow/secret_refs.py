"""Secrets in requests, ``{secret.NAME}``: where they may be sent, and their removal from responses. Pure."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

from attrs import field

from infraweave.core.data.json_codec import dump_ascii, dumps
from infraweave.core.data.values import Json
from infraweave.core.records import frozen

#: The first name of a secret placeholder; no parameter of a request may have it.
SECRET = "secret"  # noqa: S105 - a word
NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
#: Shorter secrets could be mistaken for other text in responses.
MIN_SECRET_LENGTH = 8
_HIDDEN = "[redacted]"
#: The longest secret that is searched for in every combination of escapes.
_LONGEST = 1_024
#: The first characters of escapes; the translation to the second alphabet of base64.
_ESCAPES, _URL_SAFE = ("\\", "%", "&", "+"), str.maketrans("+/", "-_")


@frozen
class SecretValues:
    """The secrets of one request by name, and the origins to which all of them may be sent."""

    values: Mapping[str, str] = field(factory=dict, repr=False)
    origins: frozenset[str] = frozenset()


def format_origin(scheme: str, host: str, port: int | None) -> str:
    """Return an origin in its canonical form: ``https://api.test:443``."""
    host = host.lower()
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or (443 if scheme == 'https' else 80)}"


class SecretRedactor:
    """Removes secrets from stored and shown values, in every form that responses may repeat."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # A longer secret may contain a shorter one.
        by_length = sorted(set(secrets), key=len, reverse=True)
        forms = {form for secret in by_length for form in _forms(secret)}
        self._forms = sorted(forms, key=len, reverse=True)
        self._spellings = [re.compile(_spelling(secret)) for secret in by_length if len(secret) <= _LONGEST]

    def text(self, text: str) -> str:
        """Return a text without the secrets."""
        for form in self._forms:
            text = text.replace(form, _HIDDEN)
        if any(sign in text for sign in _ESCAPES):
            for spelling in self._spellings:
                text = spelling.sub(_HIDDEN, text)
        return text

    def value(self, value: Json) -> Json:
        """Return a JSON value without the secrets in strings, keys and numbers."""
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return _HIDDEN if self._is_told_by(value) else value

    def _is_told_by(self, value: Json) -> bool:
        """Tell whether a number is a secret that consists of digits."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        spelled = {repr(value)}
        if isinstance(value, float) and value.is_integer():
            spelled.add(str(int(value)))
        return any(self.text(text) != text for text in spelled)


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it is, and as it appears in JSON, urls, forms, HTML and base64."""
    yield secret
    for spelled in (dumps(secret).decode()[1:-1], dump_ascii(secret).decode()[1:-1]):
        yield spelled
        yield spelled.replace("/", "\\/")
    for encoded in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield encoded
        yield re.sub("%..", lambda found: found[0].lower(), encoded)
    yield html.escape(secret)
    yield from _in_base64(secret.encode())


def _in_base64(secret: bytes) -> Iterator[str]:
    """Yield the base64 of a secret at each offset in the encoded data, in both alphabets.

    Characters at its ends that also contain bits of the surrounding data are left out.
    """
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + secret)
        whole = encoded[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6].decode()
        yield whole
        yield whole.translate(_URL_SAFE)


def _spelling(secret: str) -> str:
    """Return a pattern for a secret in which each character may be escaped differently."""
    return "".join(f"(?:{'|'.join(_spellings(character))})" for character in secret)


def _spellings(character: str) -> list[str]:
    """Return patterns for one character, the longest first: in JSON, in urls, in HTML, and as it is.

    Each begins with a literal, so that the engine quickly skips text that cannot match.
    """
    units = character.encode("utf-16-be").hex()
    in_json = "".join("\\\\u" + _digits(units[place : place + 4]) for place in range(0, len(units), 4))
    in_urls = "".join("%" + _digits(f"{byte:02x}") for byte in character.encode())
    in_html = [f"&#0*{ord(character)};", f"&#[xX]0*{_digits(f'{ord(character):x}')};"]
    plain = {html.escape(character), dumps(character).decode()[1:-1], character}
    plain |= {"\\/"} if character == "/" else {"+"} if character == " " else set()
    return [in_json, in_urls, *in_html, *map(re.escape, sorted(plain, key=len, reverse=True))]


def _digits(digits: str) -> str:
    """Return a pattern for hexadecimal digits, in upper or lower case."""
    return "".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in digits)
