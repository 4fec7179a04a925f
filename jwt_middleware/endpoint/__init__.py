"""The token endpoint and the paths below it: login, refresh, revocation, introspection, logout."""
