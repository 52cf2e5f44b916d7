"""The HTTP API: one folder for each resource, and ``http`` for what they share. Only it uses Quart."""
