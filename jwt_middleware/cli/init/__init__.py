"""``init``: a commented configuration, also for an identity provider."""
