"""``check`` and ``explain``: validate a configuration, and explain its decisions."""
