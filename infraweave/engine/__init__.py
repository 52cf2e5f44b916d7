"""The shell around the pure core: it admits, runs, wakes and stores runs, and calls author code.

It does the I/O; what happens to a run is decided in ``core/run``.
"""
