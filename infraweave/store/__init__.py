"""The one SQLite file: the only place with SQL. Times come in as integers; nothing here reads a clock."""
