"""``check`` and ``explain``: check a configuration, and explain decisions about requests."""
