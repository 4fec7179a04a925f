"""A small Flask API in the style of the recipe: tokens by hand, one client type dispatched."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, g, jsonify, request
from werkzeug.exceptions import HTTPException

from jwt_middleware import (
    ClientForm,
    ClientTypeEnum,
    JWTPayload,
    generate_payload,
    generate_token,
    verify_token,
)
from jwt_middleware.errors import BadCredentialsError as AuthFailed
from jwt_middleware.errors import InvalidFormError as ParameterException
from jwt_middleware.errors import InvalidTokenError

api = Blueprint("v1", __name__)
USERS = {"ann@example.com": {"uid": 1, "scope": 1, "password": "123456", "nickname": "Ann"}}


class APIException(HTTPException):
    code = 500
    msg: Any = "sorry, we made a mistake"
    error_code = 999

    def __init__(self, msg: Any = None, code: int | None = None, error_code: int | None = None):
        self.code = code or type(self).code
        self.msg = msg or type(self).msg
        self.error_code = type(self).error_code if error_code is None else error_code
        super().__init__(str(self.msg))

    def get_response(self, *_: Any, **__: Any) -> Any:
        path = f"{request.method} {request.path}"
        body = jsonify(msg=self.msg, error_code=self.error_code, request=path)
        body.status_code = self.code
        return body


class Success(APIException):
    code = 201
    msg = "ok"
    error_code = 0


class User:
    @staticmethod
    def verify(account: str, secret: str) -> dict[str, Any]:
        user = USERS.get(account)
        if user is None or user["password"] != secret:
            raise AuthFailed
        return {"uid": user["uid"], "scope": user["scope"]}


@api.route("/token", methods=["POST"])
def get_token() -> Any:
    form = ClientForm(data=request.json).validate_for_api()
    promise = {ClientTypeEnum.USER_EMAIL: User.verify}
    identity = promise[ClientTypeEnum(form.type.data)](form.account.data, form.secret.data)
    payload = generate_payload(
        uid=identity["uid"], ac_type=form.type.data.value, scope=identity["scope"]
    )
    token = generate_token(payload, 7200)
    raise Success(msg=token)


@api.route("/token/secret", methods=["POST"])
def get_info() -> Any:
    claims = verify_token(request.json["token"])
    return jsonify(scope=claims["scope"], uid=claims["uid"], ac_type=claims["ac_type"])


@api.route("/token/by-hand", methods=["POST"])
def by_hand() -> Any:
    payload = JWTPayload(1, "blue", 1, ClientTypeEnum.EMAIL)  # type: ignore[arg-type]
    members = {"uid": payload.uid, "scope": None, "ac_type": 100, "nickname": "Ann"}
    return jsonify(first=generate_token(payload, 7200), second=generate_token(members, 7200))


@api.route("/user")
def get_user() -> Any:
    return jsonify(uid=request.environ["jwt_middleware.claims"]["uid"])


def create_app() -> Flask:
    app = Flask(__name__)
    app.register_blueprint(api, url_prefix="/v1")

    @app.errorhandler(ParameterException)
    def parameters(error: ParameterException) -> Any:
        return APIException(error.fields, 400, 1002).get_response()

    @app.errorhandler(AuthFailed)
    def login(_: AuthFailed) -> Any:
        return APIException("authorization failed", 401, 1004).get_response()

    @app.errorhandler(InvalidTokenError)
    def token(_: InvalidTokenError) -> Any:
        return APIException("token is invalid", 401, 1005).get_response()

    @app.before_request
    def remember() -> None:
        g.seen = True

    return app


app = create_app()
