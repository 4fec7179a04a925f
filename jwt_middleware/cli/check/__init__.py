"""``check`` and ``explain``: what a configuration does, and what is wrong with it."""
