"""The state machine of a run: what happened goes in as facts, and events come out."""
