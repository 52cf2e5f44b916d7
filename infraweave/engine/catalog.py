"""The catalog: the documents of every tenant, and the code that their references resolve to.

Documents and active versions belong to a tenant and are stored; what was read is cached, because one process
owns the file. Code comes from the loaded workflows. A reference resolves to the code of the same version, or
else to the newest loaded code whose parameters the document can bind, so that a corrected body serves running
runs. Without such code, the run waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, assert_never
from weakref import WeakKeyDictionary, WeakValueDictionary

from infraweave.authoring.compiler import Compiled
from infraweave.authoring.decorators import Workflow
from infraweave.authoring.signatures import Code
from infraweave.core.data.bounded_cache import BoundedCache
from infraweave.core.data.json_codec import dumps
from infraweave.core.run.address import Address
from infraweave.core.workflow.document import (
    Activity,
    Document,
    Http,
    HumanInput,
    Loop,
    Map,
    Param,
    Router,
    Signal,
    Subworkflow,
    Timer,
)
from infraweave.core.workflow.document_codec import document_to_json
from infraweave.core.workflow.graph import Graph
from infraweave.engine.clock import Clock
from infraweave.engine.execution.builtins import Builtins
from infraweave.errors import VersionNotFound, WorkflowNotFound
from infraweave.store.documents import Documents, Published
from infraweave.store.sqlite.audit_record import AuditRecord

#: Bytes of the cached documents of which no run is in memory, as JSON.
MAX_CACHE_BYTES = 8 << 20

#: Returns the code that replaces an entry's own in a test.
CodeOverride: TypeAlias = Callable[[Graph, Address, Code | None], Code | None]


class Catalog:
    """The documents of every tenant, and the loaded code."""

    def __init__(
        self,
        documents: Documents,
        clock: Clock,
        builtins: Builtins,
        workflows: Iterable[Workflow],
        code_override: CodeOverride | None = None,
    ) -> None:
        self._documents, self._clock, self._builtins = documents, clock, builtins
        self._code_override = code_override
        self._loaded: list[Compiled] = []
        self._models: dict[tuple[str, str], Mapping[str, Any]] = {}
        for workflow in workflows:
            self._add(workflow)
        #: The loaded code of each reference, that of the last file first.
        self._newest: dict[str, list[Code]] = {}
        for compiled in reversed(self._loaded):
            for reference, code in compiled.codes.items():
                self._newest.setdefault(reference, []).append(code)
        self._exact = {(one.document.workflow_id, one.document.version): one.codes for one in self._loaded}
        #: Graphs that are in use, and those that were used last.
        self._graphs: WeakValueDictionary[tuple[str, str, str], Graph] = WeakValueDictionary()
        self._recent: BoundedCache[Graph, Graph] = BoundedCache(MAX_CACHE_BYTES)
        self._active: dict[tuple[str, str], str] = {}
        self._changes: Counter[tuple[str, str]] = Counter()
        self._tenants: set[str] = set()
        self._codes: WeakKeyDictionary[Graph, dict[tuple[str, str], Code | None]] = WeakKeyDictionary()
        #: The graph that was looked up last, and its codes.
        self._latest: tuple[Graph | None, dict[tuple[str, str], Code | None]] = None, {}

    @property
    def workflow_ids(self) -> list[str]:
        """The ids of the loaded workflows."""
        return sorted({one.document.workflow_id for one in self._loaded})

    @property
    def tenants(self) -> int:
        """The number of tenants."""
        return len(self._tenants)

    async def publish_loaded(self, tenant: str) -> None:
        """Publish the loaded workflows to a tenant, once.

        Raises:
            VersionConflict: a loaded version differs from the stored one, which runs have used.
        """
        if tenant in self._tenants:
            return
        last = {one.document.workflow_id: one.document.version for one in self._loaded}
        for one in self._loaded:
            superseded = last[one.document.workflow_id] != one.document.version
            await self._documents.load(
                tenant, one.document, self._clock.now(), superseded=superseded, derived=one.derived
            )
        self._tenants.add(tenant)

    async def conflicts(self, documents: Iterable[tuple[Document, bool]]) -> list[str]:
        """Return why tenants could not load these documents, each reason once.

        The flag of a document says whether the schema of its input was derived from a class.
        """
        found = [
            await self._documents.conflict(tenant, document, derived=derived)
            for document, derived in documents
            for tenant in sorted(self._tenants)
        ]
        return list(dict.fromkeys(conflict.message for conflict in found if conflict is not None))

    async def load(self, workflow: Workflow) -> None:
        """Load another workflow while the engine runs, and publish it to every tenant.

        Raises:
            DeclarationError: it cannot be compiled.
            VersionConflict: its version differs from the stored one, which runs have used.
        """
        compiled: Compiled = workflow.compiled
        document = compiled.document
        for tenant in sorted(self._tenants):
            await self._documents.load(tenant, document, self._clock.now(), derived=compiled.derived)
            self._forget_active(tenant, document.workflow_id)
            self._graphs.pop((tenant, document.workflow_id, document.version), None)
        codes = self._add(workflow)
        for reference, code in codes.items():
            self._newest.setdefault(reference, []).insert(0, code)
        self._exact[document.workflow_id, document.version] = codes
        self._codes.clear()
        self._latest = None, {}

    def _add(self, workflow: Workflow) -> Mapping[str, Code]:
        compiled: Compiled = workflow.compiled
        document = compiled.document
        self._loaded.append(compiled)
        self._models[document.workflow_id, document.version] = compiled.models
        return compiled.codes

    async def publish(
        self, tenant: str, document: Document, *, activate: bool, record: AuditRecord | None = None
    ) -> Published:
        """Store a version, and make it the active one if ``activate`` is set or it is the first.

        Raises:
            VersionConflict: the version exists with different content.
        """
        await self.publish_loaded(tenant)
        now = self._clock.now()
        done = await self._documents.publish(tenant, document, now, activate=activate, record=record)
        self._forget_active(tenant, document.workflow_id)
        return done

    def _forget_active(self, tenant: str, workflow_id: str) -> None:
        """Have the active version read again: only the file knows which of several activations came last."""
        self._active.pop((tenant, workflow_id), None)
        self._changes[tenant, workflow_id] += 1

    def unresolved(self, document: Document) -> list[str]:
        """Return the references of a document without loaded code, sorted."""
        graph = Graph(document)
        found = ((code_of(graph, address)[0], self._find(graph, address)) for address in _addresses(graph))
        return sorted({reference for reference, code in found if reference is not None and code is None})

    async def missing_workflows(self, tenant: str, document: Document) -> list[str]:
        """Return the workflows that a document starts and that a tenant does not have, sorted.

        If only the version is missing, it is ``ID VERSION``. The document itself is not missing.
        """
        nodes = (node for node in document.nodes if isinstance(node, Subworkflow | Map))
        wanted = {(node.workflow_id, node.workflow_version) for node in nodes if node.workflow_id is not None}
        own, missing = document.workflow_id, set()
        for child, version in wanted - {(own, None), (own, document.version)}:
            try:
                await self.graph(tenant, child, version or await self.active_version(tenant, child))
            except WorkflowNotFound:
                missing.add(child)
            except VersionNotFound:
                missing.add(f"{child} {version}")
        return sorted(missing)

    async def activate(
        self, tenant: str, workflow_id: str, version: str, record: AuditRecord | None = None
    ) -> None:
        """Make a version the active one, which starts without a version use.

        Raises:
            WorkflowNotFound, VersionNotFound: it does not exist.
        """
        await self.graph(tenant, workflow_id, version)
        await self._documents.set_active(tenant, workflow_id, version, record)
        self._forget_active(tenant, workflow_id)

    async def active_version(self, tenant: str, workflow_id: str) -> str:
        """Return the active version, which starts without a version use.

        Raises:
            WorkflowNotFound: the tenant has no such workflow.
        """
        key = (tenant, workflow_id)
        version = self._active.get(key)
        if version is None:
            changes = self._changes[key]
            version = await self._documents.active_version(tenant, workflow_id)
            if version is None:
                raise WorkflowNotFound(f"No workflow {workflow_id}.")
            if changes == self._changes[key]:  # otherwise another may have been activated meanwhile
                self._active[key] = version
        return version

    async def graph(self, tenant: str, workflow_id: str, version: str) -> Graph:
        """Return the graph of a version.

        Raises:
            WorkflowNotFound, VersionNotFound: it does not exist.
        """
        key = (tenant, workflow_id, version)
        graph = self._graphs.get(key)
        if graph is None:
            document = await self._documents.get(*key)
            if document is None:
                await self.active_version(tenant, workflow_id)
                raise VersionNotFound(f"Workflow {workflow_id} has no version {version}.")
            graph = self._graphs.setdefault(key, self._shared(document))
        if self._recent.get(graph) is None:
            self._recent.keep(graph, graph, len(dumps(document_to_json(graph.document))))
        return graph

    def _shared(self, document: Document) -> Graph:
        """Return one graph for equal documents of different tenants, because code is resolved per graph."""
        same = (graph for graph in list(self._graphs.values()) if graph.document == document)
        return next(same, None) or Graph(document, self._models.get((document.workflow_id, document.version)))

    def code(self, graph: Graph, address: Address) -> Code | None:
        """Return the code that an entry calls; None if it is not loaded."""
        if graph is not self._latest[0]:  # a weak reference for each look-up costs more than the look-up
            self._latest = graph, self._codes.setdefault(graph, {})
        codes = self._latest[1]
        key = (address.node, address.phase)
        try:
            code = codes[key]
        except KeyError:
            code = codes[key] = self._find(graph, address)
        return code if self._code_override is None else self._code_override(graph, address, code)

    def lacks_code(self, graph: Graph, address: Address) -> bool:
        """Tell whether opening the entry calls code that is not loaded."""
        return self.code(graph, address) is None and code_of(graph, address)[0] is not None

    def _find(self, graph: Graph, address: Address) -> Code | None:
        reference, params = code_of(graph, address)
        if reference is None:
            undoing = address.phase == "compensation"
            acting = graph.compensation(address.node) if undoing else graph.nodes[address.node]
            return None if acting is None else self._builtins.code(acting)
        document = graph.document
        exact: Code | None = self._exact.get((document.workflow_id, document.version), {}).get(reference)
        if exact is not None:
            return exact
        return next((code for code in self._newest.get(reference, ()) if _binds(code, params)), None)


def references(document: Document) -> set[str]:
    """Return the references to code in a document."""
    graph = Graph(document)
    found = (code_of(graph, address)[0] for address in _addresses(graph))
    return {reference for reference in found if reference is not None}


def _addresses(graph: Graph) -> Iterator[Address]:
    """Yield the address of everything in a graph that may call code."""
    for name in graph.nodes:
        yield Address(name)
        yield Address(name, phase="compensation")


def code_of(graph: Graph, address: Address) -> tuple[str | None, tuple[Param, ...]]:
    """Return the reference of the code that an entry calls, if any, and its bound parameters."""
    if address.phase == "compensation":
        undo = graph.compensation(address.node)
        return (undo.code, undo.params) if undo else (None, ())
    node = graph.nodes[address.node]
    match node:
        case Activity() | Router() | Loop() | Map() | Subworkflow() | HumanInput() | Timer():
            return node.code, node.params
        case Http():
            return None, node.params
        case Signal():
            return None, ()
        case _:
            assert_never(node)


def _binds(code: Code, params: tuple[Param, ...]) -> bool:
    required = {param.name for param in params if param.required}
    optional = {param.name for param in params} - required
    return all(p.name in required or p.has_default for p in code.params if p.name not in optional) and all(
        p.has_default for p in code.params if p.name in optional
    )
