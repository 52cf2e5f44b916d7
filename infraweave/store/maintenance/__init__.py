"""Tools for a file at rest or in use: verify, back up, count."""
