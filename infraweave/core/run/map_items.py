"""How a map advances: its items open in order, so many at a time, and it closes after the last of them."""

from __future__ import annotations

from infraweave.core.run.address import Address
from infraweave.core.run.entries import MapProgress
from infraweave.core.run.openings import start_attempt
from infraweave.core.run.recorder import TurnRecorder
from infraweave.core.workflow.document import Map, starts_child


def close_maps(recorder: TurnRecorder) -> None:
    """Close the maps whose items have all ended; the others stay in ``advanced_maps``, or are withdrawn."""
    advanced_maps, recorder.advanced_maps = dict.fromkeys(recorder.advanced_maps), []
    for address in advanced_maps:
        entry, items = recorder.state.entries.get(address), recorder.state.maps.get(address)
        if entry is None or items is None:
            continue
        if items.closed < items.total or items.stopped:
            recorder.advanced_maps.append(address)
        else:
            recorder.complete(entry, recorder.open_ms(entry), output=items.outputs)


def open_items(recorder: TurnRecorder) -> None:
    """Open the next items of the maps in ``recorder.advanced_maps``."""
    advanced_maps, recorder.advanced_maps = recorder.advanced_maps, []
    for address in advanced_maps:
        entry = recorder.state.entries.get(address)
        if entry is not None and not recorder.is_abandoned(entry):
            _open_next(recorder, address, recorder.state.maps[address])


def _open_next(recorder: TurnRecorder, address: Address, items: MapProgress) -> None:
    node = recorder.graph.nodes[address.node]
    if not isinstance(node, Map):
        raise TypeError(f"{address} is no map")
    in_preflight = recorder.in_preflight
    room = node.max_concurrency - items.open - in_preflight.items(address)
    found = items.unopened(room, in_preflight.following(address))
    next_ones = [address._replace(index=index) for index in found]
    free = recorder.defer_blocked(next_ones)
    if starts_child(node):
        recorder.result.preflight += free
        return
    for item in free:
        start_attempt(recorder, item, 1)
