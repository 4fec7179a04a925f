"""The token endpoint, a WSGI app: login, refresh, and the paths below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ..accounts import AccountLookup, AccountVerifier
from ..bounds import check_whole
from ..core.issuer import TokenIssuer
from ..core.payload import check_lifetime
from ..core.verifier import TokenVerifier
from ..errors import (
    AuthError,
    ConfigurationError,
    MethodNotAllowedError,
    UnavailableError,
)
from ..sessions import Grant, Sessions
from ..sessions.session import SERVICE
from ..wsgi.paths import is_plain
from ..wsgi.responses import Responses, preferred_language
from .body import read_octets
from .clients import ClientAuthentication
from .forms import ClientForm, check_codes, check_form, read_login
from .grants import Grants
from .limits import ClientAddresses, LoginThrottle
from .logins import LIFETIMES, Credentials, Logins
from .logout import LogoutPaths
from .subjects import Subjects
from .tokens import TokenPaths

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DEFAULT_MAX_BODY_BYTES: Final = 64 * 1024
_SECRET_METHODS: Final = ("client_secret_basic", "client_secret_post")


class TokenEndpoint:
    """
    Issues tokens for ``POST {account, secret, type}``, as JSON or urlencoded.

    A request with a ``grant_type``, or from a client that authenticates itself, is an OAuth 2.0
    request and gets an OAuth 2.0 response (RFC 6749): ``client_credentials`` for accounts of the
    type ``service``, and with *sessions* ``refresh_token``.  With *sessions* there are also
    ``revoke`` (RFC 7009), ``introspect`` (RFC 7662), ``logout`` and ``logout-all`` below *path*.

    It is a WSGI app: :class:`JWTMiddleware` mounts it at all its paths, and any other dispatcher of
    WSGI apps can mount it at its own path or below another.

    Args:
        issuer: Issues the tokens.
        verifiers: Name of a client type to the account verifier that logs it in.
        path: Path of the endpoint; it answers with and without a trailing slash.
        responses: Style and realm of the responses.
        max_body_bytes: A longer request body is refused.
        sessions: Store the issued tokens' sessions, for refresh and revocation; of the same
            *issuer*.
        verifier: Verifies tokens to be revoked; made with ``is_revoked=sessions.revocations``.
        lookups: Name of a client type to its account lookup (by uid), called after each login and
            at each refresh.  Required for each type with *sessions*; ``None`` lets sessions outlast
            their accounts.
        subjects: Name of a client type to the template of its subjects, ``"ldap:{uid}"``; see
            :class:`~.subjects.Subjects`.
        lifetimes: Name of a client type to its ``{"lifetime_seconds": …}`` of access tokens,
            ``{"refresh_lifetime_seconds": …}`` of refresh tokens, or both.
        forms: Name of a client type to a subclass of :class:`~.forms.ClientForm`.
        codes: Name of a custom client type to the number that a form may send for it.
        resources: *resource* value (RFC 8707) to its audience, in addition to the audiences of
            *issuer*.
        prefix: Path of the issuer's URL; the endpoint also answers below it.
        throttle: Limits login attempts; by default, with *sessions*, one in their store.
        trusted_proxies: As for :class:`~.limits.ClientAddresses`.

    Raises:
        ConfigurationError: A part is missing or unusable.
    """

    def __init__(  # noqa: PLR0913  all by name
        self,
        *,
        issuer: TokenIssuer,
        verifiers: Mapping[str, AccountVerifier],
        path: str = "/token",
        responses: Responses | None = None,
        max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
        sessions: Sessions | None = None,
        verifier: TokenVerifier | None = None,
        lookups: Mapping[str, AccountLookup | None] | None = None,
        subjects: Mapping[str, str] | None = None,
        lifetimes: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
        forms: Mapping[str, type[ClientForm]] = MappingProxyType({}),
        codes: Mapping[str, int] = MappingProxyType({}),
        resources: Mapping[str, str] = MappingProxyType({}),
        prefix: str = "",
        throttle: LoginThrottle | None = None,
        trusted_proxies: int = 0,
    ) -> None:
        if not isinstance(issuer, TokenIssuer):
            raise ConfigurationError("issuer must be a TokenIssuer")
        _check_path(path)
        _check_callables("verifiers", verifiers, example="User.verify")
        check_whole("max_body_bytes", max_body_bytes, 1)
        given = {one: look_up for one, look_up in (lookups or {}).items() if look_up is not None}
        if given:
            _check_callables("lookups", given, example="User.find")
        if sessions is not None:
            _check_lookups(verifiers, lookups or {})
        if throttle is None and sessions is not None:
            throttle = LoginThrottle(sessions.store)
        verifiers = {str(client_type): verify for client_type, verify in verifiers.items()}
        _check_lifetimes(lifetimes, verifiers)
        _check_forms(forms, verifiers)
        check_codes(codes, verifiers)
        self.path = path
        self.issuer = issuer
        self.verifiers = verifiers
        self._base = path.rstrip("/")
        self._bases = frozenset({self._base, prefix.rstrip("/") + self._base})
        self._forms = forms
        self._codes = codes
        self.responses: Responses = (
            Responses(trusted_proxies=trusted_proxies) if responses is None else responses
        )
        self.max_body_bytes = max_body_bytes
        self.sessions = sessions
        self._oauth = self.responses.for_oauth()
        self.subjects: Subjects = Subjects(self.verifiers, subjects or {})
        self._logins = Logins(
            issuer=issuer.issuer,
            verifiers=self.verifiers,
            lookups=given,
            subjects=self.subjects,
            throttle=throttle,
            addresses=ClientAddresses(trusted_proxies),
            lifetimes=lifetimes,
        )
        clients = ClientAuthentication(self._logins)
        self._grants = Grants(
            issuer=issuer,
            sessions=sessions,
            logins=self._logins,
            clients=clients,
            resources=dict(_spellings({one: one for one in issuer.audiences} | {**resources})),
        )
        self._below: Mapping[str, WSGIApplication] = {}
        if sessions is not None:
            checked = _checked_verifier(verifier, sessions, issuer)
            self._below = self._make_below(sessions, checked, clients)

    @property
    def paths(self) -> frozenset[str]:
        """The exact values of ``PATH_INFO`` that the endpoint answers."""
        suffixes = ["", *(f"/{name}" for name in self._below)]
        found = {base + suffix for base in self._bases for suffix in suffixes}
        return frozenset(found | {f"{path}/" for path in found})

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if self._shares_no_sessions(environ):
            error = UnavailableError(
                "sessions in memory are not shared with the other workers of this server: give "
                "[sessions] a url of SQLite, PostgreSQL or Redis, or run one worker"
            )
            return self.responses.refuse(error, environ, start_response)
        path = environ.get("PATH_INFO", "").rstrip("/")
        # Compares the end: below a mount, PATH_INFO lacks the mount's prefix.
        below = None if path in self._bases else self._below.get(path.rpartition("/")[2])
        return (below or self._issue)(environ, start_response)

    def metadata(self, base: str) -> dict[str, object]:
        """Return the members of RFC 8414 §2 that describe this endpoint, below the URL *base*."""
        url = base + self._base
        grant_types: list[str] = []
        methods = ["none"]
        members: dict[str, object] = {"token_endpoint": base + self.path}
        with_clients = SERVICE in self.verifiers  # only they have a secret (RFC 6749 §2.3)
        if with_clients:
            grant_types.append("client_credentials")
            methods += _SECRET_METHODS
        if self.sessions is not None:
            grant_types.append("refresh_token")
            members["revocation_endpoint"] = f"{url}/revoke"
            members["revocation_endpoint_auth_methods_supported"] = methods
            if with_clients:
                members["introspection_endpoint"] = f"{url}/introspect"
                members["introspection_endpoint_auth_methods_supported"] = _SECRET_METHODS
        members["token_endpoint_auth_methods_supported"] = methods
        if grant_types:  # RFC 8414 §3.2 forbids empty arrays
            members["grant_types_supported"] = grant_types
        return members

    def _issue(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        is_client = _authenticates_client(environ) or "grant_type" in environ.get(
            "QUERY_STRING", ""
        )
        responses = self._oauth if is_client else self.responses
        try:
            if environ["REQUEST_METHOD"] != "POST":
                raise MethodNotAllowedError(allowed=["POST"])
            read = read_octets(environ, max_bytes=self.max_body_bytes)
            if b"grant_type" in read.octets:  # even if the body cannot be parsed
                responses = self._oauth
            body = read.parse()
            if _is_of_oauth(body, is_client=is_client):
                responses = self._oauth
                grant = self._grants.exchange(environ, body)
            else:
                responses = self.responses
                grant = self._log_in(environ, body)
        except (AuthError, UnavailableError) as error:
            return responses.refuse(error, environ, start_response)
        return responses.grant(grant, environ, start_response)

    def _log_in(self, environ: WSGIEnvironment, body: Mapping[str, object]) -> Grant:
        login = read_login(
            body,
            self._forms,
            client_types=self.verifiers,
            codes=self._codes,
            language=partial(preferred_language, environ),
        )
        credentials = Credentials(login.account, login.secret)
        identity = self._logins.verify(login.client_type, [credentials], environ, login.further)
        return self._grants.log_in(identity, login.client_type, body)

    def _make_below(
        self, sessions: Sessions, verifier: TokenVerifier, clients: ClientAuthentication
    ) -> Mapping[str, WSGIApplication]:
        tokens = TokenPaths(
            sessions=sessions,
            verifier=verifier,
            clients=clients,
            responses=self._oauth,
            max_body_bytes=self.max_body_bytes,
        )
        logout = LogoutPaths(sessions=sessions, verifier=verifier, responses=self.responses)
        return {
            "revoke": tokens.revoke,
            "introspect": tokens.introspect,
            "logout": logout.log_out,
            "logout-all": logout.log_out_all,
        }

    def _shares_no_sessions(self, environ: WSGIEnvironment) -> bool:
        if self.sessions is None or not environ.get("wsgi.multiprocess"):
            return False
        return self.sessions.store.single_process


_LOGIN_FIELDS: Final = frozenset({"account", "secret", "type"})
_OAUTH_PARAMETERS: Final = frozenset(
    {
        *("client_id", "client_secret", "client_assertion", "client_assertion_type"),
        *("refresh_token", "code", "redirect_uri", "username", "password", "scope", "resource"),
    }
)


def _authenticates_client(environ: WSGIEnvironment) -> bool:
    authorization: str = environ.get("HTTP_AUTHORIZATION", "")
    return authorization.partition(" ")[0].lower() == "basic"


def _is_of_oauth(body: Mapping[str, object], *, is_client: bool) -> bool:
    """Return whether this is an OAuth request, even if *grant_type* is missing."""
    if "grant_type" in body:
        return True
    if not _LOGIN_FIELDS.isdisjoint(body):
        return False
    return is_client or not _OAUTH_PARAMETERS.isdisjoint(body)


def _spellings(resources: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each resource with and without a trailing slash, exact spellings last."""
    for resource, audience in resources.items():
        if "://" in resource:
            yield resource.rstrip("/"), audience
            yield resource.rstrip("/") + "/", audience
    yield from resources.items()


def _check_path(path: str) -> None:
    base = path.removesuffix("/") if isinstance(path, str) else ""
    if not base.isascii() or base.endswith("/") or not base or not is_plain(base):
        raise ConfigurationError(f"path {path!r} must be like /token or /auth/token/")


def _check_lifetimes(
    lifetimes: Mapping[str, Mapping[str, int]], verifiers: Mapping[str, object]
) -> None:
    for client_type, members in lifetimes.items():
        where = f"lifetimes.{client_type}"
        if client_type not in verifiers:
            raise ConfigurationError(f"{where} names a client type without a verifier")
        for name, seconds in members.items():
            if name not in LIFETIMES:
                raise ConfigurationError(f"{where}.{name} is none of {', '.join(LIFETIMES)}")
            try:
                check_lifetime(f"{where}.{name}", seconds)
            except ValueError as error:
                raise ConfigurationError(str(error)) from None


def _check_forms(forms: Mapping[str, type[ClientForm]], verifiers: Mapping[str, object]) -> None:
    for client_type, form in forms.items():
        if client_type not in verifiers:
            raise ConfigurationError(f"forms.{client_type} names a client type without a verifier")
        if client_type == SERVICE:
            raise ConfigurationError(
                f"forms.{SERVICE}: clients authenticate by name and secret alone (RFC 6749 §2.3)"
            )
        check_form(client_type, form)


def _check_callables(setting: str, given: Mapping[str, object], *, example: str) -> None:
    if (
        not isinstance(given, Mapping)
        or not given
        or not all(callable(one) for one in given.values())
    ):
        raise ConfigurationError(
            f'{setting} must map client types to callables, as in {{"email": {example}}}'
        )


def _check_lookups(
    verifiers: Mapping[str, AccountVerifier], lookups: Mapping[str, AccountLookup | None]
) -> None:
    for client_type in verifiers:
        if client_type not in lookups:
            raise ConfigurationError(
                f"lookups.{client_type} is missing: with sessions, give a function that"
                ' finds accounts by uid, to refuse deleted ones, or None (in a file, "none") for'
                " sessions that outlast their accounts"
            )


def _checked_verifier(
    verifier: TokenVerifier | None, sessions: Sessions, issuer: TokenIssuer
) -> TokenVerifier:
    if sessions.issuer is not issuer:
        raise ConfigurationError("sessions must be made with the same issuer as the endpoint")
    if (
        not isinstance(verifier, TokenVerifier)
        or issuer.issuer not in verifier.trusted
        or not verifier.checks_revocation  # otherwise a logout would succeed without effect
    ):
        raise ConfigurationError(
            "with sessions, verifier must be a TokenVerifier of the issuer's own tokens, made with"
            " is_revoked=sessions.revocations"
        )
    return verifier
