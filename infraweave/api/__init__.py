"""The HTTP door: routes, shapes, tokens, streams. The only place that knows Quart; decides nothing about runs."""
