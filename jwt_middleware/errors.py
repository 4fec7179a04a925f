"""
The exceptions of this package.

JWTMiddlewareError                      each can be copied and pickled
├─ ConfigurationError(ValueError)       at construction only; names the setting and the fix
├─ UnavailableError                     revocation, keys or accounts are unavailable
│  └─ PoolExhaustedError, DuplicateRowError, EmptiedError, ClockSetError
│                                       of stores; caught inside the package
├─ FetchError .status                   a document could not be fetched; only logged
├─ AccountExistsError, UnknownAccountError          only operators see these four
├─ InvalidAccountError(ValueError)      an invalid name, scope or auth
├─ InvalidSecretError(ValueError)       an invalid secret
└─ AuthError
   ├─ MissingTokenError                 the request has no bearer token
   ├─ BadCredentialsError               the account or the secret is wrong
   ├─ CrossSiteError                    Basic credentials in a cross-site request
   ├─ TooManyAttemptsError .retry_after_seconds
   ├─ InvalidGrantError                 the refresh token is not accepted
   ├─ InvalidRequestError               the request is malformed
   │  ├─ InvalidFormError .fields
   │  ├─ InvalidScopeError, InvalidTargetError, UnsupportedGrantTypeError, UnsupportedTokenTypeError
   │  ├─ NotFoundError
   │  ├─ MethodNotAllowedError .allowed
   │  ├─ BodyTooLargeError
   │  └─ UnsupportedMediaTypeError
   ├─ InsufficientScopeError .scope     a valid token without a required scope or claim value
   └─ InvalidTokenError
      ├─ MalformedTokenError, AlgorithmNotAllowedError, UnknownKeyError .kid
      ├─ InvalidSignatureError, RevokedTokenError
      └─ InvalidClaimError .claim
         └─ MissingClaimError, ExpiredTokenError, ImmatureTokenError

Each class has a stable ``code`` and one public sentence in English and Chinese, which a client may
see.  The text of an instance is detail for the log; it never contains a token, a secret or a key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar


class JWTMiddlewareError(Exception):
    """
    Base class of all errors of this package.

    Its text is escaped to one printable line.
    """

    code: ClassVar[str] = "error"
    sentence: ClassVar[str] = "The request could not be processed."
    sentence_zh: ClassVar[str] = "请求无法处理"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(in_one_line(detail or self.sentence))

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        # By default an exception is restored from its args only, without keyword arguments.
        return _restored, (type(self), self.args), vars(self)


def in_one_line(text: str) -> str:
    """Return *text* with unprintable characters and line breaks escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _restored(kind: type[JWTMiddlewareError], args: tuple[Any, ...]) -> JWTMiddlewareError:
    return kind.__new__(kind, *args)


class ConfigurationError(JWTMiddlewareError, ValueError):
    """A setting or argument is missing or wrong; the text names it and the fix."""

    code = "configuration_error"
    sentence = "The service is not configured correctly."
    sentence_zh = "服务配置有误"


class UnavailableError(JWTMiddlewareError):
    """
    Revocation, keys or accounts are unavailable: the request can be neither allowed nor denied.

    Attributes:
        retry_after_seconds: Seconds for ``Retry-After``, at least 1.
    """

    code = "temporarily_unavailable"
    sentence = "The service is temporarily unavailable. Try again later."
    sentence_zh = "服务暂时不可用，请稍后再试"

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class PoolExhaustedError(UnavailableError):
    """Other threads of this process used all database connections until the deadline."""

    code = "connection_pool_exhausted"
    sentence = "All database connections are in use. Try again later."
    sentence_zh = "数据库连接已用尽，请稍后再试"


class DuplicateRowError(UnavailableError):
    """The database refused a row because its key already exists."""

    code = "duplicate_row"
    sentence = "The entry exists already."
    sentence_zh = "记录已存在"


class EmptiedError(UnavailableError):
    """The tables exist, but their initial rows are gone."""

    code = "store_emptied"
    sentence = "The store has been emptied. Try again later."
    sentence_zh = "存储已被清空，请稍后再试"


class ClockSetError(UnavailableError):
    """The store's clock was set; its time is used again after some seconds."""

    code = "clock_set"
    sentence = "The clock of the store was set. Try again later."
    sentence_zh = "存储的时钟被改动，请稍后再试"


class FetchError(JWTMiddlewareError):
    """
    A document could not be fetched; the text has the URL without its query, and the reason.

    Attributes:
        status: The HTTP status if it is not 200.
    """

    code = "fetch_failed"
    sentence = "A document could not be fetched."
    sentence_zh = "无法获取文档"

    def __init__(self, detail: str | None = None, *, status: int | None = None) -> None:
        super().__init__(detail)
        self.status = status


class AccountExistsError(JWTMiddlewareError):
    """An account of this client type and name already exists, enabled or not."""

    code = "account_exists"
    sentence = "This account exists already."
    sentence_zh = "账号已存在"


class UnknownAccountError(JWTMiddlewareError):
    """No account has this client type and name."""

    code = "unknown_account"
    sentence = "There is no such account."
    sentence_zh = "账号不存在"


class InvalidAccountError(JWTMiddlewareError, ValueError):
    """The name, scope or auth of an account is invalid; the text says why."""

    code = "invalid_account"
    sentence = "No account can be called that."
    sentence_zh = "账号无效"


class InvalidSecretError(JWTMiddlewareError, ValueError):
    """The secret is invalid for an account; the text says why, without showing it."""

    code = "invalid_secret"
    sentence = "No account can have that secret."
    sentence_zh = "密码无效"


class AuthError(JWTMiddlewareError):
    """
    The request is refused; each subclass says why.

    Attributes:
        hint: Additional text of the response for the client's developer; it quotes nothing that the
            client sent.  ``None`` until it is computed.
    """

    code = "unauthorized"
    sentence = "Authentication is required."
    sentence_zh = "需要身份认证"
    hint: str | None = None


class MissingTokenError(AuthError):
    """The request has no bearer token where one is required."""

    code = "missing_token"
    sentence = "A bearer token is required."
    sentence_zh = "缺少访问令牌"


class BadCredentialsError(AuthError):
    """The account or the secret is wrong.  The text does not say which."""

    code = "bad_credentials"
    sentence = "The account or the secret is wrong."
    sentence_zh = "账号或密码错误"


class CrossSiteError(AuthError):
    """A browser sent Basic credentials in a cross-site request."""

    code = "cross_site"
    sentence = "Basic credentials are not accepted in a request that another site made."
    sentence_zh = "跨站请求不接受 Basic 凭据"


class TooManyAttemptsError(AuthError):
    """
    Too many attempts to log in to this account, or from this address.

    Attributes:
        retry_after_seconds: Seconds until another attempt is allowed, at least 1.
    """

    code = "too_many_attempts"
    sentence = "Too many attempts. Try again later."
    sentence_zh = "尝试次数过多，请稍后再试"

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class InvalidGrantError(AuthError):
    """The refresh token is unknown, used, expired or revoked (RFC 6749 §5.2)."""

    code = "invalid_grant"
    sentence = "The refresh token is not valid."
    sentence_zh = "刷新令牌无效"


class InvalidRequestError(AuthError):
    """
    The request does not follow RFC 6750 or the endpoint's format.

    Attributes:
        parameter: The missing or malformed parameter; if set, the instance's text is public.
    """

    code = "invalid_request"
    sentence = "The request is malformed."
    sentence_zh = "请求格式错误"

    def __init__(self, detail: str | None = None, *, parameter: str | None = None) -> None:
        super().__init__(detail)
        self.parameter = parameter
        if parameter is not None:
            self.hint: str | None = str(self)


class InvalidFormError(InvalidRequestError):
    """
    Fields of a form are missing or invalid.

    Attributes:
        fields: Field name to messages, in the client's language, for the client.
    """

    code = "invalid_form"
    sentence = "Some fields are missing or invalid."
    sentence_zh = "参数有误"

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.fields = fields


class InvalidScopeError(InvalidRequestError):
    """The requested scope is malformed, or exceeds what was granted (RFC 6749 §5.2)."""

    code = "invalid_scope"
    sentence = "The scope is malformed or exceeds what was granted."
    sentence_zh = "请求的权限范围无效"


class InvalidTargetError(InvalidRequestError):
    """No token is issued for the requested resource (RFC 8707 §2)."""

    code = "invalid_target"
    sentence = "The resource is unknown, or no token is issued for it here."
    sentence_zh = "请求的资源无效"


class UnsupportedGrantTypeError(InvalidRequestError):
    """The token endpoint does not support the grant type (RFC 6749 §5.2)."""

    code = "unsupported_grant_type"
    sentence = "This grant type is not supported."
    sentence_zh = "不支持该授权类型"


class UnsupportedTokenTypeError(InvalidRequestError):
    """This service cannot revoke this kind of token (RFC 7009 §2.2.1)."""

    code = "unsupported_token_type"
    sentence = "This token cannot be revoked here."
    sentence_zh = "不支持撤销该类型的令牌"


class NotFoundError(InvalidRequestError):
    """The path is reserved by this package, and unused."""

    code = "not_found"
    sentence = "There is nothing here."
    sentence_zh = "资源不存在"


class MethodNotAllowedError(InvalidRequestError):
    """
    The endpoint does not support the method.

    Attributes:
        allowed: The methods it supports, for the ``Allow`` header.
    """

    code = "method_not_allowed"
    sentence = "This method is not allowed here."
    sentence_zh = "不支持该请求方法"

    def __init__(self, *, allowed: Sequence[str]) -> None:
        super().__init__()
        self.allowed = allowed


class BodyTooLargeError(InvalidRequestError):
    """The body is longer than the endpoint's limit."""

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
    The token is valid, but lacks a scope or claim value that the rule requires.

    Attributes:
        scope: The scopes that the rule requires, sorted; empty where it requires claim values.
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
    """The string is not a compact JWS with a JSON object as payload (RFC 7515, RFC 7519)."""

    code = "malformed_token"
    sentence = "The token is malformed."
    sentence_zh = "令牌格式错误"


class AlgorithmNotAllowedError(InvalidTokenError):
    """The token's alg is not supported, not allowed, or does not match its key."""

    code = "algorithm_not_allowed"
    sentence = "The token's algorithm is not allowed."
    sentence_zh = "令牌签名算法不被允许"


class UnknownKeyError(InvalidTokenError):
    """
    No key has the token's kid.

    Attributes:
        kid: The token's *kid*, or ``None``.  Unverified: escape it before logging.
    """

    code = "unknown_key"
    sentence = "The token's key is not known."
    sentence_zh = "令牌密钥未知"

    def __init__(self, detail: str | None = None, *, kid: str | None = None) -> None:
        super().__init__(detail)
        self.kid = kid


class InvalidSignatureError(InvalidTokenError):
    """The signature does not match header and payload."""

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
        claim: The claim's name.
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
    """The token's ``nbf`` or ``iat`` is in the future."""

    code = "immature_token"
    sentence = "The token is not valid yet."
    sentence_zh = "令牌尚未生效"
