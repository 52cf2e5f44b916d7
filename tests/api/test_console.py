"""The console's files, as a browser gets them."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

import infraweave
from infraweave.api.service.console_files import MEDIA, PAGE, POLICY, static_files
from tests.api.conftest import told
from tests.api.test_mounted import mounted

CONSOLE = Path(infraweave.__file__).parent / "console"
#: Each file by its path below the console's folder.
FILES = {
    file.relative_to(CONSOLE).as_posix(): file.read_bytes()
    for file in sorted(CONSOLE.rglob("*"))
    if file.is_file()
}
#: Bytes of all files together, compressed.
MOST = 150 * 1024


@pytest.fixture
async def browser(api):
    """A client without a token."""
    return await api.with_headers({"Accept-Encoding": "identity"})


@pytest.mark.parametrize(
    "path", ["/console", "/console/", "/console/runs/run_1", "/console/runs?status=failed"]
)
async def test_the_page_is_served_at_every_path_that_names_no_file(browser, path):
    answer = await browser.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert '<base href="/console/">' in answer.text
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("path", sorted(FILES.keys() - {PAGE}))
async def test_every_file_is_served_with_its_media_type(browser, path):
    answer = await browser.get(f"/console/static/{path}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, MEDIA[path.rpartition(".")[2]])
    assert answer.content == FILES[path]
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert answer.headers["Cache-Control"] == "no-cache"


def test_the_page_loads_only_files_that_are_served():
    loaded = re.findall(r'(?:src|href)="static/([^"]+)"', FILES[PAGE].decode())
    assert {"app.js", "style.css"} <= set(loaded) <= static_files().keys()


async def test_a_file_that_the_browser_has_is_not_sent_again(browser):
    first = await browser.get("/console/static/style.css")
    tag = first.headers["ETag"]
    assert not tag.startswith("W/")
    again = await browser.get("/console/static/style.css", headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert (await browser.get("/console/static/style.css", headers={"If-None-Match": '"x"'})).content


async def test_files_are_compressed_when_accepted_and_have_an_etag_of_their_own(browser):
    plain = await browser.get("/console")
    packed = await browser.get("/console", headers={"Accept-Encoding": "br, gzip;q=0.5"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.text == plain.text
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert "Accept-Encoding" in packed.headers["Vary"]
    refused = await browser.get("/console", headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in refused.headers


async def test_a_head_request_gets_the_headers_alone(browser):
    answer = await browser.http.head("/console/static/app.js")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    "name",
    [
        "",
        "none.js",
        "index.html",
        "a/app.js",
        "lib",
        "lib/",
        "lib/none.js",
        "lib//dom.js",
        "/app.js",
        "lib%5cdom.js",
        "lib/%2e%2e/app.js",
        "../errors.py",
        "..%2ferrors.py",
        "%2e%2e/%2e%2e/errors.py",
        "lib/..%2f..%2ferrors.py",
    ],
)
async def test_other_paths_below_static_are_not_found(browser, name):
    answer = await browser.get(f"/console/static/{name}")
    if answer.status_code != 200:
        assert told(answer) == (404, "route_not_found")
    else:  # the client itself went up from there
        assert str(answer.url).endswith("/console/errors.py")
        assert "<base" in answer.text


async def test_browsers_are_redirected_from_the_root_and_programs_are_not(browser):
    redirect = await browser.get("/", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (redirect.status_code, redirect.headers["Location"]) == (307, "/console")
    assert told(await browser.get("/")) == (404, "route_not_found")


async def test_a_mounted_app_loads_the_page_from_its_own_path(db):
    async with mounted(db, "/flows") as http:
        answer = await http.get("/flows/console/runs")
        assert '<base href="/flows/console/">' in answer.text
        assert "static/app.js" in answer.text
        assert (await http.get("/flows/console/static/app.js")).status_code == 200
        redirect = await http.get("/flows/", headers={"Accept": "text/html"})
        assert redirect.headers["Location"] == "/flows/console"


def test_the_console_is_small():
    sizes = {path: len(gzip.compress(content)) for path, content in FILES.items()}
    print(f"console: {sum(sizes.values())} bytes compressed")
    assert sum(sizes.values()) < MOST, sizes
