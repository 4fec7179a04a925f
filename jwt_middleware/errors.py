"""
The one error tree.  Whatever a caller sends, only these come out.

JWTMiddlewareError
├─ ConfigurationError(ValueError)       at construction only; names the setting and the mend
├─ UnavailableError                     revocation, keys or accounts cannot be consulted
└─ AuthError
   ├─ MissingTokenError                 no bearer token was presented
   ├─ BadCredentialsError               account and secret do not belong together
   ├─ TooManyAttemptsError .retry_after_seconds
   ├─ InvalidGrantError                 a refresh token that is not accepted
   ├─ InvalidRequestError               the request cannot be understood
   │  ├─ InvalidFormError .fields
   │  ├─ InvalidScopeError, InvalidTargetError, UnsupportedGrantTypeError, UnsupportedTokenTypeError
   │  ├─ NotFoundError
   │  ├─ MethodNotAllowedError .allowed
   │  ├─ BodyTooLargeError
   │  └─ UnsupportedMediaTypeError
   ├─ InsufficientScopeError .scope     a good token that is not enough
   └─ InvalidTokenError
      ├─ MalformedTokenError, AlgorithmNotAllowedError, UnknownKeyError .kid
      ├─ InvalidSignatureError, RevokedTokenError
      └─ InvalidClaimError .claim
         └─ MissingClaimError, ExpiredTokenError, ImmatureTokenError

Each class has a stable ``code`` and one public sentence in English and Chinese: these are what a
client may see.  The text of an instance is detail for the developer; it never holds a token, a
secret or a key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar


class JWTMiddlewareError(Exception):
    """Base of every error that this package raises on purpose."""

    code: ClassVar[str] = "error"
    sentence: ClassVar[str] = "The request could not be processed."
    sentence_zh: ClassVar[str] = "请求无法处理"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.sentence)


class ConfigurationError(JWTMiddlewareError, ValueError):
    """A part was put together wrongly; the text names the setting and the mend."""

    code = "configuration_error"
    sentence = "The service is not configured correctly."
    sentence_zh = "服务配置有误"


class UnavailableError(JWTMiddlewareError):
    """
    Something that must be asked cannot be asked: the answer is neither yes nor no.

    Attributes:
        retry_after_seconds: What to tell the client to wait, at least 1.
    """

    code = "temporarily_unavailable"
    sentence = "The service is temporarily unavailable. Try again later."
    sentence_zh = "服务暂时不可用，请稍后再试"

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class AuthError(JWTMiddlewareError):
    """The caller is not let through; every subclass says why."""

    code = "unauthorized"
    sentence = "Authentication is required."
    sentence_zh = "需要身份认证"


class MissingTokenError(AuthError):
    """The request carries no bearer token where one is needed."""

    code = "missing_token"
    sentence = "A bearer token is required."
    sentence_zh = "缺少访问令牌"


class BadCredentialsError(AuthError):
    """Account and secret do not belong together.  Never says which of the two is wrong."""

    code = "bad_credentials"
    sentence = "The account or the secret is wrong."
    sentence_zh = "账号或密码错误"


class TooManyAttemptsError(AuthError):
    """
    Too many logins for this account, or from this address, in too short a time.

    Attributes:
        retry_after_seconds: Until another attempt counts, at least 1.
    """

    code = "too_many_attempts"
    sentence = "Too many attempts. Try again later."
    sentence_zh = "尝试次数过多，请稍后再试"

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class InvalidGrantError(AuthError):
    """The refresh token is unknown, used, expired or revoked (RFC 6749 §5.2).  Never says which."""

    code = "invalid_grant"
    sentence = "The refresh token is not valid."
    sentence_zh = "刷新令牌无效"


class InvalidRequestError(AuthError):
    """
    The request breaks the grammar of RFC 6750 or of the endpoint.

    Attributes:
        parameter: The one that is missing or malformed; with it the text of the instance is public.
    """

    code = "invalid_request"
    sentence = "The request is malformed."
    sentence_zh = "请求格式错误"

    def __init__(self, detail: str | None = None, *, parameter: str | None = None) -> None:
        super().__init__(detail)
        self.parameter = parameter


class InvalidFormError(InvalidRequestError):
    """
    Fields of a form are missing or not what they must be.

    Attributes:
        fields: Field name to messages, in the client's language; meant for the client.
    """

    code = "invalid_form"
    sentence = "Some fields are missing or invalid."
    sentence_zh = "参数有误"

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.fields = fields


class InvalidScopeError(InvalidRequestError):
    """The scope asked for is malformed, or goes beyond what was granted (RFC 6749 §5.2)."""

    code = "invalid_scope"
    sentence = "The scope is malformed or exceeds what was granted."
    sentence_zh = "请求的权限范围无效"


class InvalidTargetError(InvalidRequestError):
    """A resource asked for is none that tokens are issued for here (RFC 8707 §2)."""

    code = "invalid_target"
    sentence = "The resource is unknown, or no token is issued for it here."
    sentence_zh = "请求的资源无效"


class UnsupportedGrantTypeError(InvalidRequestError):
    """The token endpoint knows no such grant type (RFC 6749 §5.2)."""

    code = "unsupported_grant_type"
    sentence = "This grant type is not supported."
    sentence_zh = "不支持该授权类型"


class UnsupportedTokenTypeError(InvalidRequestError):
    """This service cannot revoke such a token (RFC 7009 §2.2.1)."""

    code = "unsupported_token_type"
    sentence = "This token cannot be revoked here."
    sentence_zh = "不支持撤销该类型的令牌"


class NotFoundError(InvalidRequestError):
    """There is nothing at this path, which is one of this package's own."""

    code = "not_found"
    sentence = "There is nothing here."
    sentence_zh = "资源不存在"


class MethodNotAllowedError(InvalidRequestError):
    """
    The endpoint does not know this method.

    Attributes:
        allowed: Methods it does know, for the ``Allow`` header.
    """

    code = "method_not_allowed"
    sentence = "This method is not allowed here."
    sentence_zh = "不支持该请求方法"

    def __init__(self, *, allowed: Sequence[str]) -> None:
        super().__init__()
        self.allowed = allowed


class BodyTooLargeError(InvalidRequestError):
    """The body is longer than the endpoint will read."""

    code = "body_too_large"
    sentence = "The request body is too large."
    sentence_zh = "请求体过大"


class UnsupportedMediaTypeError(InvalidRequestError):
    """The body is neither UTF-8 JSON nor urlencoded."""

    code = "unsupported_media_type"
    sentence = "The request body must be UTF-8 JSON or urlencoded."
    sentence_zh = "请求体必须为 UTF-8 编码的 JSON 或表单"


class InsufficientScopeError(AuthError):
    """
    The token is good, and not enough for this request.

    Attributes:
        scope: Scopes the rule asks for, sorted; empty where it asks for claim values.
    """

    code = "insufficient_scope"
    sentence = "The token does not allow this request."
    sentence_zh = "权限不足"

    def __init__(self, detail: str | None = None, *, scope: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.scope = scope


class InvalidTokenError(AuthError):
    """The token is not accepted."""

    code = "invalid_token"
    sentence = "The token is invalid."
    sentence_zh = "令牌无效"


class MalformedTokenError(InvalidTokenError):
    """The string is not a compact JWS with a JSON object in it (RFC 7515, RFC 7519)."""

    code = "malformed_token"
    sentence = "The token is malformed."
    sentence_zh = "令牌格式错误"


class AlgorithmNotAllowedError(InvalidTokenError):
    """The token names an alg that its key is not for."""

    code = "algorithm_not_allowed"
    sentence = "The token's algorithm is not allowed."
    sentence_zh = "令牌签名算法不被允许"


class UnknownKeyError(InvalidTokenError):
    """
    No key is known by the token's kid.

    Attributes:
        kid: What the token asks for, ``None`` if nothing.  Unverified: escape it before logging.
    """

    code = "unknown_key"
    sentence = "The token's key is not known."
    sentence_zh = "令牌密钥未知"

    def __init__(self, detail: str | None = None, *, kid: str | None = None) -> None:
        super().__init__(detail)
        self.kid = kid


class InvalidSignatureError(InvalidTokenError):
    """The signature does not belong to header and payload."""

    code = "invalid_signature"
    sentence = "The token's signature is invalid."
    sentence_zh = "令牌签名无效"


class RevokedTokenError(InvalidTokenError):
    """The token, its session or its subject's tokens were revoked."""

    code = "revoked_token"
    sentence = "The token has been revoked."
    sentence_zh = "令牌已被撤销"


class InvalidClaimError(InvalidTokenError):
    """
    A registered claim has a wrong type or value.

    Attributes:
        claim: Its name.
    """

    code = "invalid_claim"
    sentence = "A claim of the token is not acceptable."
    sentence_zh = "令牌声明无效"

    def __init__(self, detail: str | None = None, *, claim: str) -> None:
        super().__init__(detail)
        self.claim = claim


class MissingClaimError(InvalidClaimError):
    """A required claim is absent."""

    code = "missing_claim"
    sentence = "A required claim of the token is missing."
    sentence_zh = "令牌缺少必需的声明"


class ExpiredTokenError(InvalidClaimError):
    """The token's ``exp`` has passed."""

    code = "expired_token"
    sentence = "The token has expired."
    sentence_zh = "当前jwt已经过期了"


class ImmatureTokenError(InvalidClaimError):
    """The token's ``nbf`` or ``iat`` is still to come."""

    code = "immature_token"
    sentence = "The token is not valid yet."
    sentence_zh = "令牌尚未生效"
