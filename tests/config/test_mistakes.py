from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from jwt_middleware import wrap
from jwt_middleware.config import load
from jwt_middleware.errors import ConfigurationError

from ..table import table
from .writing import (
    ACCOUNTS,
    SECRET,
    TRUSTED,
    app,
    assert_one_line,
    private_pem,
    public_pem,
    write,
    write_private,
)

RULE = '[[rules]]\npath = "/first"\n[[rules]]\n'
MISTAKES = [
    # what is no setting
    pytest.param("isuer = 1", ["isuer: ", "mean issuer?"], id="unknown"),
    pytest.param("[x]", ["x: this version knows no such", "known are issuer, aud"], id="table"),
    pytest.param('"a\\nb" = 1', [r'"a\nb": this version'], id="unknown odd key"),
    pytest.param("[keys]\nsecretfile = 's'", ["keys.secretfile: ", "secret_file?"], id="in keys"),
    pytest.param("[keys]\ndirectory = 'k'", ["keys.directory: ", "is no key ring"], id="no ring"),
    pytest.param(
        "[keys]\ndirectory = 'k'\nsecret_file = 's'",
        ["keys.directory: and secret_file exclude each other: keep one"],
        id="ring and secret",
    ),
    pytest.param("[[trusted]]\nissuer = 's'", ["trusted[1].audience: is missing"], id="trusted"),
    pytest.param(
        TRUSTED, ["trusted[1]: has no keys: add discovery = true, jwks_url"], id="no source"
    ),
    pytest.param(
        TRUSTED + "discovery = true\njwks_file = 'f'",
        ["trusted[1]: discovery and jwks_file exclude each other"],
        id="two sources",
    ),
    pytest.param(
        TRUSTED + "jwks_url = 'http://login.example.org/jwks'",
        ["trusted[1].jwks_url: ", "https"],
        id="plain http",
    ),
    pytest.param(
        TRUSTED + "jwks_file = 'absent.json'",
        ["trusted[1].jwks_file: ", "absent.json", "cannot be read"],
        id="no key file",
    ),
    pytest.param(
        TRUSTED + "discovery = true\nalgorithms = ['none']",
        ["trusted[1].discovery: algorithms must be"],
        id="algorithms",
    ),
    pytest.param(
        TRUSTED + "discovery = true\nleeway_seconds = 301",
        ["trusted[1].leeway_seconds must be a number of seconds from 0 to 300"],
        id="trusted leeway",
    ),
    pytest.param(
        (TRUSTED + "discovery = true\n") * 2, ["an issuer is trusted twice"], id="trusted twice"
    ),
    pytest.param(
        "issuer = 'me'\naudience = 'api'\n[keys]\nsecret_file = 'secret'\n[metadata]",
        ["metadata.authorization_server: issuer must be an https URL", "the metadata off"],
        id="issuer is no URL",
    ),
    pytest.param(
        "[metadata]\nresource = 'api'", ["resource must be an https URL"], id="resource is no URL"
    ),
    pytest.param(
        "[metadata]\nresource = 'https://[a'", ["metadata.resource must be"], id="open bracket"
    ),
    pytest.param(
        "[metadata]\nresource = 'https://a/\u00fc'", ["metadata.resource must be"], id="not ASCII"
    ),
    pytest.param(
        "[metadata]\nmax_age_seconds = -1",
        ["metadata.max_age_seconds must be a whole number, at least 0"],
        id="max age",
    ),
    *(
        pytest.param(
            f"{TRUSTED}jwks_file = 'f'\n{name} = {value}",
            [f"trusted[1].{name}: is for fetched keys, not for jwks_file"],
            id=f"{name} of a file",
        )
        for name, value in (
            ("ca_file", "'ca.pem'"),
            ("allow_http", "true"),
            ("max_stale_seconds", "60"),
        )
    ),
    pytest.param("[endpoint]\npaht = '/'", ["endpoint.paht: ", "mean path?"], id="in endpoint"),
    pytest.param("[accounts]\nuri = 'x'", ["accounts.uri: ", "mean url?"], id="in accounts"),
    pytest.param("[accounts.hasher]\nt = 1", ["accounts.url: is missing"], id="hasher only"),
    pytest.param(
        ACCOUNTS + "[accounts.hasher]\ntimecost = 1",
        ["accounts.hasher.timecost: ", "mean time_cost?"],
        id="in hasher",
    ),
    pytest.param(RULE + "pathh = '/'", ["rules[2].pathh: ", "mean path?"], id="in a rule"),
    pytest.param("[responses]\nstil = 'x'", ["responses.stil: ", "mean style?"], id="in responses"),
    pytest.param(
        "[keys]\nsecret_file='secret'\n[[keys.previous]]\nkyd = 'x'",
        ["keys.previous[1].kyd: ", "mean kid?"],
        id="in a previous key",
    ),
    pytest.param(
        "[endpoint]\nverifiers = {}\n[endpoint.subjects]\n\"a\\nb\" = 'x'\n" + ACCOUNTS,
        [r"endpoint.subjects.a\nb is of a type that cannot log in"],
        id="line break in a key",
    ),
    pytest.param(
        'subject_from = ["a\\u2028b"]', [r"subject_from: a\u2028b needs a prefix"], id="separator"
    ),
    pytest.param(f"[health]\npath = '{'x' * 4000}'", ["health.path"], id="long path"),
    pytest.param(
        f"[endpoint]\npath = '{'x' * 4000}'\n" + ACCOUNTS, ["endpoint.path "], id="odd path"
    ),
    pytest.param(f"[metrics]\ndirectory = '{'x' * 300}'", ["metrics.directory"], id="long folder"),
    pytest.param(
        "[accounts]\nurl = 'postgresql://a@b/c?conninfo=d'\n[endpoint]",
        ["accounts.url: ", "bad query"],
        id="conninfo",
    ),
    pytest.param(
        "[sessions]\nurl = 'redis://a'\nkey_prefix = 'a b'",
        ["sessions.key_prefix: must be a name"],
        id="key prefix",
    ),
    # what is missing
    pytest.param("audience = 'issuer'", ["issuer: is missing: add issuer = "], id="no issuer"),
    pytest.param("issuer = 'i'", ["audience: is missing: add audience = "], id="no audience"),
    pytest.param(
        "issuer='i'\naudience='a'  # [keys]", ["keys: is missing: add a [keys]"], id="no keys"
    ),
    pytest.param("[keys]", ["keys: has no key: add one of secret_env, "], id="empty keys"),
    pytest.param("[accounts]", ['accounts.url: is missing: add url = "sqlite'], id="no url"),
    pytest.param("[[rules]]\naccess='public'", ["rules[1].path: is missing: add"], id="no path"),
    # wrong types and values
    pytest.param("issuer = 1\naudience = 'a'", ["issuer: must be a non-empty string"], id="issuer"),
    pytest.param("issuer = ''\naudience = 'a'", ["issuer: must be a non-empty"], id="empty issuer"),
    pytest.param("issuer='i'\naudience = 1", ["audience: must be a list of str"], id="audience"),
    pytest.param("issuer='i'\naudience=''", ["audience: must be a non-empty str"], id="empty aud"),
    pytest.param("issuer='i'\naudience=[]", ["audience: must be a list of str"], id="no audiences"),
    pytest.param("issuer='i'\naudience=['']", ["audience: must be a list of"], id="empty in list"),
    pytest.param("leeway_seconds = true", ["leeway_seconds: must be a number"], id="bool leeway"),
    pytest.param(
        "leeway_seconds = 301",
        ["toml: leeway_seconds must be a number of seconds from 0 to 300"],
        id="leeway",
    ),
    pytest.param("leeway_seconds = nan", ["leeway_seconds: must be a finite number"], id="nan"),
    pytest.param("token_type = 'JWT'", ['token_type: must be "at+jwt"'], id="token type"),
    pytest.param("cache_size = 1.0", ["cache_size: must be a whole number"], id="float size"),
    pytest.param("cache_size = true", ["cache_size: must be a whole number"], id="bool size"),
    pytest.param("cache_size = -1", ["toml: cache_size must be"], id="negative size"),
    pytest.param("keys = 'secret'", ["keys: must be a table"], id="keys"),
    pytest.param("[keys]\nsecret_file = 1", ["keys.secret_file: must be a non-empty"], id="file"),
    pytest.param("[keys]\nsecret_file = 's'\nalg = 'none'", ["keys.alg: must be "], id="alg"),
    pytest.param("[endpoint]\npath = 'token'\n" + ACCOUNTS, ["endpoint.path 'token'"], id="path"),
    pytest.param(
        "[endpoint]\nlifetime_seconds = 0\n" + ACCOUNTS,
        ["endpoint.lifetime_seconds must be at least 1"],
        id="lifetime",
    ),
    pytest.param(
        "[endpoint]\nmax_body_bytes = 0\n" + ACCOUNTS,
        ["endpoint.max_body_bytes must be a whole number, at least 1"],
        id="body size",
    ),
    pytest.param(
        "[endpoint]\nclient_types = []\n" + ACCOUNTS,
        ["endpoint.client_types: is empty: name one"],
        id="no client types",
    ),
    pytest.param(
        "[endpoint]\nclient_types = ['Email']\n" + ACCOUNTS,
        ["endpoint.client_types: a client type is", "not 'Email'"],
        id="client type",
    ),
    pytest.param(
        "[endpoint]\n" + ACCOUNTS + "[accounts.hasher]\ntime_cost = 0",
        ["accounts.hasher.time_cost must be a whole number from 1 to 1000"],
        id="hasher",
    ),
    pytest.param(
        "[endpoint]\n[accounts]\nurl = 'mysql://u:pw@h/d'",
        ["accounts.url: the database url is for mysql; write"],
        id="other database",
    ),
    pytest.param(
        "[endpoint]\n[accounts]\nurl = 'sqlite://'",
        ["accounts.url: the database url names no SQLite file"],
        id="database in memory",
    ),
    pytest.param("rules = 1", ["rules: must be an array of tables: write [[rules]]"], id="rules"),
    pytest.param("[rules]\npath='/'", ["rules: must be an array of tables"], id="one bracket"),
    pytest.param("rules = [1]", ["rules[1]: must be a table"], id="rule"),
    pytest.param(RULE + "path = 2", ["rules[2].path: must be a non-empty"], id="rule path type"),
    pytest.param(RULE + "path = 'a'", ["rules[2].path: ", "start with one slash"], id="rule path"),
    pytest.param(
        RULE + "path = '/a'\nmethods = 'GET'",
        ["rules[2].methods: must be a list of strings"],
        id="one method",
    ),
    pytest.param(
        RULE + "path = '/a'\nmethods = []", ["rules[2].methods: ", "leave it out"], id="no methods"
    ),
    pytest.param(
        RULE + "path = '/a'\nmethods = ['get']",
        ["rules[2].methods: ", "'get' in upper case"],
        id="method in lower case",
    ),
    pytest.param(
        RULE + "path = '/a'\nscopes = ['a b']", ["rules[2].scopes: ", "list of words"], id="scopes"
    ),
    pytest.param(
        RULE + "path = '/a'\naccess = 'open'",
        ['rules[2].access: must be "required" or "optional" or "public" or "passthrough"'],
        id="access",
    ),
    pytest.param(
        RULE + "path = '/a'\naccess = 'public'\nscopes = ['a']",
        ["rules[2]: ", "'public' needs no token"],
        id="public with scopes",
    ),
    pytest.param(
        RULE + "path = '/a'\nclaims = ['a']", ["rules[2].claims: must be a table of"], id="claims"
    ),
    pytest.param(
        RULE + "path = '/a'\nclaims = { born = 2000-01-01 }",
        ["rules[2].claims.born: must not be a date"],
        id="date in claims",
    ),
    pytest.param(
        RULE + "path = '/a'\npreflight = 1", ["rules[2].preflight: must be true"], id="preflight"
    ),
    pytest.param(
        "[responses]\nstyle = 'xml'",
        ['responses.style: must be "problem" or "envelope"'],
        id="style",
    ),
    pytest.param(
        "[responses]\nrealm = '\"'", ["responses.realm must be printable ASCII"], id="realm"
    ),
    # keys
    pytest.param(
        "[keys]\nsecret_file = 's'\nsecret_env = 'S'",
        ["keys: secret_env and secret_file exclude each other: keep one"],
        id="two sources",
    ),
    pytest.param(
        "[keys]\nsecret_env = 'JWT_TEST_UNSET'",
        ["keys.secret_env: ", "variable JWT_TEST_UNSET is not set: set it"],
        id="unset variable",
    ),
    pytest.param(
        f"[keys]\nsecret_file = '{'5ecret' * 6}'",
        ["keys.secret_file: must be the name of an existing file", "not its content"],
        id="secret for a file",
    ),
    pytest.param(
        f"[keys]\nsecret_env = '{SECRET}'",
        ["keys.secret_env: must be the name of an environment variable", "not its value"],
        id="secret for a variable",
    ),
    pytest.param(
        "[keys]\nsecret_file = 'absent'",
        ["keys.secret_file: ", "absent' cannot be read (No such file", "relative to the conf"],
        id="no such file",
    ),
    pytest.param("[keys]\nsecret_file = '.'", ["keys.secret_file: ", "directory"], id="directory"),
    pytest.param(
        '[keys]\nsecret_file = "\\u0000"', ["keys.secret_file: ", "control character"], id="NUL"
    ),
    pytest.param(
        "[keys]\nsecret_file = 'short'",
        ["keys.secret_file: secret has 12 bytes, HS256 needs at least 32", "init"],
        id="short secret",
    ),
    pytest.param(
        "[keys]\nsecret_file = 'secret'\nalg = 'HS512'",
        ["keys.secret_file: secret has 36 bytes, HS512 needs at least 64"],
        id="short for its alg",
    ),
    pytest.param(
        "[keys]\nsecret_file = 'secret'\nalg = 'RS256'",
        ["keys.secret_file: alg 'RS256' takes no secret"],
        id="secret with another alg",
    ),
    pytest.param(
        "[keys]\nsecret_file = 'secret'\npassword_env = 'P'",
        ["keys.password_env: ", "not for secret_file: leave it out"],
        id="password of a secret",
    ),
    pytest.param(
        "[keys]\nprivate_key_file = 'private.pem'",
        ["keys.alg: is missing: private_key_file needs it"],
        id="PEM without alg",
    ),
    pytest.param(
        "[keys]\nprivate_key_file = 'secret'\nalg = 'ES256'",
        ["keys.private_key_file: the PEM cannot be read"],
        id="no PEM",
    ),
    pytest.param(
        "[keys]\nprivate_key_file = 'private.pem'\nalg = 'RS256'",
        ["keys.private_key_file: RS256 needs an RSA key"],
        id="PEM of another kind",
    ),
    pytest.param(
        "[keys]\nprivate_key_file = 'private.pem'\nalg = 'ES256'\npassword_env='JWT_TEST_UNSET'",
        ["keys.password_env: ", "JWT_TEST_UNSET is not set"],
        id="unset password",
    ),
    pytest.param(
        "[keys]\nprivate_key_file = 'public.pem'\nalg = 'ES256'",
        ["keys.private_key_file: has a public key: use public_key_file"],
        id="public as private",
    ),
    pytest.param(
        "[keys]\npublic_key_file = 'private.pem'\nalg = 'ES256'",
        ["keys.public_key_file: has a private key: use private_key_file"],
        id="private as public",
    ),
    pytest.param(
        "[keys]\njwk_file = 'secret'", ["keys.jwk_file: the JWK is not strict JSON"], id="no JWK"
    ),
    pytest.param(
        "[keys]\njwk_file = 'encrypt.json'", ["keys.jwk_file: use or key_ops"], id="JWK to encrypt"
    ),
    pytest.param(
        "[keys]\njwk_file = 'sign.json'", ["toml: keys must be a KeySet with"], id="JWK to sign"
    ),
    pytest.param(
        "[keys]\nsecret_file = 'secret'\nprevious = [{jwk_file = 'sign.json'}]",
        ["keys.previous[1]: use or key_ops allow"],
        id="previous key to sign",
    ),
    pytest.param(
        "[keys]\nsecret_file = 'secret'\nprevious = [{secret_file = 'secret'}]",
        ["toml: keys: two keys have the same kid"],
        id="same key twice",
    ),
    # contradictions
    pytest.param(
        "[endpoint]", ["accounts: is missing: add an [accounts] table"], id="endpoint alone"
    ),
    pytest.param(
        '[endpoint]\nclient_types = ["email"]\nverifiers = { ldap = "json:loads" }',
        ["endpoint.client_types: are those of [accounts]"],
        id="types without accounts",
    ),
    pytest.param(
        '[endpoint.verifiers]\nldap = "json"',
        ["endpoint.verifiers.ldap: 'json': write \"module:attr\""],
        id="verifier without colon",
    ),
    pytest.param(
        '[endpoint.verifiers]\nldap = "json:no"',
        ["endpoint.verifiers.ldap: 'json:no': there is no 'no'"],
        id="no such verifier",
    ),
    pytest.param(
        "[endpoint]\nverifiers = 1", ["endpoint.verifiers: must be a table"], id="verifiers"
    ),
    pytest.param(
        "[endpoint]\n" + ACCOUNTS + "[keys]\npublic_key_file = 'public.pem'\nalg = 'ES256'",
        ["keys: has a key that only verifies", "leave [endpoint] out"],
        id="endpoint with a public key",
    ),
    # what is no TOML
    pytest.param("issuer = ", ["is not TOML: ", "line 1"], id="no TOML"),
    pytest.param("a = 1\na = 2", ["is not TOML: ", "line 4"], id="twice"),
]


class TestMistakes:
    @pytest.fixture(autouse=True)
    def files(self, folder: Path) -> None:
        write_private(folder / "private.pem", private_pem())
        write_private(folder / "public.pem", public_pem())
        write_private(folder / "short", b"only-a-dozen\n")
        jwk = '{"kty": "oct", "alg": "HS256", "k": "' + "Ab" * 22 + '", "%s}'
        write_private(folder / "encrypt.json", (jwk % 'use": "enc"').encode())
        write_private(folder / "sign.json", (jwk % 'key_ops": ["sign"]').encode())

    @table(("text", "parts"), MISTAKES)
    def test_are_one_line_that_names_the_setting_and_the_fix(
        self, folder: Path, text: str, parts: list[str]
    ) -> None:
        file = write(folder, text)
        with pytest.raises(ConfigurationError) as caught:
            wrap(file, app)
        assert_one_line(caught.value, [f"{file}: ", *parts])
        for secret in ("only-a-dozen", SECRET, "u:pw", "AbAb", private_pem().decode()[40:60]):
            assert secret not in str(caught.value)

    def test_in_the_name_of_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError) as caught:
            wrap(tmp_path / "absent.toml", app)
        assert_one_line(caught.value, ["absent.toml: ", "No such file", "jwt-middleware init"])

    def test_in_its_encoding(self, folder: Path) -> None:
        (folder / "jwt.toml").write_bytes(b"issuer = '\xff'")
        with pytest.raises(ConfigurationError) as caught:
            load(folder / "jwt.toml")
        assert_one_line(caught.value, ["jwt.toml: is not UTF-8: save it"])
        assert caught.value.__cause__ is None

    def test_without_the_extra(
        self, folder_with_endpoint: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(sys.modules, "jwt_middleware.accounts.sql", raising=False)
        monkeypatch.delitem(sys.modules, "jwt_middleware.accounts.hashing", raising=False)
        monkeypatch.setitem(sys.modules, "argon2", None)
        with pytest.raises(ConfigurationError) as caught:
            wrap(folder_with_endpoint / "jwt.toml", app)
        assert_one_line(caught.value, ["accounts: argon2 is missing", "middleware[sql]"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX alone has pipes")
@pytest.mark.parametrize("name", ["pipe", "/dev/zero"])
@pytest.mark.parametrize(
    ("setting", "text"),
    [
        pytest.param("keys.secret_file", "[keys]\nsecret_file = '{}'", id="secret"),
        pytest.param("keys.jwk_file", "[keys]\njwk_file = '{}'", id="JWK"),
        pytest.param(
            "keys.private_key_file", "[keys]\nalg = 'ES256'\nprivate_key_file = '{}'", id="PEM"
        ),
        pytest.param("trusted[1].jwks_file", TRUSTED + "jwks_file = '{}'", id="JWK set"),
        pytest.param("trusted[1].secret_file", TRUSTED + "secret_file = '{}'", id="shared secret"),
        pytest.param("ca_file", TRUSTED + "discovery = true\nca_file = '{}'", id="authorities"),
        pytest.param(
            "bearer_token_file", TRUSTED + "discovery = true\nbearer_token_file = '{}'", id="bearer"
        ),
        pytest.param("accounts.url", "[endpoint]\n[accounts]\nurl = 'sqlite:///{}'", id="accounts"),
        pytest.param("sessions.url", "[sessions]\nurl = 'sqlite:///{}'", id="sessions"),
    ],
)
def test_waits_for_no_pipe_and_reads_no_endless_device(
    folder: Path, name: str, setting: str, text: str
) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(ConfigurationError) as refused:
        load(write(folder, text.format(name))).protect(app)
    assert_one_line(refused.value, [setting])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX alone has pipes")
def test_a_pipe_is_no_configuration(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    for name in (folder / "pipe", Path("/dev/zero")):
        with pytest.raises(ConfigurationError, match="not a regular file"):
            load(name)
