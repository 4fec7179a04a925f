"""Input from a hidden prompt or standard input, never from the command line; output of times."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Final

import click

MAX_INPUT_BYTES: Final = 64 * 1024


def read_secret() -> str:
    """
    Prompt twice for a new secret, or read it from standard input, without the final line break.

    Raises:
        click.ClickException: Standard input is empty, too long, not UTF-8, or more than a line.
    """
    if _is_terminal():
        secret: str = click.prompt("Secret", hide_input=True, confirmation_prompt=True, err=True)
        return secret
    secret = _read().removesuffix("\n").removesuffix("\r")
    if not secret:
        raise click.ClickException("standard input is empty: write the secret to it")
    if "\n" in secret or secret.startswith("\ufeff"):  # no login could send it
        raise click.ClickException(
            "standard input has more than one line, or a byte order mark: write only the secret"
        )
    return secret


def read_token() -> str:
    """
    Prompt for a token, or read it from standard input, without surrounding white space.

    Raises:
        click.ClickException: Standard input is empty, too long or not UTF-8.
    """
    token: str = click.prompt("Token", hide_input=True, err=True) if _is_terminal() else _read()
    token = token.strip()
    if not token:
        raise click.ClickException("standard input is empty: write the token to it")
    return token


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _read() -> str:
    # stdin is None if it was closed when the process started.
    octets = b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    if len(octets) > MAX_INPUT_BYTES:
        raise click.ClickException(f"standard input is longer than {MAX_INPUT_BYTES} bytes")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:  # its repr has the input
        raise click.ClickException("standard input is not UTF-8") from None


def shown(seconds: float | None) -> str:
    """Return seconds since the Unix epoch as ``2026-11-25T03:00:00Z``, ``None`` as ``""``."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
