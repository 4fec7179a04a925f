"""The service's own key ring: a directory of keys with a manifest, and its rotation."""
