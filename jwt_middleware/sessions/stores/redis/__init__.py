"""Sessions in Redis or Valkey.  Needs the extra ``redis``."""
