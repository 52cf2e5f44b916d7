"""Detaches forked children from the server.

A body may fork, with ``os.fork`` or ``multiprocessing``. The child has copies of all descriptors and of the
loop's signal handlers. With them it would keep clients waiting for the end of their connections, hold the
port after the server has ended, and pass its own SIGTERM on to the server. So every child runs the registered
callbacks before any other code.

SQLite's descriptors are kept: the child does not use them, and a connection that is closed there must find
the server's locks on the file, or it would act as the last one and remove the write-ahead log.
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

_detachers: list[Callable[[], None]] = []
_ENDING = {signal.SIGTERM, signal.SIGINT}
#: The signal mask of a forking thread.
_saved = threading.local()


@contextmanager
def detach_in_children(detach: Callable[[], None]) -> Iterator[None]:
    """Call ``detach`` in each child that is forked within the block; it must not raise."""
    _detachers.append(detach)
    try:
        yield
    finally:
        _detachers.remove(detach)


def _blank(descriptors: Iterable[int]) -> None:
    """Replace descriptors by ``/dev/null``.

    They are not closed, because code in the child that still holds such a number would close, or write to,
    what is opened under that number next.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        with suppress(OSError):
            os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)


@contextmanager
def detach_children_from_loop() -> Iterator[None]:
    """Detach children that are forked within the block from the running loop."""
    with detach_in_children(partial(_detach_from, asyncio.get_running_loop())):
        yield


def _detach_from(loop: asyncio.AbstractEventLoop) -> None:
    signal.set_wakeup_fd(-1)
    asyncio._set_running_loop(None)  # noqa: SLF001 - meant for such uses, as its module says
    _default_handlers()
    _blank_loop(loop)


def _default_handlers() -> None:
    """Reset the handlers that asyncio has set: they do nothing without its loop, or wake the server's."""
    for number in signal.valid_signals():
        if _is_asyncios(signal.getsignal(number)):
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)


def _is_asyncios(handler: Any) -> bool:
    function = handler.func if isinstance(handler, partial) else handler
    return str(getattr(function, "__module__", "")).startswith("asyncio.")


def _blank_loop(loop: Any) -> None:
    """Blank a loop's descriptors; if a coroutine that forked returns to the loop, the child exits."""
    loop.call_soon(os._exit, 1)
    with suppress(AttributeError):
        loop._ready.rotate(1)  # noqa: SLF001 - before other callbacks
    loop._run_once = partial(os._exit, 1)  # noqa: SLF001 - no public way to leave a loop for good
    selector = getattr(loop, "_selector", None)
    if selector is None:
        return  # another kind of loop, which handles forks itself
    descriptors = [*selector.get_map()]
    if hasattr(selector, "fileno"):
        descriptors.append(selector.fileno())
    waker = getattr(loop, "_csock", None)
    if waker is not None:
        descriptors.append(waker.fileno())
    _blank(descriptors)


@contextmanager
def ends_child() -> Iterator[None]:
    """End a child that was forked within the block at the end of the block."""
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
    """End the process as an uncaught exception would, without running the server's exit handlers."""
    code = 0 if error is None else 1
    with suppress(Exception):
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif error is not None:
            traceback.print_exception(error)
        sys.stdout.flush()
    os._exit(code)


def _before() -> None:
    """Block signals: one that reached the child before it is detached would be passed to the server."""
    _saved.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING) if _detachers else None


def _in_parent() -> None:
    if _saved.mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _saved.mask)


def _in_child() -> None:
    for detach in _detachers:
        detach()
    _detachers.clear()
    _in_parent()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
