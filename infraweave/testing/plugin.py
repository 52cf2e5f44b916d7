"""The pytest plugin: the fixture ``iw``, a server on a virtual clock for each test that asks for it.

pytest loads this module in every project that has InfraWeave installed, so it imports nothing of it until a
test asks for the fixture. Nothing has to be configured: an async test that takes ``iw`` runs under
pytest-asyncio (both modes), under anyio's plugin, and with neither.
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
    "infraweave(*workflows, settings=None, now=None, skip_time=True): what the fixture iw serves, its"
    " settings, when its clock begins, and whether time skips by itself while the test waits."
)
_OPTIONS = frozenset({"settings", "now", "skip_time"})


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def iw_workflows() -> list[Any]:
    """Return what every ``iw`` serves from the start; override it in a module or a conftest.

    Workflows, or paths of files and folders that hold some.
    """
    return []


@pytest.fixture
def iw(
    request: pytest.FixtureRequest, iw_workflows: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> Iw:
    """Give a true InfraWeave server of this test's own, on a virtual clock; see ``infraweave.testing.Iw``.

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

    workflows, options = _marked(request.node)

    def close_later() -> None:
        # Runs before the loop is closed, whose fixture is older than the server.
        request.node.addfinalizer(lambda: _close_what_is_left(world))

    folder = tmp_path_factory.mktemp("iw")
    world = Iw(folder, [*iw_workflows, *workflows], on_begin=close_later, **options)
    _run_within(request.node, world)
    return world


def _marked(item: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return the workflows and the options of a test's markers, the nearest option first."""
    workflows: list[Any] = []
    options: dict[str, Any] = {}
    for marker in item.iter_markers("infraweave"):
        unknown = marker.kwargs.keys() - _OPTIONS
        if unknown:
            known, wrong = ", ".join(sorted(_OPTIONS)), ", ".join(sorted(unknown))
            raise pytest.UsageError(f"The marker infraweave has no {wrong}; it takes {known}.")
        workflows = [*marker.args, *workflows]
        options = {**marker.kwargs, **options}
    return workflows, options


def _run_within(item: Any, world: Iw) -> None:
    """Have the server start and end within the test's own task, whichever plugin runs it."""
    test = getattr(item, "obj", None)
    if not inspect.iscoroutinefunction(test):
        return  # an async fixture may still start it

    @functools.wraps(test)
    async def within(*args: Any, **kwargs: Any) -> Any:
        async with world:
            return await test(*args, **kwargs)

    item.obj = within
    item.addfinalizer(lambda: setattr(item, "obj", test))


def _close_what_is_left(world: Iw) -> None:
    """End a server that a fixture started for a test that is not async."""
    if world.loop is not None:
        world.loop.run_until_complete(world.close())


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that takes ``iw`` where no other plugin has taken it."""
    if not (inspect.iscoroutinefunction(pyfuncitem.obj) and _has_iw(pyfuncitem)):
        return None
    import asyncio

    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in names}
    with asyncio.Runner() as runner:
        runner.run(pyfuncitem.obj(**arguments))
    return True


def _has_iw(item: pytest.Function) -> bool:
    """Tell whether a test has a server, under whatever name."""
    loaded = sys.modules.get("infraweave.testing.harness")
    return loaded is not None and any(isinstance(value, loaded.Iw) for value in item.funcargs.values())
