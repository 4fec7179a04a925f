"""Tokens: pure, no environ, no HTTP status, no I/O."""
