"""The web console's files, as browsers get them: the page, what it loads, and the way there from the root.

Public, for they hold nothing of anybody: the page signs in by itself. It is the answer to every path below
/console that names no file, since it routes by the browser's history. Files are read and compressed once.
"""

from __future__ import annotations

import gzip
import hashlib
import html
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from attrs import frozen

from infraweave.api.http.routing import (
    ApiRequest,
    ApiResponse,
    Handler,
    HeaderSpec,
    NoQuery,
    ResponseSpec,
    Route,
)
from infraweave.errors import RouteNotFound

PAGE = "index.html"
#: Stands in the page for the mount path and ``/console/``, against which it loads the rest.
BASE = b"{{base}}"
#: The media type of each kind of file; files of other kinds are not served.
MEDIA: Mapping[str, str] = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)
_STATIC = "static"


@frozen
class File:
    """One file as it is sent, plain and compressed; ``tag`` is of its content."""

    media: str
    plain: bytes
    packed: bytes
    tag: str


def packed(media: str, content: bytes) -> File:
    """Return a file with this content."""
    return File(media, content, gzip.compress(content, mtime=0), hashlib.sha256(content).hexdigest()[:32])


@cache
def static_files() -> Mapping[str, File]:
    """Return the files that the page loads, by their path below the console's folder, such as ``lib/dom.js``.

    Only what is listed here is served, so no request can reach outside the folder.
    """
    return {
        path: packed(media, item.read_bytes())
        for path, item in _walk(_folder())
        if path != PAGE and (media := MEDIA.get(path.rpartition(".")[2]))
    }


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    """Yield each file below a folder with its path."""
    for item in folder.iterdir():
        if item.is_dir():
            yield from _walk(item, f"{prefix}{item.name}/")
        else:
            yield f"{prefix}{item.name}", item


@lru_cache(maxsize=16)
def page(root: str) -> File:
    """Return the page of an app that is mounted at ``root`` ("" at the top)."""
    content = _folder().joinpath(PAGE).read_bytes()
    return packed(MEDIA["html"], content.replace(BASE, html.escape(f"{root}/console/").encode()))


def _folder() -> Traversable:
    return files("infraweave").joinpath("console")


async def show_page(request: ApiRequest[NoQuery, None]) -> ApiResponse:
    """Return the page, whatever path below /console it is asked for."""
    if request.path.get("path") == _STATIC:
        raise RouteNotFound
    return _answer(request, page(request.root))


async def show_file(request: ApiRequest[NoQuery, None]) -> ApiResponse:
    """Return a file that the page loads."""
    found = static_files().get(request.path["path"])
    if found is None:
        raise RouteNotFound
    return _answer(request, found)


async def lead_in(request: ApiRequest[NoQuery, None]) -> ApiResponse:
    """Lead a browser that asks for the root to the console."""
    if "text/html" not in request.headers.get("Accept", ""):
        raise RouteNotFound
    return ApiResponse(None, 307, {"Location": "/console"})


def _answer(request: ApiRequest[NoQuery, None], file: File) -> ApiResponse:
    compressed = _takes_gzip(request.headers.getlist("Accept-Encoding"))
    headers = {
        "ETag": f'"{file.tag}-gzip"' if compressed else f'"{file.tag}"',
        "Vary": "Accept-Encoding",
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY,
    }
    if _has_it(request.headers.getlist("If-None-Match"), headers["ETag"]):
        return ApiResponse(None, 304, headers)
    if compressed:
        return ApiResponse(file.packed, 200, {**headers, "Content-Encoding": "gzip"}, file.media)
    return ApiResponse(file.plain, 200, headers, file.media)


def _takes_gzip(accepts: Sequence[str]) -> bool:
    """Tell whether Accept-Encoding names gzip, and not to refuse it."""
    for part in ",".join(accepts).lower().split(","):
        name, _, quality = part.replace(" ", "").partition(";q=")
        if name == "gzip":
            return quality.strip("0.") != "" or quality == ""
    return False


def _has_it(tags: Sequence[str], tag: str) -> bool:
    """Tell whether If-None-Match names the tag; proxies may have made it a weak one."""
    known = {part.strip().removeprefix("W/") for part in ",".join(tags).split(",")}
    return "*" in known or tag in known


# --- the table ---------------------------------------------------------------------------------------------

_HEADERS = (
    HeaderSpec(name="ETag", doc="Names the content as it was sent."),
    HeaderSpec(name="Vary", doc="Accept-Encoding."),
    HeaderSpec(name="Content-Encoding", doc="gzip, where the request takes it."),
)
_UNCHANGED = ResponseSpec(doc="It is what If-None-Match names.", headers=_HEADERS)
_TAKES = (HeaderSpec(name="If-None-Match", doc="The ETag of what the browser has."),)


def console_routes() -> list[Route]:
    """Return the routes of the console."""
    root = ResponseSpec(
        doc="To the console.", headers=(HeaderSpec(name="Location", doc="Where the console is."),)
    )
    return [
        _route("console", "/console", show_page, "The web console", ("html",)),
        _route("console_static", "/console/static/{path}", show_file, "A file of it", ("css", "js", "svg")),
        _route("console_page", "/console/{path}", show_page, "Its page, at every path of it", ("html",)),
        Route(
            name="root",
            method="GET",
            path="/",
            handler=lead_in,
            summary="Lead browsers to the console",
            on="public",
            page=True,
            responses={307: root},
        ),
    ]


def _route(name: str, path: str, handler: Handler, summary: str, kinds: Sequence[str]) -> Route:
    media = tuple((MEDIA[kind].partition(";")[0], None) for kind in kinds)
    return Route(
        name=name,
        method="GET",
        path=path,
        handler=handler,
        summary=summary,
        on="public",
        page=True,
        headers=_TAKES,
        responses={200: ResponseSpec(doc=summary, media=media, headers=_HEADERS), 304: _UNCHANGED},
    )
