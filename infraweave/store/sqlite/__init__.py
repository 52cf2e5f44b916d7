"""The SQLite file itself: connections, the one writer, statements, migrations, and locks."""
