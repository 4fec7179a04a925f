"""
What an operator can get wrong about an account.  None of these ever reaches a client.

JWTMiddlewareError
├─ AccountExistsError
├─ UnknownAccountError
├─ InvalidAccountError(ValueError)      a name, scope or auth that no account can have
└─ InvalidSecretError(ValueError)       a secret that no account can have
"""

from __future__ import annotations

from ..errors import JWTMiddlewareError


class AccountExistsError(JWTMiddlewareError):
    """There is an account of this client type and name already, enabled or not."""

    code = "account_exists"
    sentence = "This account exists already."
    sentence_zh = "账号已存在"


class UnknownAccountError(JWTMiddlewareError):
    """There is no account of this client type and name."""

    code = "unknown_account"
    sentence = "There is no such account."
    sentence_zh = "账号不存在"


class InvalidAccountError(JWTMiddlewareError, ValueError):
    """No account can have this name, scope or auth; the text says why."""

    code = "invalid_account"
    sentence = "No account can be called that."
    sentence_zh = "账号无效"


class InvalidSecretError(JWTMiddlewareError, ValueError):
    """No account can have this secret; the text says why, without showing it."""

    code = "invalid_secret"
    sentence = "No account can have that secret."
    sentence_zh = "密码无效"
