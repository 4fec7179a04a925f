"""HTTP: the only rooms that see an environ."""
