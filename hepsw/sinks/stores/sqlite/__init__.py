"""SQLite: the embedded store."""
