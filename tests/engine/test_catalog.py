"""Which version is the active one, however many are made active at once."""

from __future__ import annotations

import asyncio

from infraweave import Workflow
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
