"""Long work in processes that can be killed: they are kept, replaced, bounded, and end with their server."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys

import pytest

from infraweave.engine.execution.compute_pool import ComputePool, WorkLimitExceeded, WorkRejected

#: A search that takes half a minute.
ENDLESS = ("s.contains(t)", {"s": "a" * 2_000_000, "t": "a" * 1_000_000 + "b"})
SERVER = """
import asyncio
from infraweave.engine.execution.compute_pool import ComputePool
async def main():
    apart = ComputePool()
    await apart.call("evaluate", "1 + 1", {}, seconds=9)
    print(apart.pids()[0], flush=True)
    await WORK
asyncio.run(main())
"""


async def until(true) -> None:
    """Let the loop turn until something is so."""
    while not true():  # noqa: ASYNC110 - the kernel sets no event
        await asyncio.sleep(0.001)


@pytest.fixture
async def apart():
    made = ComputePool()
    yield made
    await made.close()


async def test_a_process_is_kept_for_the_next_call(apart):
    assert await apart.call("evaluate", "a + 1", {"a": 1}, seconds=9) == 2
    (first,) = apart.pids()
    with pytest.raises(WorkRejected, match="undeclared reference"):
        await apart.call("evaluate", "b", {}, seconds=9)
    assert await apart.call("evaluate", "a + 1", {"a": 2}, seconds=9) == 3
    assert apart.pids() == [first]


async def test_who_stops_waiting_ends_the_process(apart):
    call = asyncio.create_task(apart.call("evaluate", *ENDLESS, seconds=60))
    await until(apart.pids)
    (pid,) = apart.pids()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert apart.pids() == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_time_that_is_over_ends_the_process_and_another_serves_the_next(apart):
    with pytest.raises(WorkLimitExceeded, match="more than 1 seconds of processor time"):
        await apart.call("evaluate", *ENDLESS, seconds=1)
    assert await apart.call("evaluate", "1 + 1", {}, seconds=9) == 2


async def test_no_more_processes_are_begun_than_may_be(apart):
    calls = [apart.call("evaluate", "a", {"a": n}, seconds=9) for n in range(20)]
    assert await asyncio.gather(*calls) == list(range(20))
    assert len(apart.pids()) <= 2


async def test_a_process_that_died_with_nothing_to_do_is_made_anew(apart):
    assert await apart.call("evaluate", "1 + 1", {}, seconds=9) == 2
    (pid,) = apart.pids()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: pid not in apart.pids())
    assert await apart.call("evaluate", "1 + 1", {}, seconds=9) == 2


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="there is no descriptor to wait for a process by")
@pytest.mark.parametrize(
    "work",
    [
        "asyncio.sleep(99)",
        "apart.call('evaluate', 's.contains(t)', {'s': 'a' * 10**6, 't': 'a' * 500_000 + 'b'}, seconds=1)",
    ],
)
def test_a_process_does_not_outlive_its_server(work):
    script = SERVER.replace("WORK", work)
    server = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    watched = os.pidfd_open(int(server.stdout.readline()))
    server.kill()
    server.wait()
    server.stdout.close()
    ended, _, _ = select.select([watched], [], [], 50)
    os.close(watched)
    assert ended


def test_what_signals_the_whole_group_leaves_the_process_to_its_server():
    script = SERVER.replace("WORK", "apart.call('evaluate', '2', {}, seconds=9)").replace(
        "print(", "__import__('os').kill(apart.pids()[0], 15), print("
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
