"""The resources that all live runs of an engine share."""

from __future__ import annotations

from infraweave.core.records import define
from infraweave.core.run.address import Address
from infraweave.core.workflow.graph import Graph
from infraweave.engine.admission.admission import AdmissionControl
from infraweave.engine.admission.slots import Slots
from infraweave.engine.admission.start_priority import StartPriority
from infraweave.engine.catalog import Catalog
from infraweave.engine.clock import Clock
from infraweave.engine.runs.completion import CompletionWaiters
from infraweave.engine.runs.tasks import BackgroundTasks
from infraweave.engine.runs.workers import Workers
from infraweave.store.load_quarantine import LoadQuarantine


@define(eq=False)
class RunResources:
    """The clock, the code, admission control, the workers and so on."""

    clock: Clock
    catalog: Catalog
    slots: Slots
    admission: AdmissionControl
    workers: Workers
    quarantine: LoadQuarantine
    tasks: BackgroundTasks
    completion: CompletionWaiters
    start_priority: StartPriority
    #: True once the process is ending: nothing new opens.
    draining: bool = False

    def is_blocked(self, graph: Graph, address: Address) -> bool:
        """Tell whether an entry must not open, because the process is ending or its code is not loaded."""
        return self.draining or self.catalog.lacks_code(graph, address)
