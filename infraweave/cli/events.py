"""How the events of a run look on a terminal."""

from __future__ import annotations

from typing import Any


def told(event: dict[str, Any]) -> str:
    """Return how an event looks on the terminal; empty for those that say nothing new there."""
    place = event.get("node", "")
    if event.get("phase") == "compensation":
        place = f"undo {place}"
    match event["type"]:
        case "node_started":
            return f"{place} started" + (f" (attempt {event['attempt']})" if event["attempt"] > 1 else "")
        case "node_completed":
            skipped = f", skips {', '.join(event['skipped'])}" if event.get("skipped") else ""
            return f"{place} completed in {event['latency_ms']} ms{skipped}"
        case "node_failed":
            return f"{place} failed: {event['message']}"
        case "input_requested":
            return f"{place} asks: {event['prompt']}"
        case "input_resolved":
            return f"{place} {event['outcome'].replace('_', ' ')}"
        case "status_changed" if event.get("cancel_requested"):
            return "cancel requested"
        case "completed" | "failed" | "cancelled":
            return str(event["type"])
        case _:
            return ""
