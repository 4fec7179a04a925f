"""Forms of the reader's app."""

from __future__ import annotations

from jwt_middleware import ClientForm


class LDAPForm(ClientForm):
    """Asks for what the others ask for."""


class OneTimeCodeForm(ClientForm):
    """The same, under the name that another page has."""
