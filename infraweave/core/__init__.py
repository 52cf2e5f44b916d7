"""The pure heart: documents, events, the fold, and ``turn``. No clock, no chance, no I/O."""
