"""Drawing a graph: where its nodes and edges stand."""
