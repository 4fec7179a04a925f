"""Session store in SQLite or PostgreSQL."""
