"""Which version is the active one, however many are made active at once; and what is kept of versions."""

from __future__ import annotations

import asyncio
import gc

from infraweave import Workflow
from infraweave.core.run.address import Address
from infraweave.core.workflow.document import Document, HumanInput
from infraweave.core.workflow.graph import Graph
from infraweave.engine import catalog as catalogs
from infraweave.store.documents import Documents


def versions() -> list[Workflow]:
    flows = [Workflow("w", version=f"v{n}") for n in range(4)]
    for flow in flows:
        flow.sleep("nap", 1)
    return flows


async def test_of_simultaneous_activations_the_one_that_the_file_has_last_counts(world):
    async with world(*versions()) as w:
        catalog, documents = w.engine.catalog, w.engine.documents
        told, second = asyncio.Event(), asyncio.Event()

        async def hold_the_first(tenant, workflow_id):
            if not told.is_set():
                told.set()
                await second.wait()

        documents.listeners.append(hold_the_first)
        first = asyncio.create_task(catalog.activate("default", "w", "v1"))
        await told.wait()
        await catalog.activate("default", "w", "v2")
        second.set()
        await first
        assert await documents.active_version("default", "w") == "v2"
        assert await catalog.active_version("default", "w") == "v2"


async def test_a_version_that_was_read_before_an_activation_is_not_remembered(world, monkeypatch):
    async with world(*versions()) as w:
        catalog, read, gate = w.engine.catalog, Documents.active_version, asyncio.Event()
        was_read = asyncio.Event()

        async def slow(self, tenant, workflow_id):
            version = await read(self, tenant, workflow_id)
            was_read.set()
            await gate.wait()
            return version

        await catalog.activate("default", "w", "v1")
        monkeypatch.setattr(Documents, "active_version", slow)
        early = asyncio.create_task(catalog.active_version("default", "w"))
        await was_read.wait()
        await catalog.activate("default", "w", "v2")
        gate.set()
        assert await early == "v1"
        assert await catalog.active_version("default", "w") == "v2"


async def test_documents_that_no_run_needs_are_kept_within_bounds_and_read_again(world, monkeypatch):
    monkeypatch.setattr(catalogs, "MAX_CACHE_BYTES", 50_000)
    ask = HumanInput(name="ask", prompt="x" * 8_000, schema={})
    async with world() as w, asyncio.timeout(20):
        for number in range(20):
            made = Document(workflow_id="flow", version=f"v{number}", nodes=(ask,))
            await w.engine.documents.publish("default", made, 0)
        held = await w.engine.catalog.graph("default", "flow", "v0")
        for number in range(20):
            graph = await w.engine.catalog.graph("default", "flow", f"v{number}")
            w.engine.catalog.code(graph, Address("ask"))
        del graph
        assert await w.engine.catalog.graph("default", "flow", "v0") is held
        gc.collect()
        kept = [one for one in gc.get_objects() if isinstance(one, Graph)]
        assert len([one for one in kept if one.document.workflow_id == "flow"]) <= 7
        again = await w.engine.catalog.graph("default", "flow", "v1")
        assert again.document.version == "v1"
