"""Sessions in SQLite or PostgreSQL.  Needs the extra ``sql``."""
