"""SQLite and PostgreSQL, for every package that stores something in one."""
