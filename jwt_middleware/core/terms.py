"""Parse the settings of an issuer; each function raises ConfigurationError if invalid."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, TypedDict

from ..errors import ConfigurationError
from .claim_path import ClaimName, parse_path
from .claims import SubjectSource, has_control_characters

Profile = Literal["at+jwt"]
Kind = Literal["access", "id"]

# A typ in lower case, without "application/"; None if the header has none.
_ANY_TYPE: Final = frozenset({None, "jwt", "at+jwt"})
RFC9068_TYPE: Final = frozenset({"at+jwt"})
_ID_TYPE: Final = frozenset({None, "jwt"})

_HEADER_NAME: Final = re.compile("[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")
# Headers with other meanings; Remote-User is removed from every request.
_OTHER_HEADERS: Final = frozenset(
    {"connection", "content-length", "content-type", "cookie", "host", "remote-user"}
)


class Terms(TypedDict, total=False):
    """Optional parameters of :class:`TrustedIssuer` on the format of its tokens."""

    kind: Kind
    audience_claim: ClaimName | None
    subject_from: Sequence[ClaimName | Mapping[str, object]] | None
    scopes_from: Sequence[ClaimName | Mapping[str, object]] | None
    require_any: Sequence[ClaimName] | None
    max_token_lifetime_seconds: float | None
    header: str | None
    accept_sender_constrained: bool


def read_audiences(audience: object) -> frozenset[str]:
    """Parse one or several audiences."""
    named = [audience] if isinstance(audience, str) else audience
    audiences = tuple(named) if isinstance(named, Iterable) else ()
    if not audiences or not all(isinstance(one, str) and one for one in audiences):
        raise ConfigurationError("audience must be one or more non-empty strings")
    return frozenset(audiences)


def read_tenants(issuer: object, tenants: object) -> Mapping[str, str]:
    """Return the tenant of each *iss*; empty for an issuer without tenants."""
    if not isinstance(issuer, str) or not issuer:
        raise ConfigurationError("issuer must be a non-empty string, the iss of accepted tokens")
    if tenants is None:
        if "{" in issuer:
            raise ConfigurationError(
                'issuer holds a placeholder: list the trusted tenants, as in tenants = ["…"]'
            )
        return MappingProxyType({})
    if issuer.count("{tid}") != 1 or issuer.count("{") != 1:
        raise ConfigurationError("tenants: issuer must contain {tid} once, in place of the tenant")
    named = tuple(tenants) if isinstance(tenants, Iterable) and not isinstance(tenants, str) else ()
    if not named or not all(isinstance(one, str) and one for one in named):
        raise ConfigurationError("tenants must be a list of one or more tenant ids")
    return MappingProxyType({issuer.replace("{tid}", tenant): tenant for tenant in named})


def read_accepted_types(
    kind: object, token_type: Profile | None, profile: Profile | None
) -> frozenset[str | None]:
    """Return the accepted *typ* values, in lower case."""
    for name, value in (("token_type", token_type), ("profile", profile)):
        if value is not None and value != "at+jwt":
            raise ConfigurationError(f'{name} must be None or "at+jwt"')
    if kind not in ("access", "id"):
        raise ConfigurationError('kind must be "access" or "id"')
    if token_type is None and profile is None:
        return _ANY_TYPE if kind == "access" else _ID_TYPE
    if kind == "id":
        raise ConfigurationError(
            'kind "id" and at+jwt, which is for access tokens, exclude each other'
        )
    return RFC9068_TYPE


def read_subject_sources(value: object) -> tuple[SubjectSource, ...]:
    """Parse the claims that may name the subject, in order."""
    if not isinstance(value, list | tuple) or not value:
        raise ConfigurationError(
            'subject_from must be a list, as in ["sub", { claim = "azp", prefix = "client:" }]'
        )
    sources = tuple(map(_subject_source, value))
    prefixes = {source.prefix for source in sources if source.prefix}
    for one in prefixes:
        if any(other != one and other.startswith(one) for other in prefixes):
            raise ConfigurationError("subject_from: no prefix may begin with another")
    return sources


def _subject_source(value: object) -> SubjectSource:
    if not isinstance(value, Mapping):
        path, prefix = parse_path(value, "subject_from"), ""
    elif value.keys() <= {"claim", "prefix"}:
        path, prefix = parse_path(value.get("claim"), "subject_from"), value.get("prefix", "")
    else:
        raise ConfigurationError('subject_from: a table is { claim = "…", prefix = "…" }')
    if not isinstance(prefix, str) or has_control_characters(prefix):
        raise ConfigurationError("subject_from: prefix must be printable text")
    if not prefix and path != ("sub",):
        raise ConfigurationError(
            f"subject_from: {'.'.join(path)} needs a prefix, or it could name a user: write "
            '{ claim = "…", prefix = "client:" }'
        )
    return SubjectSource(path, prefix)


def read_header(name: object) -> str | None:
    """Check the name of the request header; ``None`` means ``Authorization``."""
    if name is None or (isinstance(name, str) and name.lower() == "authorization"):
        return None
    if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
        raise ConfigurationError(
            'header must be the name of a request header, as in "X-Forwarded-Access-Token"'
        )
    if name.lower() in _OTHER_HEADERS:
        raise ConfigurationError(f"header must not be {name}: it has another meaning")
    return name


def read_remote_user(template: str | None) -> str | None:
    """Check the template of ``REMOTE_USER``, if any."""
    if template is not None and (
        not isinstance(template, str)
        or template.count("{sub}") != 1
        or has_control_characters(template)
    ):
        raise ConfigurationError('remote_user must contain {sub} once, as in "partner:{sub}"')
    return template
