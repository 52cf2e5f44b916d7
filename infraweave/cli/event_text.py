"""Describes the events of a run for a terminal."""

from __future__ import annotations

from typing import Any

from infraweave.cli.output import is_interruption, node_label, plain


def event_text(event: dict[str, Any]) -> str:
    """Return one line that describes an event, or an empty string for events not worth a line."""
    return plain(_describe(event))


def _describe(event: dict[str, Any]) -> str:
    place = node_label(event)
    match event["type"]:
        case "node_started":
            return f"{place} {_describe_start(event)}" + (
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


def _describe_start(event: dict[str, Any]) -> str:
    if "items" in event:
        return f"started, {event['items']} items"
    if "signal" in event:
        return "waits for its signal"
    if "wake_at" in event:
        return f"sleeps until {event['wake_at']}"
    return f"started as {event['child_run_id']}" if "child_run_id" in event else "started"
