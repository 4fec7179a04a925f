"""The configuration file that ``init`` writes."""

from __future__ import annotations

from typing import Final

_HEAD: Final = """\
# jwt-middleware.  Settings after a "#" show the default, or an example if marked as one.
# Relative paths are relative to this file.
#
#     gunicorn "jwt_middleware:wrap('jwt.toml', 'myapp:app')"

issuer = "https://auth.example.com"    # iss of the tokens issued and accepted: change it to yours
audience = "api"                       # aud; of a list, all are accepted and the first is issued
# leeway_seconds = 0                   # allowed clock skew, up to 300
# token_type = "at+jwt"                # example; default: JWT, at+jwt and no typ are accepted
# kind, scopes_from, subject_from, audience_claim, require_any, max_token_lifetime_seconds and
# header are as for [[trusted]] below
# mode = "enforce"                     # or "report": log what would be refused; also in rules
# cache_size = 10000                   # verified tokens cached in each process
# cache_bytes = 67108864               # estimated memory for them in each process

[keys]
# One source: secret_file, secret_env (name of an environment variable), private_key_file or
# public_key_file (PEM or certificate, with alg), or jwk_file.
secret_file = "secret"                 # at least 32 bytes for HS256, 48 for HS384, 64 for HS512
# alg = "HS256"                        # or HS384, HS512; for PEM RS*, PS*, ES*, EdDSA
# kid = "2026-11"                      # example; default: derived from the key
# password_env = "KEY_PASSWORD"        # example, for an encrypted private_key_file

# directory = "keys"                   # example, instead of all the others: a key ring, made by
#                                      # `jwt-middleware keys create` and rotated by `keys rotate`

# To change the key, move the one above down here and name a new one there; remove it when the
# tokens it signed have expired.
# [[keys.previous]]                    # example; the same settings as in [keys]
# secret_file = "secret.old"
"""

_ACCOUNTS: Final = """\

[endpoint]                             # POST {account, secret, type} for a token
# path = "/token"
# lifetime_seconds = 7200
# refresh_lifetime_seconds = 1209600   # of a refresh token, renewed at each use: 14 days
# client_types = ["email", "mobile", "username", "service"]
# verifiers = { ldap = "myapp.users:verify" }  # example: your own account verifiers
# lookups = { ldap = "myapp.users:lookup" }    # example: rechecks it at a refresh; or "none"
# subjects = { ldap = "ldap:{uid}" }           # example: sub of its accounts
# lifetimes = { service = { lifetime_seconds = 600 } }  # example: also refresh_lifetime_seconds
# forms = { ldap = "myapp.forms:LDAPForm" }    # example: a subclass of ClientForm
# codes = { ldap = 300 }                       # example: a number that a form may send as its type
# client_id = "web"                    # example: of logins that send none; default: tokens say JWT
# audience = ["api", "files"]          # example: aud of issued tokens; default: the first above
# nbf_early_seconds = 60               # for verifiers whose clock is behind, 0 to 60
# max_body_bytes = 65536

[accounts]                             # pip install 'wsgi-jwt-middleware[sql]'
url = "sqlite:///accounts.db"          # or postgresql://user@host/database, password in ~/.pgpass
# min_secret_chars = 8                 # of new secrets, 1 to 1024

# [accounts.hasher]                    # Argon2id
# time_cost = 2                        # passes
# memory_cost_kib = 19456              # of one hash
# parallelism = 1                      # lanes
# max_concurrent = 2                   # hashes at a time in each process
# max_waiting = 4                      # logins that wait to be hashed; one more gets 503
# max_wait_seconds = 2                 # longest wait; then 503

[sessions]                             # refresh tokens and revocation, for all processes and hosts
url = "sqlite:///sessions.db"          # or postgresql://user@host/database, redis://host:6379/0
# issuer = "https://auth.example.com"  # example: issuer of the sessions; default: the issuer above
# max_lifetime_seconds = 7776000       # of a session, however often it is refreshed: 90 days
# grace_seconds = 10                   # in which a refresh token may be used twice; 0 for none
# max_delay_seconds = 1                # until a process sees a revocation, 0 to 60
# max_per_subject = 1000               # sessions of one account; another login ends the oldest
# key_prefix = "jwt_middleware"        # of all keys in Redis

# [login]                              # failed logins, counted in the store of [sessions]:
#                                      # how many at once, and the seconds until one more
# known = [10, 90]                     # of an account, from an address where it has logged in
# account = [20, 120]                  # of an account, from all other addresses together
# leaf = [5, 180]                      # of an account, from one of them (IPv4, or IPv6 /64)
# net = [10, 360]                      # of an account, from a /24 or /48
# wide = [15, 240]                     # of an account, from a /16 or /32
# address = [30, 30]                   # from one address, over all accounts
# site = [120, 7.5]                    # from an IPv6 /48, over all accounts
# known_days = 30                      # how long an address stays known after a login
# max_known = 16                       # known addresses of an account
# trusted_networks = ["10.0.0.0/8"]    # example: count as known addresses
# # max_per_account, max_per_address and window_seconds of version 0.1 replace these limits.
# trusted_proxies = 0                  # as in [request], if left out there
"""

_TAIL: Final = """\

# The first rule that matches method and path decides; a path without a rule needs a token.
# [[rules]]                            # example
# path = "/health"                     # exact; * for one segment; /admin/* for all below as well
# access = "public"                    # or "optional"; default "required"
# mode = "enforce"                     # or "report": nothing is refused on this path
# preflight = true                     # answer CORS preflights without a token; default false
# basic = true                         # also accept a token as Basic password; default false
# [[rules]]                            # example
# path = "/admin/*"
# methods = ["POST", "DELETE"]         # default: all; GET covers HEAD
# scopes = ["admin"]                   # all of these; default: none
# scopes_any = ["admin", "ops"]        # one of these; default: none
# claims = { ac_type = ["email"] }     # claim = value, or any of a list; default: none
# claims_all = { realm_access.roles = ["a", "b"] }  # all of a list, here of a claim in a claim
# claims_prefix = { sub = "repo:octo-org/" }        # what the claim begins with, or any of a list
# claims_absent = ["act"]              # claims that the token must not have

# Further parts of a request that the app may act on.
# [request]
# prefix = "/api"                      # example: prefix that your proxy strips; default: none
# form_method_override = false         # the app takes a method from a form field
# recursive_methods = true             # DELETE, COPY, MOVE, … act on all below a path
# trusted_proxies = 0                  # of your own, which each add to X-Forwarded-For

# [responses]
# style = "problem"                    # or "envelope": {"error_code", "msg", "request"}
# realm = "api"                        # in every WWW-Authenticate
# error_codes = { bad_credentials = 1004 }     # example: numbers of the envelope, by code

# Pages of other origins that may log in and read refusals; without this table none.
# [cors]                               # example
# origins = ["https://app.example.com", "https://*.example.org"]
# methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]  # that a preflight allows
# headers = ["X-Request-Id"]           # and Authorization, Content-Type; default: none
# exposed_headers = ["WWW-Authenticate", "Retry-After"]        # that scripts may read
# max_age_seconds = 600                # how long a browser caches a preflight
# credentials = false                  # allow scripts to send cookies

# Other issuers whose tokens are accepted.  Without [endpoint], issuer, audience
# and [keys] above can then be left out.
# `jwt-middleware init --provider NAME` writes this table for a provider, filled in but for names.
# [[trusted]]                          # example
# issuer = "https://login.example.org" # with {tid} in it for the tenants of Entra ID
# tenants = ["8c1f..."]                # example, for {tid}; default: none
# audience = "api"                     # or a list
# audience_claim = "client_id"         # example, where tokens have no aud; default: aud
# discovery = true                     # example; or one of the following six
# discovery_url = "https://..."        # example: the metadata are not below issuer
# jwks_url = "https://..."             # example
# jwks_file = "keys.json"              # example: a JWK set, a JWK, PEM or certificates
# secret_file = "secret.theirs"        # example: HS256, a secret shared with the issuer
# secret_env = "THEIR_SECRET"          # example
# kid = "2026-11"                      # example: of one PEM or a secret; default: derived from it
# algorithms = ["RS256", "ES256"]      # default: those of its keys
# leeway_seconds = 30
# token_type = "at+jwt"                # default: JWT, at+jwt and no typ are accepted
# remote_user = "partner:{sub}"        # REMOTE_USER for the app; default: none
# accept_sender_constrained = false    # tokens bound to a key (cnf) as plain bearer tokens
# profile = "at+jwt"                   # requires all of RFC 9068; default: no
# kind = "access"                      # or "id": which of the two is accepted
# subject_from = ["sub", { claim = "azp", prefix = "client:" }]  # example; default: ["sub"]
# scopes_from = ["scope", ["realm_access", "roles"]]  # example; default: scope, or else scp
# require_any = [["scp"], ["roles"]]   # example: one must be present; default: none
# max_token_lifetime_seconds = 86400   # example; default: no limit
# header = "X-Forwarded-Access-Token"  # example; default: Authorization, as a bearer token
# max_stale_seconds = 86400            # maximum age of its keys while its URL is unavailable
# allow_http = false                   # allow plain HTTP from another machine
# ca_file = "ca.pem"                   # default: the system's authorities
# bearer_token_file = "token"          # example: sent to the keys' origin; default: none
# environ = { HTTP_X_FORWARDED_EMAIL = "email" }  # example, as [environ] below, for its tokens

# Publishes, without a token, /.well-known/jwks.json and metadata; without this table nothing.
# [metadata]                           # example
# jwks = true
# authorization_server = true          # issuer above must be a URL
# openid_configuration = false         # also at the path of OpenID Connect Discovery
# resource = "https://api.example.com" # for RFC 9728; default: none
# max_age_seconds = 300

# Claims as headers, for apps that cannot be edited; each is removed from incoming requests.
# [environ]                            # example, of tokens of the issuer above
# HTTP_X_FORWARDED_EMAIL = "email"     # of a claim with one value
# HTTP_X_FORWARDED_GROUPS = ["groups"] # of an array, joined by commas; or a path to a claim
# keep_authorization = true            # false removes an accepted token before the app

# Used if the application has not configured logging.
# [logging]
# format = "line"                      # or "json"
# level = "info"                       # "debug" also logs allowed requests
# max_per_second = 20                  # of each event; the rest is counted
# on_event = "myapp.audit:record"      # example: called with each event

# [metrics]                            # example; pip install 'wsgi-jwt-middleware[metrics]'
# path = "/metrics"                    # default: left to the application's registry
# access = "required"                  # or "public"
# scopes = ["metrics"]                 # example; default: none
# directory = "metrics"                # example, for several processes; serve creates one

# [health]                             # example: probes, without a token; without it none
# path = "/health"                     # readiness: 503 names the parts that are unavailable
# live_path = "/health/live"           # default: path and "/live"

# [serve]                              # what `jwt-middleware serve` does
# bind = "127.0.0.1:8000"
# workers = 2
# threads = 1                          # of each worker
# access_log = true                    # with the subject of the token
# preload = true                       # build the app once, before the workers are forked
# gunicorn = { timeout = 30 }          # example: further settings of gunicorn
"""


def render(*, with_accounts: bool) -> str:
    """
    Return the text of the file.

    Args:
        with_accounts: Whether logins can work; if not, their settings are commented out.
    """
    accounts = _ACCOUNTS
    if not with_accounts:
        lines = _ACCOUNTS.splitlines(keepends=True)
        accounts = "".join(
            line if line == "\n" or line.startswith("#") else f"# {line}" for line in lines
        )
    return _HEAD + accounts + _TAIL
