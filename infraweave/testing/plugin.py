"""The pytest plugin with the fixture ``iw``: a server on a virtual clock for each test.

pytest loads this module in every project that has InfraWeave installed, so it imports InfraWeave only when a
test uses the fixture. It needs no configuration: async tests with ``iw`` run with pytest-asyncio (in both
modes), with anyio's plugin, and without either.
"""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from infraweave.testing.harness import Iw

_MARKER = (
    "infraweave(*workflows, settings=None, now=None, skip_time=True): the workflows of the fixture iw, its"
    " settings, the start of its clock, and whether time skips by itself while the test waits."
)
_OPTIONS = frozenset({"settings", "now", "skip_time"})


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def iw_workflows() -> list[Any]:
    """Return workflows that every ``iw`` loads, or paths of files and folders.

    Override this fixture in a module or a conftest.
    """
    return []


@pytest.fixture
def iw(
    request: pytest.FixtureRequest, iw_workflows: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> Iw:
    """Provide a real InfraWeave server for this test, on a virtual clock; see ``infraweave.testing.Iw``.

    ```python
    async def test_an_order_is_paid(iw):
        charge = iw.replace("charge", raises=[TimeoutError()], returns={"paid": 7})
        run = await iw.start(flow, {"order_id": "ord_1"})
        await iw.signal(run, "approval", {"approved": True})
        assert await run.result() == {"paid": 7}
        assert charge.count == 2
    ```
    """
    from infraweave.testing.harness import Iw

    workflows, options = _marker_arguments(request.node)

    def close_later() -> None:
        # Finalizers run in reverse order: this one before that of the event loop.
        request.node.addfinalizer(lambda: _close_leftover(harness))

    folder = tmp_path_factory.mktemp("iw")
    harness = Iw(folder, [*iw_workflows, *workflows], on_begin=close_later, **options)
    _wrap_test(request.node, harness)
    return harness


def _marker_arguments(item: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return the workflows and options of a test's markers. Markers closer to the test win."""
    workflows: list[Any] = []
    options: dict[str, Any] = {}
    for marker in item.iter_markers("infraweave"):
        unknown = marker.kwargs.keys() - _OPTIONS
        if unknown:
            known, wrong = ", ".join(sorted(_OPTIONS)), ", ".join(sorted(unknown))
            raise pytest.UsageError(f"the marker infraweave has no argument {wrong}; it takes {known}")
        workflows = [*marker.args, *workflows]
        options = {**marker.kwargs, **options}
    return workflows, options


def _wrap_test(item: Any, harness: Iw) -> None:
    """Make the server start and stop in the task of the test, whichever plugin runs it."""
    test = getattr(item, "obj", None)
    if not inspect.iscoroutinefunction(test):
        return  # an async fixture may still start the server

    @functools.wraps(test)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        async with harness:
            return await test(*args, **kwargs)

    item.obj = wrapped
    item.addfinalizer(lambda: setattr(item, "obj", test))


def _close_leftover(harness: Iw) -> None:
    """Stop a server that a fixture started for a test that is not async."""
    if harness.loop is not None:
        harness.loop.run_until_complete(harness.close())


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test with ``iw`` if no other plugin runs it."""
    if not (inspect.iscoroutinefunction(pyfuncitem.obj) and _has_iw(pyfuncitem)):
        return None
    import asyncio

    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in names}
    with asyncio.Runner() as runner:
        runner.run(pyfuncitem.obj(**arguments))
    return True


def _has_iw(item: pytest.Function) -> bool:
    """Tell whether a test uses a server, under any fixture name."""
    loaded = sys.modules.get("infraweave.testing.harness")
    return loaded is not None and any(isinstance(value, loaded.Iw) for value in item.funcargs.values())
