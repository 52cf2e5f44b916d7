"""How the events of a run look on a terminal."""

from __future__ import annotations

from typing import Any

from infraweave.cli.output import is_interruption, node_label, plain


def event_text(event: dict[str, Any]) -> str:
    """Return how an event looks on the terminal; empty for those that say nothing new there."""
    return plain(_told(event))


def _told(event: dict[str, Any]) -> str:
    place = node_label(event)
    match event["type"]:
        case "node_started":
            return f"{place} {_begun(event)}" + (
                f" (attempt {event['attempt']})" if event["attempt"] > 1 else ""
            )
        case "node_completed":
            again = ", runs again" if event.get("again") else ""
            skipped = f", skips {', '.join(event['skipped'])}" if event.get("skipped") else ""
            return f"{place} completed in {event['latency_ms']} ms{again}{skipped}"
        case "node_failed":
            how = "was interrupted" if is_interruption(event) else "failed"
            return f"{place} {how}: {event['message']}"
        case "input_requested":
            return f"{place} asks: {event['prompt']}"
        case "input_resolved":
            return f"{place} {event['outcome'].replace('_', ' ')}"
        case "signal_received":
            return f"signal {event['name']} received from {event.get('by', 'outside')}"
        case "status_changed" if event.get("cancel_requested"):
            return "cancel requested"
        case "status_changed" if event["state"] == "queued":
            return "queued"
        case "completed" | "failed" | "cancelled":
            return str(event["type"])
        case _:
            return ""


def _begun(event: dict[str, Any]) -> str:
    if "items" in event:
        return f"started, {event['items']} items"
    if "signal" in event:
        return "waits for its signal"
    if "wake_at" in event:
        return f"sleeps until {event['wake_at']}"
    return f"started as {event['child_run_id']}" if "child_run_id" in event else "started"
