"""The token endpoint: one login, straight down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from werkzeug.wrappers import Request

from ..accounts import AccountVerifier, Identity
from ..core.issuer import TokenIssuer
from ..core.payload import JWTPayload
from ..errors import AuthError, ConfigurationError, MethodNotAllowedError, UnavailableError
from .body import read_body
from .forms import ClientForm
from .paths import read_path
from .responses import Responses, preferred_language

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

DEFAULT_MAX_BODY_BYTES: Final = 64 * 1024


class TokenEndpoint:
    """
    Issues tokens for ``POST {account, secret, type}``, as JSON or urlencoded.

    A WSGI app of its own: :class:`JWTMiddleware` mounts it at *path*, and so can anything else
    that mounts WSGI apps, at its own path or below another.

    Args:
        issuer: Issues the tokens.
        verifiers: Name of a client type to the account verifier that logs it in.
        path: The exact path it answers at.
        responses: Style and realm of the answers.
        max_body_bytes: A longer request body is refused.

    Raises:
        ConfigurationError: A part is missing or unusable.
    """

    def __init__(
        self,
        *,
        issuer: TokenIssuer,
        verifiers: Mapping[str, AccountVerifier],
        path: str = "/token",
        responses: Responses | None = None,
        max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
    ) -> None:
        if not isinstance(issuer, TokenIssuer):
            raise ConfigurationError("issuer must be a TokenIssuer")
        if (
            not isinstance(path, str)
            or not path.isascii()
            or path.endswith("/")
            or not read_path(path).canonical
        ):
            raise ConfigurationError(f"path {path!r} must be like /token or /auth/token")
        if not verifiers or not all(callable(verifier) for verifier in verifiers.values()):
            raise ConfigurationError(
                'verifiers must map client types to callables, as in {"email": User.verify}'
            )
        if type(max_body_bytes) is not int or max_body_bytes < 1:
            raise ConfigurationError("max_body_bytes must be a whole number, at least 1")
        self.path = path
        self.issuer = issuer
        self.verifiers = dict(verifiers)
        self.responses = responses if responses is not None else Responses()
        self.max_body_bytes = max_body_bytes

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        try:
            payload = self._log_in(Request(environ))
        except (AuthError, UnavailableError) as error:
            return self.responses.refuse(error, environ, start_response)
        issued = self.issuer.issue(payload)
        return self.responses.grant(issued, payload.scope, environ, start_response)

    def _log_in(self, request: Request) -> JWTPayload:
        if request.method != "POST":
            raise MethodNotAllowedError(allowed=["POST"])
        body = read_body(request, max_bytes=self.max_body_bytes)
        form = ClientForm(
            body, client_types=self.verifiers, language=preferred_language(request.environ)
        ).validate_for_api()
        verify = self.verifiers[form.type.data]
        identity = Identity.of(verify(form.account.data, form.secret.data))
        return JWTPayload(
            uid=identity.uid, auth=identity.auth, scope=identity.scope, ac_type=form.type.data
        )


def _is_plain(path: str) -> bool:
    if not isinstance(path, str) or not path.isascii() or path.endswith("/"):
        return False
    return read_path(path).canonical
