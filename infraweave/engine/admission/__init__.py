"""Who may start now: concurrency limits and slots."""
