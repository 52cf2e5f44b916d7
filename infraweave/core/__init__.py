"""The pure core: data, workflow definitions and the state machine of a run, without clock, chance or I/O."""
