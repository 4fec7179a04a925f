"""SQLite and PostgreSQL connections, used by accounts and sessions."""
