"""The rules of definition documents. All faults are reported at once, each with its place."""
