"""The web console: its page, the files that the page loads, and the redirect from the root.

They are public, because they contain no data; the page signs in. The page is the response to every path below
/console that is not a file, because the page has its own router. Files are read and compressed once.
"""

from __future__ import annotations

import gzip
import hashlib
import html
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from werkzeug.http import parse_accept_header, parse_etags

from infraweave.api.http.routing import (
    ApiRequest,
    ApiResponse,
    Handler,
    HeaderSpec,
    NoQuery,
    ResponseSpec,
    Route,
)
from infraweave.core.lazy_records import frozen
from infraweave.errors import RouteNotFound

PAGE = "index.html"
#: The placeholder in the page for the mount path and ``/console/``, the base of its links.
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
    """A file, plain and compressed. ``tag`` is derived from its content."""

    media: str
    plain: bytes
    packed: bytes
    tag: str


def packed(media: str, content: bytes) -> File:
    """Return a file with some content."""
    return File(media, content, gzip.compress(content, mtime=0), hashlib.sha256(content).hexdigest()[:32])


@cache
def static_files() -> Mapping[str, File]:
    """Return the files that the page loads, by path below the console's folder, for example ``lib/dom.js``.

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
    """Return the page of the web console, for every path below /console."""
    if request.path.get("path") == _STATIC:
        raise RouteNotFound
    return _response(request, page(request.root))


async def show_file(request: ApiRequest[NoQuery, None]) -> ApiResponse:
    """Return a file that the page loads."""
    found = static_files().get(request.path["path"])
    if found is None:
        raise RouteNotFound
    return _response(request, found)


async def redirect(request: ApiRequest[NoQuery, None]) -> ApiResponse:
    """Redirect browsers to the console."""
    if "text/html" not in request.headers.get("Accept", ""):
        raise RouteNotFound
    return ApiResponse(None, 307, {"Location": "/console"})


def _response(request: ApiRequest[NoQuery, None], file: File) -> ApiResponse:
    accepted = parse_accept_header(",".join(request.headers.getlist("Accept-Encoding")))
    compressed = accepted.quality("gzip") > 0
    tag = f"{file.tag}-gzip" if compressed else file.tag
    headers = {
        "ETag": f'"{tag}"',
        "Vary": "Accept-Encoding",
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY,
    }
    # A proxy may have turned the tag into a weak one.
    if parse_etags(",".join(request.headers.getlist("If-None-Match"))).contains_weak(tag):
        return ApiResponse(None, 304, headers)
    if compressed:
        return ApiResponse(file.packed, 200, {**headers, "Content-Encoding": "gzip"}, file.media)
    return ApiResponse(file.plain, 200, headers, file.media)


# --- routes ------------------------------------------------------------------------------------------------

_HEADERS = (
    HeaderSpec(name="ETag", doc="The tag of the content."),
    HeaderSpec(name="Vary", doc="Accept-Encoding."),
    HeaderSpec(name="Content-Encoding", doc="gzip, if the request accepts it."),
)
_UNCHANGED = ResponseSpec(doc="The browser has this content (If-None-Match).", headers=_HEADERS)
_TAKES = (HeaderSpec(name="If-None-Match", doc="The ETag of the content that the browser has."),)


def console_routes() -> list[Route]:
    """Return the routes of the console."""
    root = ResponseSpec(
        doc="A redirect to the console.",
        headers=(HeaderSpec(name="Location", doc="The path of the console."),),
    )
    return [
        _route("console", "/console", show_page, "The web console", ("html",)),
        _route(
            "console_static",
            "/console/static/{path}",
            show_file,
            "A file of the web console",
            ("css", "js", "svg"),
        ),
        _route(
            "console_page",
            "/console/{path}",
            show_page,
            "The page of the web console, at any path",
            ("html",),
        ),
        Route(
            name="root",
            method="GET",
            path="/",
            handler=redirect,
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
