"""The drawing of a workflow's graph."""
