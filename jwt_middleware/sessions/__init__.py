"""What outlives a token: sessions with their refresh tokens, and what was revoked."""
