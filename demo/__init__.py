"""A protected app to try with curl: ``python -m demo``."""
