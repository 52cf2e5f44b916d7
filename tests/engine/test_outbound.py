"""The outbound guard against the usual tricks: a workflow reaches what is public, and nothing of ours."""

from __future__ import annotations

import asyncio
import socket
import ssl

import httpcore
import pytest
import trustme

from infraweave import Retry, Workflow
from infraweave.core.workflow.http_request import RenderedRequest
from infraweave.engine.execution.http_sender import HttpSender, resolve_host
from infraweave.engine.execution.outbound_policy import OutboundPolicy, OutboundRefused, parse_allowed
from tests.engine.web import answer, serving

PUBLIC = "93.184.216.34"
STEADY = Retry(max_attempts=3, initial=10, jitter=False)


class Wire(httpcore.AsyncNetworkBackend):
    """Notes where connections go, and leads all of them to the test's own server."""

    def __init__(self, port: int) -> None:
        self.port, self.went, self.names = port, [], []
        self._true = httpcore.AnyIOBackend()

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):  # noqa: ASYNC109
        self.went.append(host)
        if host == "203.0.113.1":
            raise httpcore.ConnectError("no route")
        return Plain(self, await self._true.connect_tcp("127.0.0.1", self.port, timeout))


class Plain(httpcore.AsyncNetworkStream):
    """A connection whose TLS is only noted."""

    def __init__(self, wire: Wire, stream: httpcore.AsyncNetworkStream) -> None:
        self._wire, self._stream = wire, stream
        self.read, self.write, self.aclose = stream.read, stream.write, stream.aclose

    async def start_tls(self, ssl_context, server_hostname=None, timeout=None):  # noqa: ASYNC109
        assert ssl_context.check_hostname
        assert ssl_context.verify_mode is ssl.CERT_REQUIRED
        self._wire.names.append(server_hostname)
        return self

    def get_extra_info(self, info):
        return self._stream.get_extra_info(info)


def answers_in_turn(*answers: list[str]):
    left = list(answers)

    async def resolve(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


def call(url: str, **options) -> Workflow:
    flow = Workflow("call", version="v1")
    flow.http("call", url=url, **{"retry": STEADY, **options})
    return flow


async def end_of(world, url: str, *, resolve=resolve_host, wire=None, allow=(), **options) -> dict:
    async with world(call(url, **options), allow_outbound=allow) as w, asyncio.timeout(20):
        await w.engine.builtins.http.close()
        w.engine.builtins.http.sender = HttpSender(OutboundPolicy(allow), resolve=resolve, network=wire)
        return await w.end(await w.start("call"))


INNER = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:a00:1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
    "2002:808:808::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "2606:4700::5efe:127.0.0.1",
]


@pytest.mark.parametrize("address", INNER)
def test_what_only_our_network_can_reach_is_refused(address):
    with pytest.raises(OutboundRefused, match="may not be called"):
        OutboundPolicy().check("name.test", 80, [address])


@pytest.mark.parametrize("address", [PUBLIC, "2606:4700::1", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_what_is_public_is_called(address):
    assert OutboundPolicy().check("name.test", 80, [address]) == [address]


def test_one_inner_address_among_public_ones_is_enough():
    with pytest.raises(OutboundRefused, match=r"name\.test \(10\.0\.0\.1\) is a private address"):
        OutboundPolicy().check("name.test", 443, [PUBLIC, "10.0.0.1"])


@pytest.mark.parametrize(
    ("allowed", "host", "port", "address", "passes"),
    [
        ("db.local", "db.local", 80, "10.0.0.1", True),
        ("db.local", "DB.local.", 80, "10.0.0.1", True),
        ("db.local", "a.db.local", 80, "10.0.0.1", False),
        ("db.local:8080", "db.local", 8080, "10.0.0.1", True),
        ("db.local:8080", "db.local", 80, "10.0.0.1", False),
        ("10.0.0.0/8", "db.local", 80, "10.9.0.1", True),
        ("10.0.0.0/8", "db.local", 80, "::ffff:10.9.0.1", True),
        ("10.0.0.0/8", "db.local", 80, "64:ff9b::a09:1", True),
        ("10.0.0.0/8", "db.local", 80, "127.0.0.1", False),
        ("127.0.0.1", "localhost", 80, "127.0.0.1", True),
        ("127.0.0.1:81", "localhost", 80, "127.0.0.1", False),
        ("::1", "localhost", 80, "::1", True),
        ("[::1]:80", "localhost", 80, "::1", True),
        ("[::1]:80", "localhost", 81, "::1", False),
        ("fd00::/8", "x.test", 80, "fd00:ec2::1", True),
    ],
)
def test_exceptions_are_a_host_a_network_or_one_port_of_them(allowed, host, port, address, passes):
    guard = OutboundPolicy([allowed])
    if passes:
        assert guard.check(host, port, [address])
    else:
        with pytest.raises(OutboundRefused):
            guard.check(host, port, [address])


@pytest.mark.parametrize(
    "text",
    ["", "http://x", "x/y", "x:0", "x:99999", "x:port", "*.x", "a:b:c", "me@x", "10.0.0.0/8:80", "[::1"],
)
def test_what_is_no_exception_is_refused(text):
    with pytest.raises(ValueError, match=r"not a host|no port"):
        parse_allowed(text)


def _spellings() -> list[str]:
    hosts = [
        "localhost",
        "LOCALHOST",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
    ]
    hosts += ["0177.0.0.1", "017700000001", "0", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.1]"]
    hosts += ["[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "169.254.169.254"]
    return [*hosts, "127。0。0。1", "①②⑦.0.0.1", "[fd00:ec2::254]"]


@pytest.mark.parametrize("host", _spellings())
async def test_no_spelling_of_an_inner_address_gets_out(host):
    """The system's own resolver is asked, as in earnest; nothing listens, and nothing may be tried."""
    wire = Wire(9)
    sender = HttpSender(OutboundPolicy(), network=wire)
    with pytest.raises(OutboundRefused):
        await sender.send(
            RenderedRequest(method="GET", url=f"http://{host}/", headers={}, body=None), max_bytes=1
        )
    assert wire.went == []


@pytest.mark.parametrize("host", ["localhost.", "127.0.0.1.", "inner.test."])
async def test_a_dot_at_the_end_changes_nothing(world, host):
    wire = Wire(9)
    end = await end_of(world, f"http://{host}/", resolve=answers_in_turn(["127.0.0.1"]), wire=wire)
    assert end["error"]["code"] == "outbound_refused"
    assert wire.went == []


async def test_a_refusal_is_final_and_says_what_would_allow_it(world):
    async with serving() as web:
        end = await end_of(world, f"http://localhost:{web.port}/")
    assert end["error"]["code"] == "outbound_refused"
    message = end["error"]["message"]
    assert f"`--allow-outbound localhost:{web.port}`" in message
    assert "localhost (127.0.0.1) is a loopback address" in message or "(::1)" in message
    assert end["error"]["attempt"] == 1
    assert web.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://public.test@127.0.0.1/",
        "http://user:pass@public.test/",
        "http://public.test\\@127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_x",
        "ftp://public.test/",
        "//public.test/",
        "/path",
        "http:///path",
        "http://[::1/",
        "http://a b/",
        "http://x.test:99999/",
        "http://%31%32%37.0.0.1/",
        "",
    ],
)
def test_what_is_no_plain_web_address_is_a_fault_when_compiled(url):
    with pytest.raises(Exception, match="call: url"):
        call(url).compile()


async def test_the_connection_goes_to_the_address_that_was_judged(world):
    """A name that answers publicly first and inwards afterwards is asked once for each connection."""
    async with serving(answer(200, "hi")) as web:
        wire = Wire(web.port)
        resolve = answers_in_turn([PUBLIC], ["127.0.0.1"])
        end = await end_of(world, "http://rebind.test/x", resolve=resolve, wire=wire)
    assert end["result"] == "hi"
    assert wire.went == [PUBLIC]
    assert web.asked[0].headers["host"] == "rebind.test"


async def test_a_name_that_turns_inwards_is_refused_at_the_next_connection(world):
    async with serving(answer(503), answer(200, "secret")) as web, asyncio.timeout(20):
        wire = Wire(web.port)
        async with world(call("http://rebind.test/")) as w:
            resolve = answers_in_turn([PUBLIC], ["127.0.0.1"])
            w.engine.builtins.http.sender = HttpSender(OutboundPolicy(), resolve=resolve, network=wire)
            run = await w.start("call")
            await w.until(run, "node_failed", code="http_503")
            await w.clock.advance(10)
            end = await w.end(run)
    assert end["error"]["code"] == "outbound_refused"
    assert len(web.asked) == 1


async def test_public_and_private_answers_together_are_refused(world):
    wire = Wire(9)
    resolve = answers_in_turn([PUBLIC, "192.168.0.1"])
    end = await end_of(world, "http://both.test/", resolve=resolve, wire=wire)
    assert end["error"]["code"] == "outbound_refused"
    assert wire.went == []


async def test_the_next_address_is_tried_where_one_does_not_answer(world):
    async with serving(answer(200, "hi")) as web:
        wire = Wire(web.port)
        resolve = answers_in_turn(["203.0.113.1", PUBLIC])
        end = await end_of(world, "http://x.test/", resolve=resolve, wire=wire, allow=["203.0.113.0/24"])
    assert end["result"] == "hi"
    assert wire.went == ["203.0.113.1", PUBLIC]


async def test_the_certificate_is_checked_against_the_name(world):
    async with serving(answer(200, "hi")) as web:
        wire = Wire(web.port)
        end = await end_of(world, "https://x.test/", resolve=answers_in_turn([PUBLIC]), wire=wire)
    assert end["result"] == "hi"
    assert wire.names == ["x.test"]


async def test_a_redirect_inwards_is_refused(world):
    async with serving(answer(302, location="http://169.254.169.254/latest/meta-data")) as web:
        wire = Wire(web.port)

        async def resolve(host: str, port: int) -> list[str]:
            return [PUBLIC] if host == "x.test" else [host]

        end = await end_of(world, "http://x.test/", resolve=resolve, wire=wire, follow_redirects=3)
    assert end["error"]["code"] == "outbound_refused"
    assert "169.254.169.254 is a metadata address" in end["error"]["message"]
    assert wire.went == [PUBLIC]


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://x.test/", "http://me:you@x.test/", "http://xn--/"]
)
async def test_a_redirect_to_no_web_address_is_refused(world, location):
    async with serving(answer(302, location=location)) as web:
        wire = Wire(web.port)
        resolve = answers_in_turn([PUBLIC])
        end = await end_of(world, "http://x.test/", resolve=resolve, wire=wire, follow_redirects=3)
    assert end["error"]["code"] == "outbound_refused"


async def test_a_host_that_encodes_nothing_is_refused_for_good(world):
    end = await end_of(world, "http://xn--/")
    assert end["error"]["code"] == "outbound_refused"
    assert "the url cannot be read" in end["error"]["message"]


async def test_redirects_are_followed_as_far_as_allowed_without_secrets_elsewhere(world):
    hops = answer(307, location="/two"), answer(307, location="http://other.test/three"), answer(200, "hi")
    async with serving(*hops) as web:
        wire = Wire(web.port)
        headers = {
            "Authorization": "Bearer s3cret",
            "Cookie": "a=b",
            "X-Api-Key": "s3cret",
            "Accept": "text/plain",
        }
        options = {"resolve": answers_in_turn([PUBLIC]), "wire": wire, "method": "POST", "body": {"a": 1}}
        end = await end_of(world, "http://x.test/one", headers=headers, follow_redirects=2, **options)
    assert end["result"] == "hi"
    first, second, third = web.asked
    assert second.headers["authorization"] == "Bearer s3cret"
    assert second.headers["idempotency-key"] == first.headers["idempotency-key"]
    assert third.headers["host"] == "other.test"
    assert third.headers.keys().isdisjoint({"authorization", "cookie", "x-api-key"})
    assert third.headers["idempotency-key"] == first.headers["idempotency-key"]
    assert third.headers["accept"] == "text/plain"
    assert third.json == {"a": 1}


async def test_one_redirect_too_many_is_the_answer(world):
    async with serving(answer(302, location="/again")) as web:
        wire = Wire(web.port)
        resolve = answers_in_turn([PUBLIC])
        end = await end_of(world, "http://x.test/", resolve=resolve, wire=wire, follow_redirects=2)
    assert end["error"]["code"] == "http_302"
    assert len(web.asked) == 3


@pytest.mark.parametrize(
    ("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")]
)
async def test_a_redirected_post_becomes_what_its_status_says(world, status, method):
    async with serving(answer(status, location="/there"), answer(200, "hi")) as web:
        wire = Wire(web.port)
        options = {"resolve": answers_in_turn([PUBLIC]), "wire": wire, "method": "POST", "body": {"a": 1}}
        await end_of(world, "http://x.test/", follow_redirects=1, **options)
    assert web.asked[1].method == method
    assert web.asked[1].body == (b"" if method == "GET" else b'{"a":1}')


async def test_proxies_and_netrc_of_the_environment_are_ignored(world, monkeypatch, tmp_path):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with serving(answer(200, "hi")) as web:
        end = await end_of(world, web.url, allow=["127.0.0.1"])
    assert end["result"] == "hi"
    assert "authorization" not in web.asked[0].headers


async def test_no_cookie_is_kept_for_the_next_call(world):
    async with (
        serving(answer(200, "hi", set_cookie="session=s3cret")) as web,
        world(call(web.url), allow_outbound=("127.0.0.1",)) as w,
    ):
        for _ in range(2):
            await w.end(await w.start("call"))
    assert "cookie" not in web.asked[1].headers


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def certified(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


async def call_over_tls(world, authority, tmp_path, *, name="127.0.0.1", **settings) -> dict:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    chosen = {"allow_outbound": ("127.0.0.1",), "outbound_ca": str(file), **settings}
    async with (
        asyncio.timeout(20),
        serving(answer(200, "hi"), tls=certified(authority, name)) as web,
        world(call(web.url, retry=None), **chosen) as w,
    ):
        return await w.end(await w.start("call"))


async def test_certificates_of_ones_own_are_trusted_where_they_are_given(world, authority, tmp_path):
    assert (await call_over_tls(world, authority, tmp_path))["result"] == "hi"


@pytest.mark.parametrize(
    ("given", "words"),
    [({"outbound_ca": None}, "certificate verify failed"), ({"name": "x.test"}, "IP address mismatch")],
)
async def test_no_other_certificate_is_trusted(world, authority, tmp_path, given, words):
    error = (await call_over_tls(world, authority, tmp_path, **given))["error"]
    assert error["code"] == "http_unreachable"
    assert words in error["message"]


async def test_a_name_that_nobody_knows_is_tried_again(world):
    async def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    async with world(call("http://nobody.test/")) as w, asyncio.timeout(20):
        w.engine.builtins.http.sender = HttpSender(OutboundPolicy(), resolve=resolve)
        failed = await w.until(await w.start("call"), "node_failed")
    assert failed["code"] == "http_unreachable"
    assert failed["will_retry"] is True


async def test_a_name_that_cannot_be_looked_up_is_told_as_such():
    with pytest.raises(OSError, match="cannot be looked up"):
        await resolve_host("a" * 100 + ".test", 80)
