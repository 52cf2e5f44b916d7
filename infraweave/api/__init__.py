"""The HTTP door: routes, shapes, tokens, streams. Alone in knowing Quart; decides nothing about runs."""
