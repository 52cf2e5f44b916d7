"""The definition of a workflow: its document, its graph, its triggers, and the rules that it must keep."""
