"""The shell around the pure core: slots, live runs, bodies, timers. Does I/O; decides nothing about runs."""
