"""Around it: signs of life, metrics, who I am, and the description of it all."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from infraweave.api.http.metrics import MEDIA, Metrics
from infraweave.api.http.routing import Answer, Call, NoQuery
from infraweave.api.runs import presenters, schemas
from infraweave.api.service.statistics import whose
from infraweave.core.data.json_codec import dumps
from infraweave.core.data.values import Json
from infraweave.engine.engine import Engine
from infraweave.errors import Draining, StorageUnavailable

_RETRY = {"Retry-After": "1"}


@frozen(eq=False)
class ServiceRoutes:
    """The handlers around runs. ``describe`` returns the OpenAPI document."""

    _engine: Engine
    _metrics: Metrics
    _describe: Callable[[], Json]

    async def healthz(self, call: Call[NoQuery, None]) -> Answer:  # noqa: ARG002 - every handler takes a call
        """Say that the process answers."""
        return Answer(schemas.Health(status="ok"))

    async def readyz(self, call: Call[NoQuery, None]) -> Answer:  # noqa: ARG002 - every handler takes a call
        """Say whether requests can be served: recovery is done and the database can be written."""
        match await self._engine.ready():
            case None:
                aside = len(self._engine.quarantine.quarantined)
                return Answer(schemas.Health(status="ready", runs_set_aside=aside or None))
            case "draining":
                raise Draining(headers=_RETRY)
            case "recovering":
                raise StorageUnavailable("Recovery is under way; try again in a moment.", headers=_RETRY)
            case _:
                raise StorageUnavailable(headers=_RETRY)

    async def whoami(self, call: Call[NoQuery, None]) -> Answer:
        """Tell whom the token speaks for."""
        principal = call.principal
        grants = presenters.grants(principal.grants)
        return Answer(schemas.WhoAmI(tenant=principal.tenant, principal=principal.name, grants=grants))

    async def metrics(self, call: Call[NoQuery, None]) -> Answer:
        """Return the metrics as Prometheus text: of the caller's tenant, or of all for an admin."""
        return Answer(await self._metrics.text(whose(call.principal)), media=MEDIA)

    async def openapi(self, call: Call[NoQuery, None]) -> Answer:  # noqa: ARG002 - every handler takes a call
        """Describe every route."""
        return Answer(dumps(self._describe()))
