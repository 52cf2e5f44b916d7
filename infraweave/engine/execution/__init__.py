"""Attempts, and the code that they call: on the loop, in threads, in processes, over HTTP."""
