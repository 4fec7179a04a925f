"""Where sessions, revocations and login attempts are stored."""
