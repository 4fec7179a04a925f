"""Keys in a file that is read again when it changes."""
