"""The WSGI layer; nothing else touches the environ."""
