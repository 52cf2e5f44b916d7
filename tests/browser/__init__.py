"""The console, used as a person uses it: a real Chromium on a real server."""
