"""Mappings: any JSON value whose texts are templates, so that one value is made from others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from infraweave.core.data import template
from infraweave.core.data.sizes import SizeBudget, TooLarge
from infraweave.core.data.values import Json


def fill(mapping: Json, values: Mapping[str, Json]) -> Json:
    """Return a mapping with every place filled.

    Raises:
        TemplateError: a place names nothing that is there, or the value would be too large.
    """
    try:
        return _filled(mapping, values, SizeBudget())
    except TooLarge as error:
        raise template.TemplateTooLarge(str(error)) from None


def _filled(mapping: Json, values: Mapping[str, Json], room: SizeBudget) -> Json:
    if isinstance(mapping, str):
        made = template.render_value(mapping, values)
        room.take_value(made)
        return made
    if isinstance(mapping, Mapping):
        return {key: _filled(item, values, room) for key, item in mapping.items()}
    if isinstance(mapping, list | tuple):
        return [_filled(item, values, room) for item in mapping]
    return mapping


def mapping_faults(mapping: Json, names: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with a mapping whose places may name ``names``."""
    if isinstance(mapping, str):
        yield from template.faults(mapping, names)
    elif isinstance(mapping, Mapping):
        for item in mapping.values():
            yield from mapping_faults(item, names)
    elif isinstance(mapping, list | tuple):
        for item in mapping:
            yield from mapping_faults(item, names)
