"""What a forked child must not keep of the server that it came from.

A body may fork: ``os.fork``, ``multiprocessing``. The child has copies of all descriptors and of the loop's
signal handlers; with them it would keep clients waiting for the end of their connections, hold the port after
the server has gone, and pass its own SIGTERM on to the server. What is not to be kept is said here, and done
in every child before any other code runs there.

SQLite's descriptors stay as they are: nobody uses them there, and a connection that is closed in the child
must find the server's locks on the file, or it would take itself for the last and remove the log.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NoReturn

_let_go: list[Callable[[], None]] = []
_ENDING = {signal.SIGTERM, signal.SIGINT}
#: The signal mask of a thread that forks.
_held = threading.local()


@contextmanager
def not_in_children(let_go: Callable[[], None]) -> Iterator[None]:
    """Have ``let_go`` called in each child that is forked within the block; it must not raise."""
    _let_go.append(let_go)
    try:
        yield
    finally:
        _let_go.remove(let_go)


def _blank(descriptors: Iterable[int]) -> None:
    """Put nothing in the place of descriptors.

    They are not closed: whoever still holds such a number in the child would close, or write to, what is
    opened under that number next.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        with suppress(OSError):
            os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)


@contextmanager
def loop_stays_here() -> Iterator[None]:
    """Let no child that is forked within the block have, run or wake the running loop."""
    with not_in_children(partial(_leave, asyncio.get_running_loop())):
        yield


def _leave(loop: asyncio.AbstractEventLoop) -> None:
    signal.set_wakeup_fd(-1)
    asyncio._set_running_loop(None)  # noqa: SLF001 - made for those who know, as its module says
    _default_handlers()
    _blank_loop(loop)


def _default_handlers() -> None:
    """Take back what asyncio has set: its handlers do nothing without its loop, or wake the server's."""
    for number in signal.valid_signals():
        if _is_asyncios(signal.getsignal(number)):
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)


def _is_asyncios(handler: Any) -> bool:
    function = handler.func if isinstance(handler, partial) else handler
    return str(getattr(function, "__module__", "")).startswith("asyncio.")


def _blank_loop(loop: Any) -> None:
    """Let go of a loop's descriptors; a coroutine that forked and comes back to it ends the child."""
    loop.call_soon(os._exit, 1)
    with suppress(AttributeError):
        loop._ready.rotate(1)  # noqa: SLF001 - before whatever else is due
    loop._run_once = partial(os._exit, 1)  # noqa: SLF001 - there is no public way to leave a loop for good
    selector = getattr(loop, "_selector", None)
    if selector is None:
        return  # another kind of loop, which looks after its own
    descriptors = [*selector.get_map()]
    if hasattr(selector, "fileno"):
        descriptors.append(selector.fileno())
    waker = getattr(loop, "_csock", None)
    if waker is not None:
        descriptors.append(waker.fileno())
    _blank(descriptors)


@contextmanager
def ends_here() -> Iterator[None]:
    """Let a child that was forked within the block, and did not end there, end with the block."""
    parent = os.getpid()
    try:
        yield
    except BaseException as error:
        if os.getpid() != parent:
            _exit(error)
        raise
    if os.getpid() != parent:
        _exit(None)


def _exit(error: BaseException | None) -> NoReturn:
    """End the process as Python does where nobody catches an exception, and run nothing of the server's."""
    code = 0 if error is None else 1
    with suppress(Exception):
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif error is not None:
            traceback.print_exception(error)
        sys.stdout.flush()
    os._exit(code)


def _before() -> None:
    """Hold signals back: one that reached the child right away would go to the server, and be lost there."""
    _held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING) if _let_go else None


def _in_parent() -> None:
    if _held.mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _held.mask)


def _in_child() -> None:
    for let_go in _let_go:
        let_go()
    _let_go.clear()
    _in_parent()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
