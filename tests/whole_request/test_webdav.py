"""A whole WebDAV session of a real client, behind gunicorn, with the right scopes and without."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ..conftest import SECRET
from ..site import AUD, ISS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from webdav3.client import Client
    from webdav3.exceptions import WebDavException

from jwt_middleware.core.issuer import TokenIssuer
from jwt_middleware.core.keys import Key, KeySet
from jwt_middleware.core.payload import JWTPayload

Serving = Callable[..., Any]
Connect = Callable[..., Client]

CONFIG = f"""\
issuer = "{ISS}"
audience = "{AUD}"
[keys]
secret_file = "secret"
[[rules]]
path = "/secretdir/*"
scopes = ["secret"]
[[rules]]
path = "/*"
scopes = ["dav"]
"""
APP = """\
import pathlib
from wsgidav.fs_dav_provider import FilesystemProvider
from wsgidav.wsgidav_app import WsgiDAVApp

files = pathlib.Path("files")
(files / "secretdir").mkdir(parents=True, exist_ok=True)
app = WsgiDAVApp({
    "provider_mapping": {"/": FilesystemProvider(str(files.resolve()))},
    "simple_dc": {"user_mapping": {"*": True}},
    "verbose": 0,
    "logging": {"enable": False, "enable_loggers": []},
})
"""


@pytest.fixture
def connect(folder: Path, serving: Serving) -> Iterator[Connect]:
    """Return what makes a client with these scopes."""
    (folder / "jwt.toml").write_text(CONFIG)
    (folder / "davapp.py").write_text(APP)
    issuer = TokenIssuer(keys=KeySet([Key.from_secret(SECRET)]), issuer=ISS, audience=AUD)
    command = [Path(sys.executable).with_name("jwt-middleware"), "serve", "davapp:app"]
    with serving([*command, "--bind", "127.0.0.1:0", "--workers", "1"], cwd=folder) as running:

        def connect(scope: str) -> Client:
            token = issuer.issue(JWTPayload(uid=1, scope=scope)).token
            return Client({"webdav_hostname": running.url, "webdav_token": token})

        yield connect


@pytest.mark.slow
def test_session_with_the_right_scopes_works(connect: Connect, tmp_path: Path) -> None:
    client = connect("dav secret")
    local = tmp_path / "local"
    local.write_text("a text with an é")
    client.mkdir("dir")
    client.mkdir("secretdir/deep")
    client.upload_sync(remote_path="dir/a b é.txt", local_path=str(local))
    client.copy("dir/a b é.txt", "secretdir/deep/copy.txt")
    client.move("secretdir/deep/copy.txt", "dir/moved.txt")
    assert client.check("dir/moved.txt")
    assert {name for name in client.list("dir") if name != "dir/"} == {"a b é.txt", "moved.txt"}
    assert int(client.info("dir/moved.txt")["size"]) == len(local.read_bytes())
    client.download_sync(remote_path="dir/moved.txt", local_path=str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == local.read_text()
    client.copy("dir", "secretdir/dir", depth="infinity")
    client.clean("dir")
    client.clean("secretdir")
    assert not client.check("secretdir/dir/moved.txt")


@pytest.mark.slow
def test_session_without_the_scope_stays_outside(connect: Connect, tmp_path: Path) -> None:
    client, owner = connect("dav"), connect("dav secret")
    local = tmp_path / "local"
    local.write_text("text")
    owner.upload_sync(remote_path="secretdir/f", local_path=str(local))
    client.mkdir("dir")
    client.upload_sync(remote_path="dir/f", local_path=str(local))
    client.move("dir/f", "dir/g")
    forbidden: list[tuple[Callable[..., Any], Sequence[str]]] = [
        (client.copy, ("dir/g", "secretdir/g")),
        (client.move, ("dir/g", "secretdir/g")),
        (client.copy, ("secretdir/f", "dir/stolen")),
        (client.clean, ("secretdir",)),
        (client.mkdir, ("secretdir/x",)),
    ]
    for operation, paths in forbidden:
        with pytest.raises(WebDavException):
            operation(*paths)
    assert {name for name in owner.list("secretdir") if name != "secretdir/"} == {"f"}
    assert client.check("dir/g")
    assert not client.check("dir/stolen")
