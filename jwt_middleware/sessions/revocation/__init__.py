"""How a process learns which tokens were revoked."""
