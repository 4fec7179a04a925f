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
        command: One line for bash; later ones use what earlier ones set.
    """

    title: str
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
        Step("The public page needs no token", f"curl -i {url}/"),
        Step("A protected page without a token: 401", f"curl -i {url}/me"),
        Step("Log in: 200, with a token", f"curl -i {_log_in(url, *READER)}"),
        Step("The same, kept in a variable", f"TOKEN=$(curl -s {_log_in(url, *READER)} | {_PICK})"),
        Step("The claims that the app receives: 200", f"curl -i {url}/me {_bearer('$TOKEN')}"),
        Step("A scope that this token lacks: 403", f"curl -i {url}/admin {_bearer('$TOKEN')}"),
        Step("Log in as the admin", f"ADMIN=$(curl -s {_log_in(url, *ADMIN)} | {_PICK})"),
        Step("Who has the scope: 200", f"curl -i {url}/admin {_bearer('$ADMIN')}"),
        Step("A token that expired a second ago: 401", f"curl -i {url}/me {_bearer(expired)}"),
    ]


# sed, as jq may not be there and "python3" may be another's.
_PICK: Final = """sed 's/.*"access_token": "\\([^"]*\\)".*/\\1/'"""


def _log_in(url: str, account: str, secret: str) -> str:
    body = json.dumps({"account": account, "secret": secret, "type": "email"})
    return f"{url}/token -H 'Content-Type: application/json' -d '{body}'"


def _bearer(token: str) -> str:
    return f'-H "Authorization: Bearer {token}"'
