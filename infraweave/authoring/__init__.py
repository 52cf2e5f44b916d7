"""How authors declare workflows, and how a declaration becomes a document. Loads no server."""
