"""What tests of workflows need: a clock that they turn."""

from infraweave.testing.clock import VirtualClock

__all__ = ["VirtualClock"]
