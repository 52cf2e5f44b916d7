"""Schedules and webhooks: what starts runs without a caller."""
