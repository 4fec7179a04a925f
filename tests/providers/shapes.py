"""Tokens as providers document them, with their key documents, and neighbours that are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

HOUR: Final = 3600
TENANT = "8c1fa1b0-1c57-4a3e-9a0e-7d5b1f0d2a11"
OTHER_TENANT = "0d9e2c44-77aa-4f0b-8a55-2f6f3f4d9b22"
CLIENT = "6731de76-14a6-49ae-97bc-6eba6914391e"

Documents = Mapping[str, Any]


@dataclass(frozen=True)
class Neighbour:
    """
    A token that is nearly the good one.

    Attributes:
        label: What is wrong with it.
        claims: What other claims it has; ``...`` is one that it has not.
        header: What other header members.
        status: What it gets; 403 is for the path of the rule.
        key: Whose signature it has.
        sent_in: The request headers, with ``{}`` in place of the token.
    """

    label: str
    claims: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)
    status: int = 401
    key: Literal["theirs", "another's"] = "theirs"
    sent_in: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Shape:
    """
    A token of a provider, and what it must give.

    Attributes:
        provider: Name of the provider's table.
        token: What the token is for.
        source: Where its shape is documented.
        values: What the words in capitals of the table become.
        header: JOSE header, without alg.
        claims: Its claims, without times.
        subject: ``REMOTE_USER``.
        scopes: What ``get_scopes`` returns.
        path: A path under the provider's rule, which the token may see.
        alg: Of its signature.
        sent_in: The request header that it comes in.
        documents: URL to what is there; *jwks* stands for the key set, *pems* for a map.
        jwk: Further members of the JWK.
        lifetime_seconds: From *iat* to *exp*.
        neighbours: What is refused.
    """

    provider: str
    token: str
    source: str
    values: Mapping[str, str]
    claims: Mapping[str, Any]
    subject: str
    scopes: frozenset[str]
    path: str
    documents: Documents
    header: Mapping[str, Any] = field(default_factory=lambda: {"typ": "JWT", "kid": "k1"})
    alg: str = "RS256"
    sent_in: str = "Authorization"
    jwk: Mapping[str, Any] = field(default_factory=dict)
    lifetime_seconds: int = HOUR
    neighbours: tuple[Neighbour, ...] = ()


def discovered(
    issuer: str, jwks_uri: str, *, at: str | None = None, named: str | None = None
) -> Documents:
    """Return metadata of an issuer, and its keys."""
    url = at or issuer.rstrip("/") + "/.well-known/openid-configuration"
    return {url: {"issuer": named or issuer, "jwks_uri": jwks_uri}, jwks_uri: "jwks"}


ENTRA = f"https://login.microsoftonline.com/{TENANT}/v2.0"
ENTRA_KEYS = "https://login.microsoftonline.com/{}/discovery/v2.0/keys"
ENTRA_JWK = {
    "alg": None,  # Entra ID names none
    "x5t": "k1",
    "x5c": ["MIIC…"],
    "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0",
    "cloud_instance_name": "microsoftonline.com",
}
ENTRA_SOURCE = "https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference"
ENTRA_USER = {
    "aud": CLIENT,
    "iss": ENTRA,
    "aio": "AVQAq/8T",
    "azp": "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
    "azpacr": "0",
    "name": "Ann Example",
    "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
    "preferred_username": "ann@example.com",
    "rh": "0.AScA",
    "roles": ["Orders.Admin"],
    "scp": "Orders.Read Orders.Write",
    "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
    "tid": TENANT,
    "uti": "fqiBqXLPj0eQa82S-IYFAA",
    "ver": "2.0",
}
COGNITO = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123"
COGNITO_VALUES = {
    "REGION": "eu-west-1",
    "POOL_ID": "eu-west-1_AbCdEf123",
    "CLIENT_ID": "1example23456789",
}
COGNITO_USER = {
    "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "device_key": "eu-west-1_x",
    "cognito:groups": ["admins"],
    "iss": COGNITO,
    "version": 2,
    "client_id": "1example23456789",
    "origin_jti": "aaa",
    "event_id": "bbb",
    "token_use": "access",
    "scope": "openid profile orders/read",
    "auth_time": 1_700_000_000,
    "jti": "ccc",
    "username": "ann",
}
COGNITO_SOURCE = "https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html"
KEYCLOAK = "https://sso.example.com/realms/shop"
KEYCLOAK_KEYS = f"{KEYCLOAK}/protocol/openid-connect/certs"
KEYCLOAK_USER = {
    "jti": "onrtro:3ab",
    "iss": KEYCLOAK,
    "aud": ["orders-api", "account"],
    "sub": "f1b2c3d4-0000-4000-8000-000000000001",
    "typ": "Bearer",
    "azp": "shop-frontend",
    "sid": "7b2e",
    "acr": "1",
    "allowed-origins": ["https://shop.example.com"],
    "realm_access": {"roles": ["offline_access", "admin"]},
    "resource_access": {
        "orders-api": {"roles": ["orders:write"]},
        "account": {"roles": ["manage-account"]},
    },
    "scope": "email profile",
    "email_verified": True,
    "preferred_username": "ann",
}
KEYCLOAK_VALUES = {"KEYCLOAK": "sso.example.com", "REALM": "shop", "CLIENT": "orders-api"}
GITHUB = "https://token.actions.githubusercontent.com"
K8S = "https://kubernetes.default.svc.cluster.local"
TEAM = "https://example.cloudflareaccess.com"
AUD_TAG = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2"
CF_VALUES = {"TEAM": "example", "AUD_TAG": AUD_TAG}
CF_KEYS = f"{TEAM}/cdn-cgi/access/certs"
CF_SOURCE = "https://developers.cloudflare.com/cloudflare-one/identity/authorization-cookie/application-token/"
IAP_AUD = "/projects/123456789/global/backendServices/987654321"
IAP_KEYS = "https://www.gstatic.com/iap/verify/public_key-jwk"
FIREBASE_KEYS = (
    "https://www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"
)
B2C = f"https://contoso.b2clogin.com/{TENANT}/v2.0/"
B2C_AT = "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_signin"

SHAPES: Final = (
    Shape(
        provider="entra",
        token="a user's access token, v2",
        source=ENTRA_SOURCE,
        values={"TENANT_ID": TENANT, "CLIENT_ID": CLIENT},
        claims=ENTRA_USER,
        subject="HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
        scopes=frozenset({"Orders.Read", "Orders.Write", "Orders.Admin"}),
        path="/admin/x",
        documents=discovered(ENTRA, ENTRA_KEYS.format(TENANT)),
        jwk=ENTRA_JWK,
        neighbours=(
            Neighbour(
                "another tenant's token",
                {"iss": ENTRA.replace(TENANT, OTHER_TENANT), "tid": OTHER_TENANT},
            ),
            Neighbour("its iss with another tid", {"tid": OTHER_TENANT}),
            Neighbour("an ID token of the same client", {"scp": ..., "roles": ..., "nonce": "n"}),
            Neighbour("neither scp nor roles", {"scp": ..., "roles": ...}),
            Neighbour("a user without the role", {"roles": []}, status=403),
            Neighbour(
                "the role as part of a scope array", {"roles": ["x Orders.Admin"]}, status=403
            ),
        ),
    ),
    Shape(
        provider="entra",
        token="an application's access token, v2",
        source=ENTRA_SOURCE,
        values={"TENANT_ID": TENANT, "CLIENT_ID": CLIENT},
        claims={
            name: value
            for name, value in ENTRA_USER.items()
            if name not in {"scp", "name", "preferred_username"}
        }
        | {
            "azpacr": "1",
            "idtyp": "app",
            "sub": "b3d5",
            "oid": "b3d5",
            "roles": ["Orders.Write.All"],
        },
        subject="b3d5",
        scopes=frozenset({"Orders.Write.All"}),
        path="/admin/x",
        documents=discovered(ENTRA, ENTRA_KEYS.format(TENANT)),
        jwk=ENTRA_JWK,
    ),
    Shape(
        provider="entra-multi-tenant",
        token="a user's access token, v2",
        source=ENTRA_SOURCE,
        values={"TENANT_ID": TENANT, "CLIENT_ID": CLIENT},
        claims=ENTRA_USER,
        subject="HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
        scopes=frozenset({"Orders.Read", "Orders.Write", "Orders.Admin"}),
        path="/admin/x",
        documents=discovered(
            ENTRA,
            ENTRA_KEYS.format("organizations"),
            at="https://login.microsoftonline.com/organizations/v2.0/.well-known/openid-configuration",
            named="https://login.microsoftonline.com/{tenantid}/v2.0",
        ),
        jwk=ENTRA_JWK,
        neighbours=(
            Neighbour(
                "a tenant that is not listed",
                {"iss": ENTRA.replace(TENANT, OTHER_TENANT), "tid": OTHER_TENANT},
            ),
            Neighbour("another tid than in iss", {"tid": OTHER_TENANT}),
            Neighbour("no tid", {"tid": ...}),
            Neighbour("the placeholder itself", {"iss": ENTRA.replace(TENANT, "{tid}")}),
        ),
    ),
    Shape(
        provider="okta",
        token="a user's access token",
        source="https://developer.okta.com/docs/guides/validate-access-tokens/",
        values={"DOMAIN": "example.okta.com", "SERVER": "default", "AUDIENCE": "api://default"},
        claims={
            "ver": 1,
            "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
            "iss": "https://example.okta.com/oauth2/default",
            "aud": "api://default",
            "cid": "nmdP1fcyvdVO11AL7ECm",
            "uid": "00ugrenMeqvYla4HW0g3",
            "scp": ["openid", "orders.write"],
            "auth_time": 1_700_000_000,
            "sub": "ann@example.com",
            "groups": ["Everyone", "Admins"],
        },
        subject="ann@example.com",
        scopes=frozenset({"openid", "orders.write", "Everyone", "Admins"}),
        path="/admin/x",
        header={"kid": "k1"},
        documents=discovered(
            "https://example.okta.com/oauth2/default",
            "https://example.okta.com/oauth2/default/v1/keys",
        ),
        neighbours=(
            Neighbour("the org's own server", {"iss": "https://example.okta.com"}),
            Neighbour("an ID token of the same client", {"scp": ..., "nonce": "n", "at_hash": "h"}),
            Neighbour("two scopes in one member", {"scp": ["openid orders.write"]}, status=403),
            Neighbour("a scope in lower case only", {"groups": ["admins"]}, status=403),
        ),
    ),
    Shape(
        provider="auth0",
        token="a user's access token, with RBAC",
        source="https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles",
        values={"TENANT": "example.eu", "API_IDENTIFIER": "https://orders.example.com"},
        claims={
            "iss": "https://example.eu.auth0.com/",
            "sub": "auth0|6346b2c1",
            "aud": ["https://orders.example.com", "https://example.eu.auth0.com/userinfo"],
            "azp": "my_client_id",
            "scope": "openid profile read:orders",
            "permissions": ["read:orders", "delete:orders"],
        },
        subject="auth0|6346b2c1",
        scopes=frozenset({"openid", "profile", "read:orders", "delete:orders"}),
        path="/admin/x",
        documents=discovered(
            "https://example.eu.auth0.com/", "https://example.eu.auth0.com/.well-known/jwks.json"
        ),
        jwk={"x5t": "k1", "x5c": ["MIIC…"]},
        neighbours=(
            Neighbour("the issuer without its slash", {"iss": "https://example.eu.auth0.com"}),
            Neighbour("an ID token", {"scope": ..., "aud": "my_client_id", "nonce": "n"}),
            Neighbour(
                "a permission that holds it", {"permissions": ["x delete:orders"]}, status=403
            ),
        ),
    ),
    Shape(
        provider="auth0",
        token="a machine's access token, RFC 9068 profile",
        source="https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles",
        values={"TENANT": "example.eu", "API_IDENTIFIER": "https://orders.example.com"},
        claims={
            "iss": "https://example.eu.auth0.com/",
            "sub": "my_client_id@clients",
            "aud": "https://orders.example.com",
            "jti": "9ufWT",
            "client_id": "my_client_id",
            "scope": "delete:orders",
            "gty": "client-credentials",
        },
        subject="my_client_id@clients",
        scopes=frozenset({"delete:orders"}),
        path="/admin/x",
        header={"typ": "at+jwt", "kid": "k1"},
        documents=discovered(
            "https://example.eu.auth0.com/", "https://example.eu.auth0.com/.well-known/jwks.json"
        ),
    ),
    Shape(
        provider="cognito",
        token="a user's access token",
        source=COGNITO_SOURCE,
        values=COGNITO_VALUES,
        claims=COGNITO_USER,
        subject="aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        scopes=frozenset({"openid", "profile", "orders/read", "admins"}),
        path="/admin/x",
        header={"kid": "k1"},
        documents=discovered(COGNITO, f"{COGNITO}/.well-known/jwks.json"),
        neighbours=(
            Neighbour(
                "an ID token of the same client",
                {"token_use": "id", "aud": "1example23456789", "client_id": ...},
            ),
            Neighbour("an ID token that also has client_id", {"token_use": "id"}),
            Neighbour("another app client", {"client_id": "2other", "aud": "1example23456789"}),
            Neighbour("another pool", {"iss": COGNITO + "4"}),
            Neighbour("without the group", {"cognito:groups": ...}, status=403),
        ),
    ),
    Shape(
        provider="aws-alb",
        token="the access token that it passes on",
        source="https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html",
        values=COGNITO_VALUES,
        claims=COGNITO_USER,
        subject="aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        scopes=frozenset({"openid", "profile", "orders/read", "admins"}),
        path="/admin/x",
        header={"kid": "k1"},
        sent_in="X-Amzn-Oidc-Accesstoken",
        documents=discovered(COGNITO, f"{COGNITO}/.well-known/jwks.json"),
        neighbours=(
            Neighbour("as a bearer token", sent_in={"Authorization": "Bearer {}"}),
            Neighbour("in X-Amzn-Oidc-Data", sent_in={"X-Amzn-Oidc-Data": "{}"}),
            Neighbour("padded", sent_in={"X-Amzn-Oidc-Accesstoken": "{}="}),
            Neighbour("twice", status=400, sent_in={"X-Amzn-Oidc-Accesstoken": "{},{}"}),
        ),
    ),
    Shape(
        provider="keycloak",
        token="a user's access token",
        source="https://www.keycloak.org/docs/latest/server_admin/",
        values=KEYCLOAK_VALUES,
        claims=KEYCLOAK_USER,
        subject="f1b2c3d4-0000-4000-8000-000000000001",
        scopes=frozenset({"email", "profile", "offline_access", "admin", "orders:write"}),
        path="/admin/x",
        documents=discovered(KEYCLOAK, KEYCLOAK_KEYS),
        neighbours=(
            Neighbour("an ID token", {"typ": "ID", "nonce": "n", "at_hash": "h"}),
            Neighbour("a refresh token", {"typ": "Refresh"}),
            Neighbour("another realm", {"iss": KEYCLOAK.replace("shop", "master")}),
            Neighbour("the realm of an attacker's server", key="another's"),
            Neighbour("without the role", {"realm_access": {"roles": ["user"]}}, status=403),
            Neighbour(
                "the role of another client",
                {"realm_access": {}, "resource_access": {"account": {"roles": ["admin"]}}},
                status=403,
            ),
            Neighbour("a role that holds it", {"realm_access": {"roles": ["x admin"]}}, status=403),
            Neighbour("a user named like a client", {"sub": "client:orders-worker"}),
        ),
    ),
    Shape(
        provider="keycloak",
        token="a client's access token without sub",
        source="https://www.keycloak.org/docs/latest/upgrading/ (25: sub is in the scope basic)",
        values=KEYCLOAK_VALUES,
        claims={
            "jti": "trrtcc:1",
            "iss": KEYCLOAK,
            "aud": "orders-api",
            "typ": "Bearer",
            "azp": "orders-worker",
            "client_id": "orders-worker",
            "realm_access": {"roles": ["admin"]},
            "scope": "",
        },
        subject="client:orders-worker",
        scopes=frozenset({"admin"}),
        path="/admin/x",
        documents=discovered(KEYCLOAK, KEYCLOAK_KEYS),
        neighbours=(Neighbour("neither sub nor client_id", {"client_id": ...}),),
    ),
    Shape(
        provider="google-iap",
        token="the signed header",
        source="https://cloud.google.com/iap/docs/signed-headers-howto",
        values={"PROJECT_NUMBER": "123456789", "SERVICE_ID": "987654321"},
        claims={
            "iss": "https://cloud.google.com/iap",
            "aud": IAP_AUD,
            "azp": IAP_AUD,
            "sub": "accounts.google.com:112233445566",
            "email": "ann@example.com",
            "hd": "example.com",
            "google": {"access_levels": ["accessPolicies/1/accessLevels/office"]},
        },
        subject="accounts.google.com:112233445566",
        scopes=frozenset(),
        path="/admin/x",
        alg="ES256",
        sent_in="X-Goog-IAP-JWT-Assertion",
        lifetime_seconds=600,
        documents={IAP_KEYS: "jwks"},
        neighbours=(
            Neighbour("as a bearer token", sent_in={"Authorization": "Bearer {}"}),
            Neighbour("in another provider's header", sent_in={"Cf-Access-Jwt-Assertion": "{}"}),
            Neighbour("another backend", {"aud": IAP_AUD + "0"}),
            Neighbour("twice", status=400, sent_in={"X-Goog-IAP-JWT-Assertion": "{}, {}"}),
            Neighbour("without the access level", {"google": {"access_levels": []}}, status=403),
        ),
    ),
    Shape(
        provider="cloudflare-access",
        token="a user's application token",
        source=CF_SOURCE,
        values=CF_VALUES,
        claims={
            "aud": [AUD_TAG],
            "email": "ann@example.com",
            "iss": TEAM,
            "type": "app",
            "identity_nonce": "6ei69kawdKzMIAPF",
            "sub": "7335d417-61da-459d-899c-0a01c76a2f94",
            "country": "US",
        },
        subject="7335d417-61da-459d-899c-0a01c76a2f94",
        scopes=frozenset(),
        path="/admin/x",
        header={"kid": "k1"},
        sent_in="Cf-Access-Jwt-Assertion",
        documents={CF_KEYS: "cloudflare"},
        neighbours=(
            Neighbour("as a bearer token", sent_in={"Authorization": "Bearer {}"}),
            Neighbour("another application", {"aud": ["other"]}),
            Neighbour("a user named like a service", {"sub": "service:x.access"}),
            Neighbour("another user", {"email": "eve@example.com"}, status=403),
        ),
    ),
    Shape(
        provider="cloudflare-access",
        token="a service token",
        source=CF_SOURCE,
        values=CF_VALUES,
        claims={
            "type": "app",
            "aud": AUD_TAG,
            "iss": TEAM,
            "common_name": "e367826f93b8d71185e03fe518aff3b4.access",
            "sub": "",
            "email": "ann@example.com",
        },
        subject="service:e367826f93b8d71185e03fe518aff3b4.access",
        scopes=frozenset(),
        path="/admin/x",
        header={"kid": "k1"},
        sent_in="Cf-Access-Jwt-Assertion",
        documents={CF_KEYS: "cloudflare"},
        neighbours=(Neighbour("neither sub nor name", {"common_name": ...}),),
    ),
    Shape(
        provider="kubernetes",
        token="a projected service account token",
        source="https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/",
        values={"AUDIENCE": "orders", "NAMESPACE": "shop"},
        claims={
            "aud": ["orders"],
            "iss": K8S,
            "jti": "ed2a",
            "kubernetes.io": {
                "namespace": "shop",
                "node": {"name": "node-1", "uid": "6b"},
                "pod": {"name": "worker-0", "uid": "5e"},
                "serviceaccount": {"name": "worker", "uid": "14"},
            },
            "sub": "system:serviceaccount:shop:worker",
        },
        subject="system:serviceaccount:shop:worker",
        scopes=frozenset(),
        path="/jobs/x",
        header={"kid": "k1"},
        documents={"https://kubernetes.default.svc/openid/v1/jwks": "jwks"},
        neighbours=(
            Neighbour("a token for the API server", {"aud": [K8S]}),
            Neighbour(
                "another namespace",
                {"kubernetes.io": {"namespace": "x"}, "sub": "system:serviceaccount:x:worker"},
                status=403,
            ),
            Neighbour(
                "a namespace that begins alike",
                {"sub": "system:serviceaccount:shop2:worker"},
                status=403,
            ),
        ),
    ),
    Shape(
        provider="github-actions",
        token="a workflow's token",
        source="https://docs.github.com/actions/reference/security/oidc",
        values={"AUDIENCE": "https://orders.example.com", "ORGANIZATION": "octo-org"},
        claims={
            "jti": "example-id",
            "sub": "repo:octo-org/octo-repo:ref:refs/heads/main",
            "aud": "https://orders.example.com",
            "ref": "refs/heads/main",
            "sha": "example-sha",
            "repository": "octo-org/octo-repo",
            "repository_owner": "octo-org",
            "repository_visibility": "private",
            "actor": "octocat",
            "workflow": "example-workflow",
            "event_name": "push",
            "ref_type": "branch",
            "iss": GITHUB,
        },
        subject="repo:octo-org/octo-repo:ref:refs/heads/main",
        scopes=frozenset(),
        path="/deploy/x",
        header={"typ": "JWT", "kid": "k1", "x5t": "k1"},
        lifetime_seconds=900,
        documents=discovered(GITHUB, f"{GITHUB}/.well-known/jwks"),
        neighbours=(
            Neighbour("another audience", {"aud": "https://github.com/octo-org"}),
            Neighbour(
                "an organization that begins alike",
                {
                    "sub": "repo:octo-org-evil/x:ref:refs/heads/main",
                    "repository_owner": "octo-org-evil",
                },
                status=403,
            ),
            Neighbour("another branch", {"ref": "refs/heads/fix"}, status=403),
        ),
    ),
    Shape(
        provider="gitlab",
        token="a job's ID token",
        source="https://docs.gitlab.com/ci/secrets/id_token_authentication/",
        values={"AUDIENCE": "https://orders.example.com", "GROUP": "my-group"},
        claims={
            "namespace_id": "72",
            "namespace_path": "my-group",
            "project_id": "20",
            "project_path": "my-group/my-project",
            "user_id": "1",
            "user_login": "sample-user",
            "pipeline_id": "574",
            "pipeline_source": "push",
            "job_id": "302",
            "ref": "main",
            "ref_type": "branch",
            "ref_protected": "true",
            "runner_id": 1,
            "jti": "235b",
            "iss": "https://gitlab.com",
            "aud": "https://orders.example.com",
            "sub": "project_path:my-group/my-project:ref_type:branch:ref:main",
        },
        subject="project_path:my-group/my-project:ref_type:branch:ref:main",
        scopes=frozenset(),
        path="/deploy/x",
        documents=discovered("https://gitlab.com", "https://gitlab.com/oauth/discovery/keys"),
        neighbours=(
            Neighbour("another group", {"project_path": "my-group-evil/x"}, status=403),
            Neighbour("an unprotected branch", {"ref_protected": "false"}, status=403),
        ),
    ),
    Shape(
        provider="google",
        token="a user's ID token",
        source="https://developers.google.com/identity/openid-connect/openid-connect",
        values={"CLIENT_ID": "123.apps.googleusercontent.com", "DOMAIN": "example.com"},
        claims={
            "iss": "https://accounts.google.com",
            "azp": "123.apps.googleusercontent.com",
            "aud": "123.apps.googleusercontent.com",
            "sub": "10769150350006150715113082367",
            "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
            "hd": "example.com",
            "email": "ann@example.com",
            "email_verified": True,
            "nonce": "0394852-3190485-2490358",
        },
        subject="10769150350006150715113082367",
        scopes=frozenset(),
        path="/staff/x",
        documents=discovered(
            "https://accounts.google.com", "https://www.googleapis.com/oauth2/v3/certs"
        ),
        neighbours=(
            Neighbour("another app's ID token", {"aud": "456.apps.googleusercontent.com"}),
            Neighbour("the issuer without https", {"iss": "accounts.google.com"}),
            Neighbour("a consumer account", {"hd": ...}, status=403),
            Neighbour("an access token", {"scope": "openid"}),
        ),
    ),
    Shape(
        provider="firebase",
        token="a user's ID token",
        source="https://firebase.google.com/docs/auth/admin/verify-id-tokens",
        values={"PROJECT_ID": "my-project"},
        claims={
            "name": "Ann",
            "admin": True,
            "iss": "https://securetoken.google.com/my-project",
            "aud": "my-project",
            "auth_time": 1_700_000_000,
            "user_id": "Yh1a",
            "sub": "Yh1a",
            "email": "ann@example.com",
            "email_verified": True,
            "firebase": {
                "identities": {"email": ["ann@example.com"]},
                "sign_in_provider": "password",
            },
        },
        subject="Yh1a",
        scopes=frozenset(),
        path="/admin/x",
        documents={FIREBASE_KEYS: "certificates"},
        neighbours=(
            Neighbour(
                "another project", {"iss": "https://securetoken.google.com/other", "aud": "other"}
            ),
            Neighbour(
                "a session cookie", {"iss": "https://session.firebase.google.com/my-project"}
            ),
            Neighbour("a custom claim in words", {"admin": "true"}, status=403),
        ),
    ),
    Shape(
        provider="supabase",
        token="a user's access token, shared secret",
        source="https://supabase.com/docs/guides/auth/jwt-fields",
        values={"PROJECT_REF": "abcdefghijklmnopqrst"},
        claims={
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": 1_700_000_000}],
            "app_metadata": {"provider": "email", "providers": ["email"], "roles": ["admin"]},
            "aud": "authenticated",
            "email": "ann@example.com",
            "is_anonymous": False,
            "iss": "https://abcdefghijklmnopqrst.supabase.co/auth/v1",
            "phone": "",
            "role": "authenticated",
            "session_id": "1c1d",
            "sub": "7f1c8ab3",
            "user_metadata": {"roles": ["root"]},
        },
        subject="7f1c8ab3",
        scopes=frozenset({"admin"}),
        path="/admin/x",
        alg="HS256",
        header={"typ": "JWT"},
        documents={},
        neighbours=(
            Neighbour(
                "a role that the user gave himself",
                {"app_metadata": {}, "user_metadata": {"roles": ["admin"]}},
                status=403,
            ),
            Neighbour("the anon key", {"iss": "supabase", "role": "anon", "aud": ..., "sub": ...}),
            Neighbour("an anonymous user", {"is_anonymous": True}, status=403),
        ),
    ),
    Shape(
        provider="clerk",
        token="a session token, version 2",
        source="https://clerk.com/docs/backend-requests/resources/session-tokens",
        values={
            "FRONTEND_API": "example.clerk.accounts.dev",
            "APP_ORIGIN": "https://app.example.com",
        },
        claims={
            "azp": "https://app.example.com",
            "fva": [5, -1],
            "iss": "https://example.clerk.accounts.dev",
            "jti": "a1b2",
            "o": {"id": "org_123", "rol": "admin", "slg": "acme"},
            "sid": "sess_123",
            "sts": "active",
            "sub": "user_123",
            "v": 2,
        },
        subject="user_123",
        scopes=frozenset(),
        path="/admin/x",
        header={"typ": "JWT", "kid": "k1", "cat": "cl_B7d4PD111AAA"},
        lifetime_seconds=60,
        documents={"https://example.clerk.accounts.dev/.well-known/jwks.json": "jwks"},
        neighbours=(
            Neighbour("another origin", {"azp": "https://evil.example.com"}),
            Neighbour("no azp", {"azp": ...}),
            Neighbour("aud in place of azp", {"azp": ..., "aud": "https://app.example.com"}),
            Neighbour("a member", {"o": {"id": "org_123", "rol": "member"}}, status=403),
            Neighbour("a role outside its object", {"o": {}, "rol": "admin"}, status=403),
        ),
    ),
    Shape(
        provider="zitadel",
        token="a user's access token",
        source="https://zitadel.com/docs/apis/openidoauth/claims",
        values={"INSTANCE": "example.zitadel.cloud", "PROJECT_ID": "118398"},
        claims={
            "iss": "https://example.zitadel.cloud",
            "sub": "170086824411201793",
            "aud": ["118399@shop", "118398"],
            "client_id": "118399@shop",
            "jti": "V2_1",
            "urn:zitadel:iam:org:project:roles": {
                "admin": {"116": "acme.zitadel.cloud"},
                "reader": {"116": "acme.zitadel.cloud"},
            },
        },
        subject="170086824411201793",
        scopes=frozenset({"admin", "reader"}),
        path="/admin/x",
        header={"kid": "k1"},
        documents=discovered(
            "https://example.zitadel.cloud", "https://example.zitadel.cloud/oauth/v2/keys"
        ),
        neighbours=(
            Neighbour("another project", {"aud": ["118400"]}),
            Neighbour(
                "a role as a member's name",
                {"urn:zitadel:iam:org:project:roles": {"reader": {"admin": "x"}}},
                status=403,
            ),
            Neighbour(
                "roles as an array", {"urn:zitadel:iam:org:project:roles": ["admin"]}, status=403
            ),
        ),
    ),
    Shape(
        provider="azure-b2c",
        token="a user's access token",
        source="https://learn.microsoft.com/azure/active-directory-b2c/tokens-overview",
        values={
            "TENANT_ID": TENANT,
            "TENANT": "contoso",
            "POLICY": "B2C_1_signin",
            "CLIENT_ID": CLIENT,
        },
        claims={
            "iss": B2C,
            "aud": CLIENT,
            "sub": "884408e1",
            "oid": "884408e1",
            "tfp": "B2C_1_signin",
            "azp": "5a1b",
            "scp": "orders.read",
            "emails": ["ann@example.com"],
            "ver": "1.0",
        },
        subject="884408e1",
        scopes=frozenset({"orders.read"}),
        path="/orders/x",
        documents=discovered(
            B2C,
            f"{B2C_AT}/discovery/v2.0/keys",
            at=f"{B2C_AT}/v2.0/.well-known/openid-configuration",
        ),
        jwk={"alg": None},
        neighbours=(
            Neighbour("the issuer without its slash", {"iss": B2C.rstrip("/")}),
            Neighbour("another policy", {"tfp": "B2C_1_signup"}, status=403),
            Neighbour("an ID token", {"scp": ..., "nonce": "defaultNonce"}),
        ),
    ),
    Shape(
        provider="apple",
        token="a user's ID token",
        source="https://developer.apple.com/documentation/signinwithapple/authenticating-users-with-sign-in-with-apple",
        values={"CLIENT_ID": "com.example.app"},
        claims={
            "iss": "https://appleid.apple.com",
            "aud": "com.example.app",
            "sub": "000000.aaaa.0000",
            "nonce": "n",
            "c_hash": "x",
            "email": "x@privaterelay.appleid.com",
            "email_verified": "true",
            "is_private_email": "true",
            "auth_time": 1_700_000_000,
            "nonce_supported": True,
        },
        subject="000000.aaaa.0000",
        scopes=frozenset(),
        path="/members/x",
        header={"kid": "k1"},
        documents=discovered("https://appleid.apple.com", "https://appleid.apple.com/auth/keys"),
        neighbours=(
            Neighbour("another app", {"aud": "com.example.other"}),
            Neighbour("a notification", {"events": "{}"}),
            Neighbour("an unverified address", {"email_verified": "false"}, status=403),
        ),
    ),
)
