"""
The same check in the frameworks that come with one, each beside the same view without it.

Each is configured to verify what we verify: signature, issuer, audience and times of one HS256
token under one key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .subject import AUDIENCE, ISSUER, SECRET

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class Pair(NamedTuple):
    """A framework's app with its view protected, and with the same view open, at ``/``."""

    protected: WSGIApplication
    bare: WSGIApplication


def flask_jwt_extended() -> Pair:
    from flask import Flask
    from flask_jwt_extended import JWTManager, jwt_required

    def app(*, protected: bool) -> Any:
        flask = Flask("benchmark")
        flask.config.update(
            JWT_SECRET_KEY=SECRET,
            JWT_DECODE_ISSUER=ISSUER,
            JWT_DECODE_AUDIENCE=AUDIENCE,
            JWT_TOKEN_LOCATION=["headers"],
        )
        JWTManager(flask)
        flask.get("/")(jwt_required()(_hello) if protected else _hello)
        return flask

    return Pair(app(protected=True), app(protected=False))


def authlib() -> Pair:
    from authlib.integrations.flask_oauth2 import ResourceProtector
    from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
    from flask import Flask
    from joserfc.jwk import KeySet, OctKey

    key_set = KeySet([OctKey.import_key(SECRET, {"kid": "2026-11"})])

    class Validator(JWTBearerTokenValidator):  # type: ignore[misc]  # the library has no types
        def get_jwks(self) -> Any:
            return key_set

    def app(*, protected: bool) -> Any:
        flask = Flask("benchmark")
        protector = ResourceProtector()
        protector.register_token_validator(Validator(issuer=ISSUER, resource_server=AUDIENCE))
        flask.get("/")(protector()(_hello) if protected else _hello)
        return flask

    return Pair(app(protected=True), app(protected=False))


def simplejwt() -> Pair:
    """Return Django REST framework apps; the protected one asks no database for the user."""
    from django.conf import settings

    settings.configure(
        ALLOWED_HOSTS=["*"],
        SECRET_KEY=SECRET,
        ROOT_URLCONF=(),
        MIDDLEWARE=[],
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework"],
        REST_FRAMEWORK={"UNAUTHENTICATED_USER": None},
        SIMPLE_JWT={
            "SIGNING_KEY": SECRET,
            "ISSUER": ISSUER,
            "AUDIENCE": AUDIENCE,
            "USER_ID_CLAIM": "user_id",
        },
    )
    import django

    django.setup()
    from django.core.handlers.wsgi import WSGIHandler
    from django.urls import path
    from rest_framework.response import Response
    from rest_framework.views import APIView
    from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication

    class Bare(APIView):  # type: ignore[misc]
        authentication_classes: tuple[Any, ...] = ()

        def get(self, _request: Any) -> Any:
            return Response({"hello": "world"})

    class Protected(Bare):
        authentication_classes = (JWTStatelessUserAuthentication,)

    handler = WSGIHandler()
    settings.ROOT_URLCONF = (path("", Protected.as_view()), path("bare", Bare.as_view()))
    return Pair(handler, _at(handler, "/bare"))


def _at(app: WSGIApplication, path: str) -> WSGIApplication:
    return lambda environ, start_response: app({**environ, "PATH_INFO": path}, start_response)


def _hello() -> dict[str, str]:
    return {"hello": "world"}
