"""What to try next, as lines for a shell."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Final, NamedTuple

READER: Final = ("reader@example.com", "reader-demo-secret")
ADMIN: Final = ("admin@example.com", "admin-demo-secret")


class Step(NamedTuple):
    """
    One thing to try.

    Attributes:
        title: What it shows.
        title_zh: The same in Chinese, for the page.
        command: One line for bash; later ones use what earlier ones set.
    """

    title: str
    title_zh: str
    command: str


def steps(url: str, config: Path) -> list[Step]:
    """
    Return the steps, in order.

    Args:
        url: Of the running demo, without a slash at its end.
        config: Its configuration file.
    """
    python = shlex.quote(sys.executable)
    expired = (
        f"$({python} -m jwt_middleware -c {shlex.quote(str(config))} token issue --uid 1"
        " --lifetime-seconds -1)"
    )
    return [
        Step("The public page needs no token", "公开页面不需要令牌", f"curl -i {url}/"),
        Step("A protected page without a token: 401", "不带令牌访问：401", f"curl -i {url}/me"),
        Step(
            "Log in: 200, with two tokens",
            "登录：200，得到两个令牌",
            f"curl -i {_log_in(url, *READER)}",
        ),
        Step(
            "The same, kept in variables",
            "再登录一次，存入变量",
            _keep(f"curl -s {_log_in(url, *READER)}"),
        ),
        Step(
            "The claims that the app receives: 200",
            "应用收到的声明：200",
            f"curl -i {url}/me {_bearer('$TOKEN')}",
        ),
        Step(
            "A scope that this token lacks: 403",
            "令牌缺少权限：403",
            f"curl -i {url}/admin {_bearer('$TOKEN')}",
        ),
        Step(
            "Log in as the admin",
            "以管理员身份登录",
            f"ADMIN=$(curl -s {_log_in(url, *ADMIN)} | {_pick('access')})",
        ),
        Step(
            "Who has the scope: 200",
            "管理员有该权限：200",
            f"curl -i {url}/admin {_bearer('$ADMIN')}",
        ),
        Step(
            "A token that expired a second ago: 401",
            "一秒前过期的令牌：401",
            f"curl -i {url}/me {_bearer(expired)}",
        ),
        Step(
            "Two other tokens, as any OAuth client gets them",
            "与 OAuth 客户端一样刷新，得到两个新令牌",
            _keep(f"curl -s {_refresh(url)}"),
        ),
        Step("The new token: 200", "新令牌：200", f"curl -i {url}/me {_bearer('$TOKEN')}"),
        Step(
            "Log out: 204",
            "退出：204",
            f"curl -i -X POST {url}/token/logout {_bearer('$TOKEN')}",
        ),
        Step(
            "The token is refused in every process: 401",
            "所有进程都拒绝该令牌：401",
            f"curl -i {url}/me {_bearer('$TOKEN')}",
        ),
        Step(
            "And so is the refresh token: 400", "刷新令牌同样失效：400", f"curl -i {_refresh(url)}"
        ),
    ]


def _keep(curl: str) -> str:
    answer = 'echo "$ANSWER"'
    return (
        f"ANSWER=$({curl});"
        f" TOKEN=$({answer} | {_pick('access')}); REFRESH=$({answer} | {_pick('refresh')})"
    )


def _pick(kind: str) -> str:
    # sed, as jq may not be there and "python3" may be another's.
    return f"""sed 's/.*"{kind}_token": "\\([^"]*\\)".*/\\1/'"""


def _refresh(url: str) -> str:
    return f'{url}/token -d grant_type=refresh_token -d "refresh_token=$REFRESH"'


def _log_in(url: str, account: str, secret: str) -> str:
    body = json.dumps({"account": account, "secret": secret, "type": "email"})
    return f"{url}/token -H 'Content-Type: application/json' -d '{body}'"


def _bearer(token: str) -> str:
    return f'-H "Authorization: Bearer {token}"'
