"""Handlers of health checks, metrics, the caller's identity and the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable

from infraweave.api.http.fields import present
from infraweave.api.http.metrics import MEDIA, Metrics
from infraweave.api.http.routing import ApiRequest, ApiResponse, NoQuery
from infraweave.api.service.schemas import Health, WhoAmI
from infraweave.api.service.statistics import visible_tenant
from infraweave.core.data.json_codec import dumps
from infraweave.core.data.values import Json
from infraweave.core.lazy_records import frozen
from infraweave.engine.engine import Engine
from infraweave.errors import Draining, StorageUnavailable

_RETRY = {"Retry-After": "1"}


@frozen(eq=False)
class ServiceHandlers:
    """The handlers of the service itself. ``describe`` returns the OpenAPI document."""

    _engine: Engine
    _metrics: Metrics
    _describe: Callable[[], Json]

    async def healthz(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Check that the process answers."""
        return ApiResponse(Health(status="ok"))

    async def readyz(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Check that recovery is done and the database is writable."""
        match await self._engine.ready():
            case None:
                aside = len(self._engine.quarantine.quarantined)
                return ApiResponse(Health(status="ready", runs_set_aside=aside or None))
            case "draining":
                raise Draining(headers=_RETRY)
            case "recovering":
                raise StorageUnavailable("Recovery is in progress; try again in a moment.", headers=_RETRY)
            case _:
                raise StorageUnavailable(headers=_RETRY)

    async def whoami(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Show the tenant, principal and grants of the token."""
        principal = request.principal
        return ApiResponse(present(WhoAmI, principal, principal=principal.name))

    async def metrics(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Return metrics as Prometheus text: of all tenants if the caller is an admin."""
        return ApiResponse(await self._metrics.text(visible_tenant(request.principal)), media=MEDIA)

    async def openapi(self, request: ApiRequest[NoQuery, None]) -> ApiResponse:
        """Return this description."""
        return ApiResponse(dumps(self._describe()))
