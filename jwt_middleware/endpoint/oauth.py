"""Answers in the terms of OAuth 2.0, in which ordinary clients read them (RFC 6749 §5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..errors import AuthError, UnavailableError
from ..sessions import Grant
from ..wsgi.responses import answer_to, further_headers, send_json, token_members

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class OAuthResponses:
    """
    How the endpoint speaks to who speaks OAuth, whatever the style of the other answers.

    Args:
        realm: Named in a challenge; as for :class:`~.responses.Responses`.
    """

    def __init__(self, realm: str) -> None:
        self.realm = realm

    def refuse(
        self,
        error: AuthError | UnavailableError,
        environ: WSGIEnvironment,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        """Answer *error*, and log it.  Source: RFC 6749 §5.2; in English, as its grammar is."""
        answer = answer_to(error)
        headers = [*further_headers(error)]
        if answer.status == 401:
            # Of all ways to authenticate this is the one that HTTP has a challenge for.
            challenge = f'Basic realm="{self.realm}", charset="UTF-8"'  # RFC 7617 §2.1
            headers.append(("WWW-Authenticate", challenge))
        code = answer.grant_error or error.code
        body = {"error": code, "error_description": error.sentence}
        return self.say(body, environ, start_response, status=answer.status, headers=headers)

    def grant(
        self, grant: Grant, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer with tokens."""
        return self.say(token_members(grant), environ, start_response)

    def say(
        self,
        members: Mapping[str, object],
        environ: WSGIEnvironment,
        start_response: StartResponse,
        *,
        status: int = 200,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Iterable[bytes]:
        """Answer with an object.  Source: RFC 6749 §5.1 for the headers against caching."""
        headers = [("Pragma", "no-cache"), *headers]
        return send_json(environ, start_response, status, headers, members)

    def confirm(self, start_response: StartResponse) -> Iterable[bytes]:
        """Answer that it is done.  Source: RFC 7009 §2.2: the status says it, not the body."""
        start_response(
            "200 OK",
            [
                ("Content-Type", "text/plain"),
                ("Content-Length", "0"),
                ("Cache-Control", "no-store"),
                ("Pragma", "no-cache"),
            ],
        )
        return []
