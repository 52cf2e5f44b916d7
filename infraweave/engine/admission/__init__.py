"""Admission control: concurrency limits, the queue and the slots decide which runs may start."""
