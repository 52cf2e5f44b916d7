"""The request of an http node: checks it, and fills its placeholders. Pure.

Values can never change where a request goes, unless the author lets the url begin with a placeholder: in the
url placeholders are percent-encoded, and headers take no line breaks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from attrs import evolve

from infraweave.core.data import template
from infraweave.core.data.json_codec import dumps
from infraweave.core.data.media_types import is_json
from infraweave.core.data.sizes import TooLarge
from infraweave.core.data.values import Json, is_pointer, resolve_pointer
from infraweave.core.records import frozen
from infraweave.core.workflow.document import Request
from infraweave.core.workflow.secret_refs import NAME, SECRET, SecretValues
from infraweave.errors import Fault

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MAX_REDIRECTS = 10
#: The largest response that a request may ask for, in bytes: outputs are kept in the database.
MAX_BYTES = 16 * 2**20
MAX_URL = 8_000
#: The most characters of all headers that a request sets, and of a form body.
MAX_HEADERS, MAX_FORM = 65_536, 2**20
_MAX_DEPTH = 64
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNFIT = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_SPACE = re.compile(r"[\x00-\x20\x7f]")
#: Headers that the url, the body and the connection determine.
_OURS = re.compile(
    "host|content-length|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect"
    "|proxy-authorization|proxy-connection|accept-encoding"
)
#: The part of a url with its host, or with the placeholder that yields the host.
_HOST = re.compile(r"^(?:\{[^{}]*\}|\w+://)?[^/?#]*")
#: The parts of a response.
_PARTS = ("status", "headers", "body")
_FORM = "application/x-www-form-urlencoded"


class InvalidRequest(ValueError):
    """No request can be made with these values."""

    code = "input_mismatch"


class RequestTooLarge(InvalidRequest):
    """The request would be too large with these values."""

    code = "request_too_large"


@frozen(kw_only=True)
class RenderedRequest:
    """A request with its placeholders filled."""

    method: str
    url: str
    #: Names in lower case.
    headers: Mapping[str, str]
    body: bytes | None
    #: The origins that it may be sent to; None: any, because it contains no secret.
    origins: frozenset[str] | None = None
    #: Which headers contain secrets, and whether the body and the host do.
    secret_headers: frozenset[str] = frozenset()
    secret_body: bool = False
    secret_host: bool = False


def request_faults(request: Request, names: Collection[str]) -> Iterator[Fault]:
    """Yield the faults of a request that may use ``names``; paths lead into the request."""
    names = {*names, SECRET}
    for path in _paths_in(request.url, request.headers, request.query, request.body):
        head, _, name = path.partition(".")
        if head == SECRET and not NAME.fullmatch(name):
            message = (
                f"{{{path[:100]}}} is not a secret; expected {{secret.NAME}}, the name in capital letters"
            )
            yield Fault("", "unknown_name", message)
    if request.method not in METHODS:
        message = f"method is {request.method!r:.40}; expected one of {', '.join(METHODS)}"
        yield Fault("/method", "value", message)
    yield from (fault.within("/url") for fault in _url_faults(request.url, names))
    yield from (fault.within("/headers") for fault in _header_faults(request.headers, names))
    for name, value in request.query.items():
        yield from (fault.within("/query", f"query {name!r:.100}: ") for fault in _value_faults(value, names))
    yield from (fault.within("/body", "body: ") for fault in _value_faults(request.body, names))
    if request.body is not None and request.method in ("GET", "HEAD"):
        yield Fault("/body", "conflict", f"a {request.method} request has no body")
    yield from _response_faults(request)


def _response_faults(request: Request) -> Iterator[Fault]:
    yield from (fault.within("/output") for fault in _output_faults(request.output))
    for status in request.accept:
        if not 200 <= status <= 599:
            yield Fault("/accept", "range", f"accept has {status}; expected statuses from 200 to 599")
    if not 0 <= request.follow_redirects <= MAX_REDIRECTS:
        message = f"follow_redirects is {request.follow_redirects}; expected 0 to {MAX_REDIRECTS}"
        yield Fault("/follow_redirects", "range", message)
    if not 1 <= request.max_bytes <= MAX_BYTES:
        yield Fault("/max_bytes", "range", f"max_bytes is {request.max_bytes}; expected 1 to {MAX_BYTES:,}")


def _output_faults(output: Json) -> Iterator[Fault]:
    if not isinstance(output, str):
        yield from (fault.within("", "output: ") for fault in _value_faults(output, _PARTS))
    elif not is_pointer(output):
        bad = list(template.faults(output, _PARTS))
        yield from (fault.within("", "output: ") for fault in bad)
        if not bad and not any(template.placeholders(output)):
            expected = "expected a JSON Pointer such as /body/id, or a template: {body.id}"
            yield Fault("", "format", f"output is {output!r:.100}; {expected}")
    elif output and output.split("/")[1] not in _PARTS:
        message = f"output {output!r:.100} leads nowhere; there are /status, /headers and /body"
        yield Fault("", "format", message)


def _url_faults(url: str, names: Collection[str]) -> Iterator[Fault]:
    bad = list(template.faults(url, names))
    yield from (fault.within("", "url: ") for fault in bad)
    if len(url) > MAX_URL:
        yield Fault("", "length", f"url has more than {MAX_URL:,} characters")
    elif not bad and not url.startswith("{"):
        wrong = _wrong_with(re.sub(r"\{\{|\}\}|\{[^{}]*\}", "0", url))
        if wrong:
            yield Fault("", "format", f"url: {wrong}")


def _wrong_with(url: str) -> str | None:
    """Return why a url without placeholders cannot be used, in words that do not repeat it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"it cannot be read: {error}"
    if _SPACE.search(url):
        return "it has spaces or control characters"
    if parts.scheme not in ("http", "https"):
        return f"its scheme is {parts.scheme or 'missing'}; expected http:// or https://"
    if not host or "\\" in parts.netloc:
        return "it names no host"
    if "%" in host:
        return "it names no host: a placeholder in the host takes letters, digits, . and -"
    if "@" in parts.netloc:
        return "it has credentials; send them in an Authorization header"
    return None


def _header_faults(headers: Mapping[str, str], names: Collection[str]) -> Iterator[Fault]:
    times = Counter(name.lower() for name in headers)
    for name, text in headers.items():
        if not _TOKEN.fullmatch(name):
            yield Fault("", "format", f"header {name!r:.100} is not a valid header name")
        elif _OURS.fullmatch(name.lower()):
            message = f"header {name}: it cannot be set; it follows from the request"
            yield Fault("", "reserved", message)
        elif times[name.lower()] > 1:
            yield Fault("", "duplicate", f"header {name}: it is set several times")
        label = f"header {name[:100]}: "
        yield from (fault.within("", label) for fault in template.faults(text, names))
        if _UNFIT.search(text):
            yield Fault("", "format", f"{label}its value has characters that headers cannot have")


def _value_faults(value: Json, names: Collection[str]) -> Iterator[Fault]:
    level, depth = [value], 0
    while level:
        for text in (item for item in level if isinstance(item, str)):
            yield from template.faults(text, names)
        depth += 1
        if depth > _MAX_DEPTH:
            yield Fault("", "too_deep", f"it is nested deeper than {_MAX_DEPTH} levels")
            return
        level = [child for item in level for child in _children(item)]


def _children(value: Json) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


def parameter_names(request: Request) -> Iterator[str]:
    """Yield the parameters that the placeholders of a request use, apart from secrets."""
    for path in _paths_in(request.url, request.headers, request.query, request.body):
        if (name := path.partition(".")[0]) != SECRET:
            yield name


def secret_names(*parts: Json) -> list[str]:
    """Return the names of the secrets that parts of a request use."""
    paths = (path.partition(".") for path in _paths_in(*parts))
    return list(dict.fromkeys(name for head, _, name in paths if head == SECRET))


def _paths_in(*parts: Json) -> Iterator[str]:
    level: list[Any] = list(parts)
    while level:
        for text in (item for item in level if isinstance(item, str)):
            yield from template.placeholders(text)
        level = [child for item in level for child in _children(item)]


# --- filling -----------------------------------------------------------------------------------------------


def render_request(
    request: Request, values: Mapping[str, Json], secrets: SecretValues | None = None
) -> RenderedRequest:
    """Return a request with its placeholders filled.

    Raises:
        InvalidRequest: a placeholder has no value, or its value is not allowed there.
        RequestTooLarge: a part of the request would be too large.
    """
    values = values if secrets is None else {**values, SECRET: secrets.values}
    try:
        headers = dict(_filled_headers(request, values))
        url = _filled_url(request, values)
        body = None if request.body is None else _encoded(_fill("body", request.body, values), headers)
    except TooLarge as error:
        raise RequestTooLarge(str(error)) from None
    except template.TemplateError as error:
        raise InvalidRequest(str(error)) from None
    for name in (name for name, text in headers.items() if _UNFIT.search(text)):
        raise InvalidRequest(f"the header {name} would have characters that headers cannot have")
    made = RenderedRequest(method=request.method, url=url, headers=headers, body=body)
    return made if secrets is None else _bound(made, request, secrets)


def _bound(made: RenderedRequest, request: Request, secrets: SecretValues) -> RenderedRequest:
    holding = (name.lower() for name, text in request.headers.items() if secret_names(text))
    return evolve(
        made,
        origins=secrets.origins,
        secret_headers=frozenset(holding),
        secret_body=bool(secret_names(request.body)),
        secret_host=bool(secret_names(_HOST.findall(request.url)[0])),
    )


def _filled_url(request: Request, values: Mapping[str, Json]) -> str:
    first = re.match(r"\{[^{}]+\}", request.url)
    try:
        start = template.render(first[0], values, most=MAX_URL) if first else ""
        url = start + template.render(request.url[first.end() if first else 0 :], values, _quoted, MAX_URL)
    except TooLarge:
        raise RequestTooLarge(f"the url would have more than {MAX_URL:,} characters") from None
    query = [
        pair for name, value in request.query.items() for pair in _pairs(name, _fill("query", value, values))
    ]
    if query:
        url, hash_, fragment = url.partition("#")
        url += ("&" if "?" in url else "?") + _form("query", query, MAX_URL) + hash_ + fragment
    if len(url) > MAX_URL:
        raise RequestTooLarge(f"the url would have more than {MAX_URL:,} characters")
    fault = _wrong_with(url)
    if fault:
        # The reason could reveal a part of the secret.
        raise InvalidRequest("the url cannot be used" + ("" if secret_names(request.url) else f": {fault}"))
    return url


def _filled_headers(request: Request, values: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Yield the headers. One that is only a placeholder is left out if its value is null, like queries."""
    left = MAX_HEADERS
    for name, text in request.headers.items():
        path = template.single_placeholder(text)
        if path and template.look_up(path, values) is None:
            continue
        try:
            made = template.render(text, values, most=left)
        except TooLarge:
            raise RequestTooLarge(f"the headers would have more than {MAX_HEADERS:,} characters") from None
        left -= len(made)
        # Surrounding spaces are not part of a header's value, and connections refuse to send them.
        yield name.lower(), made.strip(" \t")


def _quoted(value: Json) -> str:
    if value is None:
        raise template.TemplateError(
            "a placeholder of the url is null, which is only allowed in query, body and headers"
        )
    text = template.to_text(value)
    if len(text) > MAX_URL:  # quoting it would take seconds
        raise template.TemplateTooLarge
    if text in (".", ".."):
        raise template.TemplateError("a placeholder of the url may not be . or ..")
    return quote(text, safe="")


def _pairs(name: str, value: Json) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        yield from ((name, template.to_text(item)) for item in value)
    elif value is not None:
        yield name, template.to_text(value)


def _fill(what: str, value: Json, values: Mapping[str, Json]) -> Json:
    try:
        return template.render_json(value, values)
    except TooLarge as error:
        raise RequestTooLarge(f"the {what} is too large: {error}") from None


def _form(what: str, pairs: list[tuple[str, str]], most: int) -> str:
    """Return pairs as forms and queries encode them. Long ones are refused first: quoting takes seconds."""
    if sum(len(name) + len(text) + 2 for name, text in pairs) > most:
        raise RequestTooLarge(f"the {what} would have more than {most:,} characters")
    return urlencode(pairs)


def _encoded(body: Json, headers: dict[str, str]) -> bytes:
    """Return the body, encoded as its Content-Type says; without a Content-Type it is JSON."""
    kind = headers.setdefault("content-type", "application/json").partition(";")[0].strip().lower()
    if kind == _FORM and isinstance(body, dict):
        pairs = [pair for name, value in body.items() for pair in _pairs(name, value)]
        return _form("form", pairs, MAX_FORM).encode()
    if isinstance(body, str) and not is_json(kind):
        return body.encode()
    return dumps(body)


def extract_output(request: Request, status: int, headers: Mapping[str, str], body: Json) -> Json:
    """Return the output of the node for a response.

    Raises:
        LookupError, TemplateError: the pointer, or a placeholder, has no value in the response.
    """
    answer = dict(zip(_PARTS, (status, headers, body), strict=True))
    is_path = isinstance(request.output, str) and is_pointer(request.output)
    return (
        resolve_pointer(answer, request.output) if is_path else template.render_json(request.output, answer)
    )
