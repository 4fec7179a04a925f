"""Follow the revocations of a store."""
