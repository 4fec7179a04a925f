"""Subjects: make the claim *sub* from an account's uid, unique within the issuer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import combinations
from typing import Final

from ..accounts import AccountVerifier
from ..accounts.identity import NumberedAccounts
from ..core.claims import has_control_characters
from ..errors import ConfigurationError, UnavailableError

_UID: Final = "{uid}"


class Subjects:
    """
    Makes subjects, unique for each account (RFC 7519 §4.1.2).

    A template is a prefix and ``{uid}``: ``"ldap:{uid}"``.  With one source of accounts the default
    is ``"{uid}"``.  With several, only ``SQLAccounts`` has a default; the others need a template,
    so that adding a source never changes a subject.

    Args:
        verifiers: Client type to account verifier.  Verifiers of one ``SQLAccounts``, methods of
            one object or class, and the same function count as one source.
        templates: Client type to template.

    Raises:
        ConfigurationError: A template is invalid or missing, or two could make the same subject.
    """

    def __init__(
        self, verifiers: Mapping[str, AccountVerifier], templates: Mapping[str, str]
    ) -> None:
        for client_type, template in templates.items():
            if client_type not in verifiers:
                raise ConfigurationError(f"subjects.{client_type} is of a type that cannot log in")
            _check_template(client_type, template)
        sources = {one: _source(verifier) for one, verifier in verifiers.items()}
        several = len({id(source) for source in sources.values()}) > 1
        for client_type, source in sources.items():
            if several and client_type not in templates and not _has_int_uids(source):
                raise ConfigurationError(
                    f"subjects.{client_type} is missing: accounts of several sources log in here,"
                    " whose uids may be the same; add"
                    f' {client_type} = "{client_type}:{_UID}" to [endpoint.subjects]'
                )
        self._prefixes = {one: templates.get(one, _UID).removesuffix(_UID) for one in verifiers}
        for one, other in combinations(verifiers, 2):
            self._check_pair(one, other, sources)

    def subject(self, client_type: str, uid: int | str) -> str:
        """
        Return the subject of an account; an empty string if it is the uid itself.

        Raises:
            UnavailableError: It would start with another client type's prefix.
        """
        prefix = self._prefixes.get(client_type, "")
        subject = f"{prefix}{uid}"
        if prefix == "":
            for other in self._prefixes.values():
                if other and subject.startswith(other):
                    raise UnavailableError(
                        f"an account of the type {client_type} has a uid that begins with"
                        f" {other!r}, as subjects of another type do"
                    )
            return ""
        return subject

    def _check_pair(self, one: str, other: str, sources: Mapping[str, object]) -> None:
        prefix, longer = self._prefixes[one], self._prefixes[other]
        if len(prefix) > len(longer):
            one, other, prefix, longer = other, one, longer, prefix
        if prefix == longer:
            if sources[one] is sources[other]:
                return
            problem = f"and subjects.{other} are the same"
        elif prefix == "":
            # An int uid has digits only; a str uid is checked at each login.
            if not longer.removeprefix("-").isdigit():
                return
            problem = f"can be that of subjects.{other}"
        elif longer.startswith(prefix):
            problem = f"can be that of subjects.{other}"
        else:
            return
        raise ConfigurationError(
            f"subjects.{one} {problem}, so that two accounts could have one subject: write"
            f' {other} = "{other}:{_UID}" in [endpoint.subjects]'
        )


def _check_template(client_type: str, template: object) -> None:
    if (
        not isinstance(template, str)
        or not template.endswith(_UID)
        or not set(prefix := template.removesuffix(_UID)).isdisjoint("{}")
        or has_control_characters(prefix)
    ):
        raise ConfigurationError(
            f'subjects.{client_type} must be a prefix and {_UID}, as in "{client_type}:{_UID}"'
        )


def _source(verifier: AccountVerifier) -> object:
    """Return the object that verifiers of one uid namespace share."""
    found: object = verifier
    while isinstance(found, partial):
        found = found.func
    return getattr(found, "__self__", None) or found


def _has_int_uids(source: object) -> bool:
    return isinstance(source, NumberedAccounts)
