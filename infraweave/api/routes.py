"""All routes: the rows of each resource, composed. A route that is not here does not exist.

``app`` registers them and ``openapi`` describes them.
"""

from __future__ import annotations

from collections.abc import Sequence

from infraweave.api.admin.routes import admin_routes
from infraweave.api.http.metrics import Metrics
from infraweave.api.http.routing import Route
from infraweave.api.runs.routes import run_routes
from infraweave.api.service.console_files import console_routes
from infraweave.api.service.routes import service_routes
from infraweave.api.triggers.routes import trigger_routes
from infraweave.api.workflows.routes import workflow_routes
from infraweave.core.data.values import Json
from infraweave.engine.engine import Engine
from infraweave.settings import Settings


def routes(engine: Engine, settings: Settings, metrics: Metrics) -> Sequence[Route]:
    """Return every route, bound to an engine."""
    found: list[Route] = []
    found += [
        *run_routes(engine, settings, metrics),
        *workflow_routes(engine),
        *trigger_routes(engine),
        *admin_routes(engine),
        *service_routes(engine, metrics, lambda: _describe(found)),
        *console_routes(),
    ]
    return found


def _describe(routes: Sequence[Route]) -> Json:
    from infraweave.api.openapi import describe  # few servers are asked for it, and a start is faster without

    return describe(routes)
