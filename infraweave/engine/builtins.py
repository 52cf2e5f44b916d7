"""Code that comes with the engine, for nodes that name none."""

from __future__ import annotations

from typing import Any

from infraweave.authoring.functions import Code, CodeParam
from infraweave.core.document import Node
from infraweave.core.values import Json


def as_is(node: Node) -> Code:
    """Return the code that makes a child's input of the parameters: one named ``input`` is all of it."""
    params = tuple(CodeParam(param.name, Any, not param.required) for param in node.params)
    return Code("", _as_is, is_async=True, params=params, context_param=None, returns=Any)


async def _as_is(**values: Json) -> Json:
    return values["input"] if values.keys() == {"input"} else values
