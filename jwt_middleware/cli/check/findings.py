"""Common mistakes in valid configurations: one line each, with its fix."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable
from urllib.parse import urlsplit

from ...config import Settings
from ...config.reading import Place, Section
from ...errors import ConfigurationError, JWTMiddlewareError, UnavailableError
from ...files import read_regular
from ...sessions import SessionStore
from ...sessions.clock import MAX_SKEW_SECONDS, TimedStore
from ...wsgi.middleware import JWTMiddleware
from ...wsgi.rule import Rule


@runtime_checkable
class DoubtfulStore(Protocol):
    """A store whose server may be configured to lose data."""

    def doubts(self) -> Iterator[str]:
        """Yield the faults of the server's configuration."""


EXAMPLE_ISSUERS: Final = ("https://auth.example.com", "https://login.example.org")
MAX_ACCOUNTS: Final = 1000
"""Accounts that are read to compare their claims with the rules."""
MIN_DISTINCT_BYTES: Final = 10
# From documentation, tutorials and generators: attackers try these first.
PUBLISHED_SECRETS: Final = (
    "secret", "changeme", "password", "your-256-bit-secret", "your-384-bit-secret",
    "your-512-bit-secret", "your-secret-key", "jwt-secret", "jwtsecret", "supersecret",
    "super-secret", "mysecret", "my-secret-key", "qwertyuiopasdfghjklzxcvbnm", "s3cr3t",
    "a-string-secret-at-least-256-bits-long",
    "correct horse battery staple",
    "thisisasecret", "this-is-a-secret", "replace-me", "0123456789abcdef",
)  # fmt: skip
# SHA-256 of published secrets without words: from RFC 7515 A.1, FastAPI, Flask, and the digests of
# "", "password" and "secret".
_PUBLISHED_DIGESTS: Final = frozenset(
    {
        "c8ecc9361a05e285f04c26f9572131a6deab07e9e2b865053c6f75a4d8bd2b32",
        "4d0f8dec4515d07a611c502f22adb95c854d943d6122fb8f96c9503b42356bac",
        "a5aa976fe0932dfa4e28efad79b2bdf0ab22a79a346ed3fe9e0aeda30ab3fd1d",
        "32d2ae03b8b636b73de1709b6cf0c3880ae1b548510d4807fc0ad20fa04db4a4",
        "533b8c444f951e83eff7305e3807b66ce0005de0a2d0a44873c130895a3be6aa",
        "5df6e0e2761359d30a8275058e299fcc0381534545f55cf43e41983f5d4c9456",
        "a94fd6f649d77027372fa4612b4ef21594550ac0b57215d0d59f086fd2736be4",
        "70f1b5877b53b47eaa99e1ca489635ea90815b4b76a18b04b642df2f08589657",
        "73641c99f7719f57d8f4beb11a303afcd190243a51ced8782ca6d3dbe014d146",
        "d56c399549a1eb9cf25e794abe4c2e03586917966fa321f73dde05f485b5f019",
        "84a63ec83628ba7ccfba9a97f08635fc5af841f015ff4370a7b70f8258064c48",
        "3881219d087dd9c634373fd33dfa33a2cb6bfc6c520b64b8bb60ef2ceb534ae7",
    }
)
# Longer words first: otherwise a shorter word with the same beginning would match.
_WORDS: Final = re.compile(
    r"\b(?:a|i|be)\b|"
    r"authentication|application|development|placeholder|characters|production|generate|"
    r"insecure|password|template|backend|changed|default|example|"
    r"private|replace|service|signing|asdfgh|before|change|insert|phrase|please|"
    r"public|qwerty|random|sample|secret|secure|server|should|string|thirty|"
    r"unsafe|zxcvbn|about|admin|bytes|chars|flask|least|never|super|token|"
    r"ultra|valid|value|which|words|auth|bits|byte|char|demo|four|from|here|keep|"
    r"long|more|must|pass|prod|real|safe|sign|test|than|that|this|todo|user|very|"
    r"with|your|and|app|bit|dev|env|for|jwt|key|not|set|the|two|use|web|at|do|"
    r"go|hs|in|is|it|me|my|of|or|to|we"
)
_NO_LETTER: Final = re.compile("[^a-z]+")
# What other software would replace: "${A}", "$A", "$(A)", "%(A)s", "%A%", "{{ A }}", "<A>", "~/".
_PLACEHOLDER: Final = re.compile(
    r"[$#]\{[^}]*\}|\$\([^)]*\)|(?<!\w)\$[A-Za-z_]\w+|^\$\w+$|%\(\w+\)s|^%\w+%$"
    r"|\{\{.*\}\}|<%.*%>|^<[\w .-]+>$|^@\w+@$|^~/|(?<=///)~/"
)
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
    """Yield warnings; none of them prevents a start."""
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
            yield f"{place}: is the example's: write your own"


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
                    f"rules[{number}]: requires the claim {condition.path[0]}, which the tokens "
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
    left = _methods(rule)
    for number, one in enumerate(earlier, start=1):
        if not _covers(one.path, rule.path):
            continue
        accepted = _methods(one)
        common = left if accepted is None else accepted if left is None else left & accepted
        left = set() if accepted is None else None if left is None else left - accepted
        is_opened = one.access != "required" and rule.access == "required" and common != set()
        if is_opened and (left == set() or one.path != rule.path):
            which = "" if left == set() or not common else f"{', '.join(sorted(common))} of "
            yield (
                f"{name}: protects {which}{rule.path}, which rules[{number}] ({one.path}, "
                f"{one.access}) opens before: move it above that"
            )
            return
        if left == set():
            yield f"{name}: never matches: rules[{number}] ({one.path}) decides before: move it up"
            return


def _methods(rule: Rule) -> set[str] | None:
    """Return the methods that *rule* matches; ``None`` for all."""
    if rule.methods is None:
        return None
    return {method for name in rule.methods for method in _COVERS_HEAD.get(name, {name})}


def _covers(one: str, other: str) -> bool:
    """Return whether the rule path *one* matches all paths that *other* matches."""
    ours, others = one.split("/"), other.split("/")
    if ours[-1] == "*":
        return _matches(ours[:-1], others)
    if one.endswith("*"):
        *parents, prefix = ours
        rest = others[len(parents) :]
        return _matches(parents, others) and rest[:1] > [] and rest[0].startswith(prefix[:-1])
    return len(ours) == len(others) and others[-1:] != ["*"] and _matches(ours, others)


def _matches(pattern: list[str], path: list[str]) -> bool:
    """Return whether *pattern* matches the first segments of *path*."""
    if len(path) < len(pattern):
        return False
    return all(one in {"*", other} for one, other in zip(pattern, path, strict=False))


def _of_texts(settings: Settings) -> Iterator[str]:
    for place, value in _texts_in(settings):
        if found := _PLACEHOLDER.search(value):
            # The rest of the value may be a password.
            yield (
                f"{place.name}: {found[0]!a} is taken literally: this file has no placeholders: "
                "write its value"
            )


def _texts_in(section: Section) -> Iterator[tuple[Place, str]]:
    for name in section.settings:
        yield from _texts_of(getattr(section, name), section.place.member(name))


def _texts_of(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, Section):
        yield from _texts_in(value)
    elif isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts_of(inner, place.member(name))
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _texts_of(inner, place)


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
    """Return why *secret* is easy to guess; empty if no reason is known."""
    if len(set(secret)) < MIN_DISTINCT_BYTES:
        return f"has {len(set(secret))} different bytes"
    if _PLACEHOLDER.fullmatch(secret.decode("utf-8", "replace").strip()):
        return "is a placeholder that was not replaced"
    return next(filter(None, map(_weakness, _meanings(secret))), "")


def _meanings(secret: bytes) -> Iterator[bytes]:
    """Yield a secret itself, and its bytes decoded from base64 or hexadecimal digits."""
    yield secret
    with suppress(ValueError):
        yield bytes.fromhex(secret.decode())
    with suppress(ValueError):
        octets = secret.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
        yield base64.b64decode(octets + b"=" * (-len(octets) % 4), validate=True)


def _weakness(octets: bytes) -> str:
    text = octets.decode("utf-8", "replace").strip().lower()
    if hashlib.sha256(octets).hexdigest() in _PUBLISHED_DIGESTS or any(
        not text.replace(published, "").strip("-_. 0123456789!") for published in PUBLISHED_SECRETS
    ):
        return "is published in documentation or made of one that is"
    if octets[: len(octets) // 2] in octets[1:]:
        return "repeats itself"
    steps = Counter((two - one) % 256 for one, two in itertools.pairwise(octets))
    if max(steps.values(), default=0) * 4 >= len(octets) * 3:
        return "is a sequence"
    return "is made of words that are tried first" if _is_of_words(text) else ""


def _is_of_words(text: str) -> bool:
    """Return whether half of a text is letters, and three quarters of these are known words."""
    letters = _NO_LETTER.sub(" ", text)
    known = len(letters.replace(" ", ""))
    unknown = len(_WORDS.sub("", letters).replace(" ", ""))
    return text.startswith("django-insecure-") or (known * 2 >= len(text) and unknown * 4 <= known)


def _material(place: Place, name: str, source: str, environ: Mapping[str, str]) -> bytes | None:
    if name == "secret_env":
        return os.fsencode(environ.get(source, ""))
    try:
        return read_regular(place.file.parent / source)[1].strip()
    except OSError:
        return None


def _sources(settings: Settings, names: Iterable[str]) -> Iterator[tuple[Place, str, str]]:
    """Yield table, setting and value of each key source in *names* that is set."""
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
                "name a function that finds an account by its uid"
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
            f"sessions.url: memory:// is for one process, and serve starts {workers}: write "
            "sqlite:///sessions.db, or serve.workers = 1"
        )
    store = sessions.build_store(creates_tables=False)
    # An unavailable store is reported elsewhere.
    with closing(store), suppress(UnavailableError):
        yield from (f"sessions.url: {doubt}" for doubt in _doubts(store))


def _doubts(store: SessionStore) -> Iterator[str]:
    if isinstance(store, DoubtfulStore):
        yield from store.doubts()
    elif isinstance(store, TimedStore):
        ahead = store.store_clock.seconds_ahead()
        if abs(ahead) > MAX_SKEW_SECONDS:
            side = "ahead of" if ahead > 0 else "behind"
            yield f"this host's clock is {abs(ahead):.0f} s {side} the store's: run NTP on both"


def _of_proxies(settings: Settings) -> Iterator[str]:
    bind = settings.serve.bind
    if bind.startswith("unix:") and not settings.trusted_proxies():
        yield (
            "serve.bind: all clients of a Unix socket look the same: set the number of proxies in "
            "front, as in request.trusted_proxies = 1"
        )
