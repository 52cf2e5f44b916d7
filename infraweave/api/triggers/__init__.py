"""The routes of schedules and webhooks."""
