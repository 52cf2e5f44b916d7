"""The routes of the server itself: health, metrics, statistics, sign-in, and the console."""
