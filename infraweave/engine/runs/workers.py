"""Runs the bodies of nodes in threads and processes, and tracks bodies that outlive their attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from infraweave.core.data.values import Json
from infraweave.core.run.address import Address
from infraweave.core.run.facts import Fact
from infraweave.core.workflow.document import Activity, Map
from infraweave.core.workflow.graph import Graph
from infraweave.engine.catalog import Catalog
from infraweave.engine.clock import Clock
from infraweave.engine.execution.attempt import Attempt
from infraweave.engine.execution.context import RunContext
from infraweave.engine.execution.process_pool import ProcessPool
from infraweave.engine.execution.thread_pool import ThreadPool
from infraweave.settings import Settings

#: A tuple, because a union would be made for each attempt.
_WITH_EXECUTOR = (Activity, Map)


class Workers:
    """The pools of one engine, shared by all runs."""

    def __init__(self, clock: Clock, settings: Settings, catalog: Catalog) -> None:
        self._clock, self._settings, self._catalog = clock, settings, catalog
        self.threads = ThreadPool(settings.threads, settings.lost_threads, "infraweave-node")
        self._processes = ProcessPool()
        #: Bodies that still run after the end of their attempts. The next attempts wait for them.
        self.orphans: dict[tuple[int, Address], asyncio.Future[Any]] = {}

    def attempt(
        self,
        kind: type[Attempt],
        graph: Graph,
        context: RunContext,
        values: Mapping[str, Json],
        deliver: Callable[[Attempt, Fact], None],
    ) -> Attempt:
        """Return an attempt of the code that the context's entry runs."""
        code = self._catalog.code(graph, context.address)
        if code is None:
            raise LookupError(f"no code for {context.address}")  # such an entry is blocked and never opens
        pool = self._processes if _wants_process(graph, context.address) else self.threads
        return kind(self._clock, pool, self._settings, context, code, values, deliver)

    def track_orphan(self, run_key: int, address: Address, orphan: asyncio.Future[Any]) -> None:
        """Remember a body that still runs, until it has ended."""
        key = (run_key, address)
        self.orphans[key] = orphan
        orphan.add_done_callback(lambda _: self.orphans.pop(key, None))

    def shutdown(self) -> None:
        """Stop the pools."""
        self.threads.shutdown()
        self._processes.shutdown()


def _wants_process(graph: Graph, address: Address) -> bool:
    node = graph.nodes[address.node]
    return isinstance(node, _WITH_EXECUTOR) and node.executor == "process" and address.phase == "forward"
