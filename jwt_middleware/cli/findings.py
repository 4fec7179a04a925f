"""What goes wrong in practice, though a configuration is valid: one line each, with its fix."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable
from urllib.parse import urlsplit

from ..config import Settings
from ..config.reading import Place, Section
from ..errors import ConfigurationError, JWTMiddlewareError, UnavailableError
from ..files import read_regular
from ..sessions import SessionStore
from ..sessions.clock import MAX_SKEW_SECONDS, TimedStore
from ..wsgi.middleware import JWTMiddleware
from ..wsgi.policy import Rule


@runtime_checkable
class DoubtfulStore(Protocol):
    """A store whose server may be configured to lose what is in it."""

    def doubts(self) -> Iterator[str]:
        """Yield what is wrong with it."""


EXAMPLE_ISSUERS: Final = ("https://auth.example.com", "https://login.example.org")
MAX_ACCOUNTS: Final = 1000
"""That are looked at for claims of their own."""
MIN_DISTINCT_BYTES: Final = 10
# Of documentation, tutorials and generators: in every list that is tried first.
PUBLISHED_SECRETS: Final = (
    "secret", "changeme", "password", "your-256-bit-secret", "your-384-bit-secret",
    "your-512-bit-secret", "your-secret-key", "jwt-secret", "jwtsecret", "supersecret",
    "super-secret", "mysecret", "my-secret-key", "qwertyuiopasdfghjklzxcvbnm", "s3cr3t",
    "a-string-secret-at-least-256-bits-long",
    "django-insecure", "thisisasecret", "this-is-a-secret", "replace-me", "0123456789abcdef",
)  # fmt: skip
_OWN_CLAIMS: Final = frozenset(
    {
        "iss", "aud", "sub", "exp", "iat", "nbf", "jti", "uid", "auth", "scope", "ac_type", "sid",
        "client_id", "auth_time", "act", "tid",
    }
)  # fmt: skip
_PRIVATE_FILES: Final = ("secret_file", "private_key_file", "jwk_file", "bearer_token_file")
_PUBLIC_FILES: Final = ("public_key_file", "jwks_file", "ca_file")
_COVERS_HEAD: Final = {"GET": {"GET", "HEAD"}}


def findings(
    settings: Settings, protected: JWTMiddleware, environ: Mapping[str, str] = os.environ
) -> Iterator[str]:
    """Yield what to look at; nothing here keeps the app from starting."""
    yield from _of_openness(settings)
    yield from _of_rules(settings, protected)
    yield from _of_texts(settings)
    yield from _of_secrets(settings, environ)
    yield from _of_files(settings)
    yield from _of_logins(settings)
    yield from _of_stores(settings)
    yield from _of_proxies(settings)


def _of_openness(settings: Settings) -> Iterator[str]:
    if settings.mode == "report":
        yield 'mode: is "report": no request is refused: write "enforce" when you have seen enough'
    for place, issuer in (
        ("issuer", settings.issuer),
        *((f"{one.place.name}.issuer", one.issuer) for one in settings.trusted),
    ):
        if issuer in EXAMPLE_ISSUERS:
            yield f"{place}: is that of the example: write your own"


def _of_rules(settings: Settings, protected: JWTMiddleware) -> Iterator[str]:
    rules = protected.policy.rules
    for number, rule in enumerate(rules):
        name = f"rules[{number + 1}]"
        if rule.mode == "report":
            yield f'{name}: mode is "report": nothing is refused on {rule.path}'
        if rule.path in protected.mounted:
            yield f"{name}: {rule.path} is answered by the middleware itself: leave the rule out"
            continue
        yield from _of_earlier(name, rule, rules[:number])
    if settings.endpoint is None or settings.trusted or settings.endpoint.verifiers:
        return
    issued = _OWN_CLAIMS | _claims_of_accounts(settings)
    for number, rule in enumerate(rules, start=1):
        for condition in rule.claim_conditions():
            if condition.path[0] not in issued:
                yield (
                    f"rules[{number}]: asks for the claim {condition.path[0]}, which the tokens "
                    "issued here do not have: correct its name"
                )


def _claims_of_accounts(settings: Settings) -> set[str]:
    if settings.accounts is None:
        return set()
    try:
        with closing(settings.build_accounts()) as accounts:
            some = islice(accounts.list(), MAX_ACCOUNTS)
            return {name for account in some for name in account.claims}
    except JWTMiddlewareError:
        return set()


def _of_earlier(name: str, rule: Rule, earlier: Iterable[Rule]) -> Iterator[str]:
    for number, one in enumerate(earlier, start=1):
        if not _covers(one, rule):
            continue
        if one.access != "required" and rule.access == "required":
            yield (
                f"{name}: protects {rule.path}, which rules[{number}] ({one.path}, {one.access}) "
                f"opens before: move it above that"
            )
        else:
            yield f"{name}: never matches: rules[{number}] ({one.path}) decides before: move it up"
        return


def _covers(one: Rule, other: Rule) -> bool:
    """Tell whether *one* matches all that *other* matches."""
    if one.methods is not None:
        accepted = {method for name in one.methods for method in _COVERS_HEAD.get(name, {name})}
        if other.methods is None or not accepted.issuperset(other.methods):
            return False
    if one.path.endswith("/*"):
        base = one.path[:-2]
        return other.path == base or _matches(base.split("/"), other.path.split("/"))
    if one.path.endswith("*"):
        return other.path.startswith(one.path[:-1])
    ours, others = one.path.split("/"), other.path.split("/")
    return len(ours) == len(others) and others[-1:] != ["*"] and _matches(ours, others)


def _matches(pattern: list[str], path: list[str]) -> bool:
    """Tell whether *pattern* names the first segments of *path*."""
    if len(path) < len(pattern):
        return False
    return all(one in {"*", other} for one, other in zip(pattern, path, strict=False))


def _of_texts(settings: Settings) -> Iterator[str]:
    for place, value in _texts_in(settings):
        if "${" in value or (value.startswith("$") and value[1:].isidentifier()):
            yield f"{place.name}: {value!a:.60} is taken literally: variables are not replaced"


def _texts_in(section: Section) -> Iterator[tuple[Place, str]]:
    for name in section.settings:
        value: Any = getattr(section, name)
        place = section.place.member(name)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Section):
                yield from _texts_in(inner)
            elif isinstance(inner, str):
                yield place, inner


def _of_secrets(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    for place, name, source in _sources(settings, ("secret_file", "secret_env")):
        material = _material(place, name, source, environ)
        weak = material is not None and weakness(material)
        if weak:
            yield (
                f"{place.member(name).name}: the secret {weak}: make one with "
                "`openssl rand -hex 32`"
            )


def weakness(secret: bytes) -> str:
    """Return why *secret* would be guessed; empty if nothing is known against it."""
    if len(set(secret)) < MIN_DISTINCT_BYTES:
        return f"has {len(set(secret))} different bytes"
    text = secret.decode("utf-8", "replace").strip().lower()
    for published in PUBLISHED_SECRETS:
        if not text.replace(published, "").strip("-_. 0123456789!"):
            return "is published in documentation or made of one that is"
    return ""


def _material(place: Place, name: str, source: str, environ: Mapping[str, str]) -> bytes | None:
    if name == "secret_env":
        return os.fsencode(environ.get(source, ""))
    try:
        return read_regular(place.file.parent / source)[1].strip()
    except OSError:
        return None


def _sources(settings: Settings, names: Iterable[str]) -> Iterator[tuple[Place, str, str]]:
    """Yield where a key comes from: table, setting and value, for each of *names* that is given."""
    own = () if settings.keys is None else (settings.keys, *settings.keys.previous)
    for section in (*own, *settings.trusted):
        for name in names:
            source: str | None = getattr(section, name, None)
            if source is not None:
                yield section.place, name, source


def _of_files(settings: Settings) -> Iterator[str]:
    folder = settings.place.file.parent
    yield from _of_mode("", settings.place.file, writable_only=True)
    for names, writable_only in ((_PRIVATE_FILES, False), (_PUBLIC_FILES, True)):
        for place, name, source in _sources(settings, names):
            named = place.member(name).name
            yield from _of_mode(named, folder / source, writable_only=writable_only)
    for name, section in (("accounts", settings.accounts), ("sessions", settings.sessions)):
        if section is not None and section.url.startswith("sqlite"):
            file = urlsplit(section.url).path.removeprefix("/")
            yield from _of_mode(f"{name}.url", folder / file)
        elif section is not None and urlsplit(section.url).password:
            yield from _of_mode(f"{name}.url (with a password)", settings.place.file)


def _of_mode(name: str, file: Path, *, writable_only: bool = False) -> Iterator[str]:
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError):
        return
    named = f"{name}: {str(file)!a}" if name else f"{str(file)!a}"
    if os.name != "posix":
        return
    if mode & stat.S_IWOTH:
        yield f"{named} can be changed by every user of this machine: chmod o-w"
    elif mode & stat.S_IROTH and not writable_only:
        yield f"{named} can be read by every user of this machine: chmod 600"
    mode = file.parent.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        folder = str(file.parent)
        yield f"{named} can be replaced by every user of this machine: chmod o-w {folder!a}"


def _of_logins(settings: Settings) -> Iterator[str]:
    endpoint = settings.endpoint
    if endpoint is None:
        return
    for label, name in (endpoint.lookups or {}).items():
        if name == "none":
            yield (
                f"endpoint.lookups.{label}: is none, so a disabled account keeps its sessions: "
                "name what finds an account by its uid"
            )
    if settings.accounts is not None:
        yield from _of_accounts(settings)


def _of_accounts(settings: Settings) -> Iterator[str]:
    try:
        with closing(settings.build_accounts()) as accounts:
            if not list(islice(accounts.list(), 1)):
                yield "accounts: there is none: add one with `jwt-middleware account add`"
    except (JWTMiddlewareError, ConfigurationError) as error:
        yield f"accounts: {error}"


def _of_stores(settings: Settings) -> Iterator[str]:
    sessions = settings.sessions
    if sessions is None:
        return
    workers = settings.serve.workers
    if sessions.url.startswith("memory:") and workers > 1:
        yield (
            f"sessions.url: memory:// is of one process, and serve starts {workers}: write "
            "sqlite:///sessions.db, or serve.workers = 1"
        )
    store = sessions.build_store(creates_tables=False)
    # That it does not answer is said where it is asked just that.
    with closing(store), suppress(UnavailableError):
        yield from (f"sessions.url: {doubt}" for doubt in _doubts(store))


def _doubts(store: SessionStore) -> Iterator[str]:
    if isinstance(store, DoubtfulStore):
        yield from store.doubts()
    elif isinstance(store, TimedStore):
        ahead = store.store_clock.seconds_ahead()
        if abs(ahead) > MAX_SKEW_SECONDS:
            side = "ahead of" if ahead > 0 else "behind"
            yield f"this host's clock is {abs(ahead):.0f} s {side} the store's: set both by NTP"


def _of_proxies(settings: Settings) -> Iterator[str]:
    bind = settings.serve.bind
    if bind.startswith("unix:") and not settings.trusted_proxies():
        yield (
            "serve.bind: all clients of a Unix socket look the same: say how many proxies are "
            "before it, as in request.trusted_proxies = 1"
        )
