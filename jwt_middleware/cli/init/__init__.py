"""``init``: write a commented configuration, optionally for an identity provider."""
