"""Checks values against JSON Schemas: quick checks at once, others in a compute process."""

from __future__ import annotations

import asyncio

from infraweave.core.data.json_codec import dumps, measured
from infraweave.core.data.json_schema import Validator
from infraweave.core.data.schema_defaults import Defaults
from infraweave.core.data.values import Json
from infraweave.core.records import frozen
from infraweave.core.workflow.document import INPUT
from infraweave.core.workflow.graph import Graph
from infraweave.engine.execution.compute_pool import ComputePool, WorkLimitExceeded
from infraweave.errors import Fault, InputInvalid

#: Seconds of processor time for one check.
MAX_SECONDS = 10
#: Bytes of a value up to which defaults are filled in on the loop.
_SMALL = 64 * 1024


@frozen
class SchemaChecker:
    """The schema checks of one server."""

    _pool: ComputePool

    async def faults(self, check: Validator, value: Json) -> list[Fault]:
        """Return the faults of a value, as ``Validator.faults`` does."""
        if check.accepts(value):
            return []
        if check.is_quick(value):
            return check.faults(value)
        try:
            found = await self._pool.call("faults", check.schema, value, seconds=MAX_SECONDS)
        except WorkLimitExceeded as error:
            return [Fault("", "too_large", f"cannot be checked against this schema: {error}")]
        return [Fault(path, code, message) for path, code, message in found]

    async def validated_input(self, graph: Graph, value: Json) -> Json:
        """Return a valid input of a version, with the defaults of its schema filled in.

        Raises:
            InputInvalid: it does not match the schema, or no answer could hold it; has all faults.
            TypeError: JSON cannot carry it.
        """
        try:
            filled = await _filled(graph.input_defaults, value)
            measured(filled)
            faults = await self.faults(graph.input_validator, filled) or graph.model_faults(INPUT, filled)
        except ValueError as error:
            faults = [Fault("", "too_large", str(error))]
        if faults:
            raise InputInvalid(
                f"The input does not match the schema of {graph.document.workflow_id}: {faults[0].sentence}",
                details=faults,
            )
        return filled


async def _filled(defaults: Defaults, value: Json) -> Json:
    if defaults.is_empty or len(dumps(value)) <= _SMALL:
        return defaults.filled(value)
    return await asyncio.to_thread(defaults.filled, value)
