"""The HTTP client, over a wire that breaks: each event once, and results that wait for the end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest

from infraweave import Workflow
from infraweave.client import Away, Client, ClientError, RunFailed, responses


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Try again at once: these tests are about what comes, and not about how long that takes."""
    monkeypatch.setattr(Client, "reconnect", 0.0)


def counting() -> Workflow:
    flow = Workflow("count", version="v1")
    last = None
    for n in range(12):
        last = flow.sleep(f"nap{n}", 0, after=[last] if last else [])
    return flow


def asking() -> Workflow:
    flow = Workflow("ask", version="v1")
    flow.human_input("approval", schema={"type": "object"}, prompt="Go on?")
    return flow


class Wire:
    """Stands before a server and cuts each connection after so many bytes of the answer."""

    def __init__(self, port: int, cuts: list[int]) -> None:
        self.port, self.cuts, self.connections = port, cuts, 0
        self.open: set[asyncio.Task] = set()

    def __call__(self, near, near_out) -> None:
        self.connections += 1
        self.open.add(asyncio.create_task(self._carry(near, near_out)))

    async def _carry(self, near, near_out) -> None:
        far, far_out = await asyncio.open_connection("127.0.0.1", self.port)
        left = self.cuts.pop(0) if self.cuts else 1 << 30
        ways = [self._pass_on(near, far_out, 1 << 30), self._pass_on(far, near_out, left)]
        tasks = list(map(asyncio.create_task, ways))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for out in (near_out, far_out):
            out.transport.abort()
        closed = (near_out.wait_closed(), far_out.wait_closed())
        await asyncio.gather(*tasks, *closed, return_exceptions=True)

    async def _pass_on(self, source, sink, left: int) -> None:
        while left and (part := await source.read(min(left, 65536))):
            left -= len(part)
            sink.write(part)


@asynccontextmanager
async def through(server, cuts: list[int]):
    """A client behind a wire that is cut."""
    wire = Wire(int(server.url.rpartition(":")[2]), cuts)
    async with await asyncio.start_server(wire, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        async with Client(f"http://127.0.0.1:{port}", server.token) as client:
            client.wire = wire
            yield client
        await asyncio.gather(*wire.open)


# --- events ------------------------------------------------------------------------------------------------


async def test_wherever_the_wire_is_cut_each_event_comes_once(serve):
    async with serve(counting()) as server:
        run = await server.client.start("count")
        whole = [event async for event in run.events()]
        assert [event["seq"] for event in whole] == list(range(1, len(whole) + 1))
        cuts = [*range(0, 3200, 53), *range(0, 160, 1)]
        async with through(server, list(cuts)) as client:
            for _ in range(20):
                assert [event async for event in client.events(run.run_id)] == whole
            assert client.wire.connections > 30


async def test_who_follows_a_run_is_told_of_absences_and_returns(serve):
    told: list[Away | None] = []
    async with serve(counting()) as server:
        run = await server.client.start("count")
        await run.result()
        async with through(server, [0, 0, 800]) as client:
            async for _ in client.events(run.run_id, notify=told.append):
                pass
    absences = [away.after if away else "back" for away in told]
    assert absences[:3] == [0, 0, "back"]
    assert absences[3] > 0
    assert absences[4:] == ["back"]


def test_attempts_are_made_less_and_less_often_but_never_rarely():
    delays = responses.backoff(0.5)
    assert [next(delays) for _ in range(7)] == [0.5, 1, 2, 4, 8, 15, 15]


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        (httpx.Response(503, json={"error": {"code": "draining"}}, headers={"Retry-After": "2"}), True),
        (httpx.Response(502, text="bad gateway"), True),
        (httpx.Response(404, json={"error": {"code": "run_not_found"}}), False),
        (httpx.Response(301, text="elsewhere"), False),
        (httpx.Response(200, text="<html>"), False),
    ],
)
def test_what_a_server_says_decides_whether_it_is_asked_again(answer, passes):
    with pytest.raises(ClientError) as refused:
        responses.read_json(answer)
    assert responses.is_temporary(refused.value) is passes
    assert refused.value.retry_after == (2 if "Retry-After" in answer.headers else None)


async def test_a_page_of_another_server_is_no_stream_of_events():
    async def answer(reader, writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        url = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        async with Client(url, "token") as client:
            with pytest.raises(ClientError, match="not an InfraWeave event stream"):
                await anext(client.events("run_1"))
            with pytest.raises(ClientError, match="not an InfraWeave response"):
                await client.run("run_1").show()


async def test_a_token_that_cannot_be_sent_is_no_absence(serve):
    async with serve(asking()) as server, Client(server.url, "a\nb") as client:
        with pytest.raises(httpx.LocalProtocolError):
            await anext(client.events("run_1"))


# --- the end -----------------------------------------------------------------------------------------------


async def test_result_waits_for_as_long_as_it_is_told(serve):
    async with serve(asking()) as server:
        run = await server.client.start("ask")
        with pytest.raises(ClientError, match="run_not_finished"):
            await run.result(wait=False)
        with pytest.raises(TimeoutError):
            await run.result(wait=0.01)
        await run.signal("approval", {"fine": 1})
        assert await run.result() == {"fine": 1}
        assert await run.outcome(wait=False) == {
            "run_id": run.run_id,
            "state": "succeeded",
            "result": {"fine": 1},
        }


async def test_result_of_a_run_that_was_stopped_raises(serve):
    async with serve(asking()) as server:
        run = await server.client.start("ask")
        await run.terminate("enough")
        with pytest.raises(RunFailed, match=r"cancelled: .*enough"):
            await run.result()


async def test_result_comes_through_a_wire_that_breaks(serve):
    async with serve(counting()) as server:
        run = await server.client.start("count")
        await run.result()
        async with through(server, [0, 900, 30, 0, 1 << 20, 0, 50]) as client:
            assert await client.run(run.run_id).result() is None


# --- names -------------------------------------------------------------------------------------------------


async def test_names_are_one_part_of_the_path_whatever_they_hold(serve):
    async with serve(asking()) as server:
        with pytest.raises(ClientError) as refused:
            await server.client.run("../workflows?x").show()
        assert refused.value.status == 404
        run = await server.client.start("ask")
        with pytest.raises(ClientError, match=r"signal_not_found|route_not_found"):
            await run.signal("a/b", 1)


async def test_lists_take_filters_in_pythons_terms(serve):
    async with serve(asking(), counting()) as server:
        asked = await server.client.start("ask", tags={"a": "b"})
        counted = await server.client.start("count")
        await counted.result()
        states = {"status": ("running", "succeeded")}
        assert [r["run_id"] async for r in server.client.runs(**states)] == [counted.run_id, asked.run_id]
        page = await server.client.list_runs(limit=1, **states)
        assert [r["run_id"] for r in page.runs] == [counted.run_id]
        rest = await server.client.list_runs(limit=None, cursor=page.next_cursor, **states)
        assert ([r["run_id"] for r in rest.runs], rest.next_cursor) == ([asked.run_id], None)
        assert [r["run_id"] async for r in server.client.runs(tag="a:b")] == [asked.run_id]
