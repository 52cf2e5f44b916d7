"""The pure core: data, workflow definitions, and the state machine of a run. No clock, random numbers or I/O."""
