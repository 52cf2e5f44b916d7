"""Runs in memory: what may be asked of them, how facts are applied, and what wakes them."""
