"""Routes of the service itself: identity, sign-in, health, metrics, statistics and the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infraweave.api.http.metrics import MEDIA, Metrics
from infraweave.api.http.routing import WRITE_ERRORS, ResponseSpec, Route
from infraweave.api.service import schemas
from infraweave.api.service.health import ServiceHandlers
from infraweave.api.service.sign_in import SignInHandlers
from infraweave.api.service.statistics import StatisticsHandlers
from infraweave.core.data.values import Json
from infraweave.engine.engine import Engine
from infraweave.errors import RateLimited, StorageUnavailable, Unauthenticated
from infraweave.store.statistics import Statistics

#: Bytes in the body of a sign-in.
_MAX_SIGN_IN = 4_096


def service_routes(engine: Engine, metrics: Metrics, describe: Callable[[], Json]) -> list[Route]:
    """Return the routes of the service, bound to an engine; ``describe`` returns the OpenAPI document."""
    service = ServiceHandlers(engine, metrics, describe)
    statistics = StatisticsHandlers(engine, Statistics(engine.db), engine.clock.elapsed())
    return [*_figures(service, statistics), *_public(service), *_identity(service, SignInHandlers(engine))]


def _identity(service: ServiceHandlers, sign_in: SignInHandlers) -> list[Route]:
    return [
        Route(
            name="whoami",
            method="GET",
            path="/v1/whoami",
            handler=service.whoami,
            on="own",
            responses={200: ResponseSpec(doc="Tenant, principal, grants.", schema=schemas.WhoAmI)},
        ),
        Route(
            name="sign_in",
            method="POST",
            path="/v1/sign-in",
            handler=sign_in.sign_in,
            on="public",
            body=schemas.SignIn,
            max_body=_MAX_SIGN_IN,
            responses={200: ResponseSpec(doc="The token, shown only once.", schema=schemas.SignedIn)},
            errors=(Unauthenticated, RateLimited, StorageUnavailable),
        ),
        Route(
            name="sign_out",
            method="POST",
            path="/v1/sign-out",
            handler=sign_in.sign_out,
            on="own",
            responses={204: ResponseSpec(doc="The token is revoked.")},
        ),
    ]


def _figures(service: ServiceHandlers, statistics: StatisticsHandlers) -> list[Route]:
    return [
        Route(
            name="statistics",
            method="GET",
            path="/v1/statistics",
            handler=statistics.statistics,
            on="own",
            query=schemas.StatisticsQuery,
            responses={200: ResponseSpec(doc="The statistics.", schema=schemas.RunStatistics)},
        ),
        Route(
            name="status",
            method="GET",
            path="/v1/status",
            handler=statistics.status,
            on="workflows",
            action="operate",
            responses={200: ResponseSpec(doc="The status.", schema=schemas.Status)},
        ),
        Route(
            name="metrics",
            method="GET",
            path="/metrics",
            handler=service.metrics,
            on="workflows",
            action="operate",
            produces=("text/plain",),
            responses={200: ResponseSpec(doc="Prometheus text.", media=((MEDIA.partition(";")[0], None),))},
        ),
    ]


def _public(service: ServiceHandlers) -> list[Route]:
    def route(name: str, path: str, handler: Any, schema: Any, **more: Any) -> Route:
        responses = {200: ResponseSpec(doc="OK.", schema=schema)}
        return Route(
            name=name, method="GET", path=path, handler=handler, on="public", responses=responses, **more
        )

    return [
        route("healthz", "/healthz", service.healthz, schemas.Health),
        route("readyz", "/readyz", service.readyz, schemas.Health, errors=WRITE_ERRORS),
        route("openapi", "/openapi.json", service.openapi, dict[str, Any]),
    ]
