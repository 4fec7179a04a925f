"""The pages of docs/apps: what they say is what is run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jwt_middleware import JWTPayload, Key, KeySet, TokenIssuer
from jwt_middleware.config import load

from ..conftest import SECRET, Running
from ..docs.pages import ROOT, blocks

FOLDER: Final = ROOT / "docs" / "apps"
PAGES: Final = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "README")

Serving = Callable[..., AbstractContextManager[Running]]


@dataclass(frozen=True)
class App:
    """
    An app that is served as its page says.

    Attributes:
        url: Where it is.
        folder: Where its files are.
        client: The client's part of the page.
    """

    url: str
    folder: Path
    client: str

    @property
    def host(self) -> str:
        """Host and port."""
        return self.url.removeprefix("http://")

    def token(self, scope: str, uid: str = "ann") -> str:
        """Return a token that the app's rules can trust."""
        config = load(self.folder / "jwt.toml")
        keys = KeySet([Key.from_secret(SECRET)])
        issuer = TokenIssuer(keys=keys, issuer=config.issuer or "", audience=config.audience or ())
        return issuer.issue(JWTPayload(uid=uid, scope=scope)).token

    def run_shell(
        self, scope: str, *, cwd: Path, env: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run the client's commands, as they stand there, with a token of these scopes."""
        given = {**env, "HOST": self.host, "TOKEN": self.token(scope)}
        return subprocess.run(
            ["bash", "-euc", self.client],
            cwd=cwd,
            env=given,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def run_python(self, scope: str) -> dict[str, Any]:
        """Run the client's code, as it stands there, with a token of these scopes."""
        namespace: dict[str, Any] = {"url": self.url, "token": self.token(scope)}
        exec(compile(self.client, "page", "exec"), namespace)  # noqa: S102  our own text
        return namespace


@contextmanager
def served(page: str, *, serving: Serving, folder: Path) -> Iterator[App]:
    """Serve the app of a page as it says, with ``jwt-middleware serve``."""
    app, config, client = (block.text for block in blocks(f"docs/apps/{page}.md"))
    (folder / "app.py").write_text(app)
    (folder / "jwt.toml").write_text(config)
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    command = [Path(sys.executable).with_name("jwt-middleware"), "serve", "app:app"]
    with serving([*command, "--bind", "127.0.0.1:0", "--workers", "1"], cwd=folder) as running:
        yield App(running.url, folder, client)
