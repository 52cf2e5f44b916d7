"""How a map advances: its items open in order, up to ``max_concurrency`` at once; the map closes last."""

from __future__ import annotations

from infraweave.core.run.address import Address, made
from infraweave.core.run.entries import MapProgress
from infraweave.core.run.openings import start_attempt
from infraweave.core.run.recorder import TurnRecorder
from infraweave.core.workflow.document import Map, starts_child


def close_maps(recorder: TurnRecorder) -> None:
    """Close the advanced maps that are complete. The others stay in ``recorder.advanced_maps``."""
    advanced, recorder.advanced_maps = dict.fromkeys(recorder.advanced_maps), []
    for address in advanced:
        entry, items = recorder.state.entries.get(address), recorder.state.maps.get(address)
        if entry is None or items is None:
            continue
        if items.closed < items.total or items.stopped:
            recorder.advanced_maps.append(address)
        else:
            recorder.complete(entry, recorder.open_ms(entry), output=items.outputs)


def open_items(recorder: TurnRecorder) -> None:
    """Open the next items of the advanced maps."""
    advanced, recorder.advanced_maps = recorder.advanced_maps, []
    for address in advanced:
        entry = recorder.state.entries.get(address)
        if entry is not None and not recorder.is_abandoned(entry):
            _open_next(recorder, address, recorder.state.maps[address])


def _open_next(recorder: TurnRecorder, address: Address, items: MapProgress) -> None:
    node = recorder.graph.nodes[address.node]
    if not isinstance(node, Map):
        raise TypeError(f"{address} is not a map")
    preflights = recorder.in_preflight
    room, first = node.max_concurrency - items.open, 0
    if preflights.entries:
        room, first = room - preflights.items(address), preflights.next_index(address)
    name, iteration, _, phase = address
    indexes = items.unopened(room, first)
    free = recorder.defer_blocked([made(Address, (name, iteration, index, phase)) for index in indexes])
    if starts_child(node):
        recorder.result.preflight += free
        return
    for item in free:
        start_attempt(recorder, item, 1)
