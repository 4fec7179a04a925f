"""``[[trusted]]`` tables for identity providers, for ``init --provider`` and the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Provider(NamedTuple):
    """
    The configuration for tokens of one provider.

    Attributes:
        name: The provider's name.
        fill_in: Words in capitals to replace, and a description of each.
        table: TOML: the table ``[[trusted]]``.
        rule: TOML: a rule that uses the roles or attributes of its tokens.
    """

    name: str
    fill_in: Mapping[str, str]
    table: str
    rule: str

    def render(self) -> str:
        """Return a configuration file."""
        lines = [f"# jwt-middleware, for tokens of {self.name}.  Replace:"]
        lines += [f"#   {word}: {meaning}" for word, meaning in self.fill_in.items()]
        lines += ["", self.table, self.rule]
        return "\n".join(lines)


PROVIDERS: Final[Mapping[str, Provider]] = {
    "apple": Provider(
        "Sign in with Apple",
        {"CLIENT_ID": "the Services ID or bundle ID of the app"},
        """\
[[trusted]]
issuer = "https://appleid.apple.com"
audience = "CLIENT_ID"
discovery = true
algorithms = ["RS256"]
kind = "id"  # Apple issues ID tokens only
""",
        """\
[[rules]]
path = "/members/*"
claims = { email_verified = [true, "true"] }
""",
    ),
    "auth0": Provider(
        "Auth0",
        {
            "TENANT": "the tenant's domain, such as example.eu",
            "API_IDENTIFIER": "Identifier of the API",
        },
        """\
[[trusted]]
issuer = "https://TENANT.auth0.com/"  # with the slash
audience = "API_IDENTIFIER"
discovery = true
algorithms = ["RS256"]
scopes_from = ["scope", "permissions"]  # permissions: with "Add Permissions in the Access Token"
""",
        """\
[[rules]]
path = "/admin/*"
scopes = ["delete:orders"]
""",
    ),
    "aws-alb": Provider(
        "an AWS Application Load Balancer in front of Amazon Cognito",
        {
            "REGION": "such as eu-west-1",
            "POOL_ID": "ID of the user pool",
            "CLIENT_ID": "ID of the app client",
        },
        """\
# X-Amzn-Oidc-Data is not accepted: the load balancer pads its base64url, which RFC 7515 forbids.
# X-Amzn-Oidc-Accesstoken has the access token as the provider issued it.
[[trusted]]
issuer = "https://cognito-idp.REGION.amazonaws.com/POOL_ID"
audience = "CLIENT_ID"
audience_claim = "client_id"
discovery = true
algorithms = ["RS256"]
header = "X-Amzn-Oidc-Accesstoken"
scopes_from = ["scope", "cognito:groups"]
""",
        """\
[[rules]]
path = "/admin/*"
scopes = ["admins"]
""",
    ),
    "azure-b2c": Provider(
        "Azure AD B2C",
        {
            "TENANT_ID": "Directory (tenant) ID",
            "TENANT": "name of the tenant",
            "POLICY": "name of the user flow, such as B2C_1_signin",
            "CLIENT_ID": "Application (client) ID of the API",
        },
        """\
[[trusted]]
issuer = "https://TENANT.b2clogin.com/TENANT_ID/v2.0/"  # with the slash
audience = "CLIENT_ID"
discovery_url = "https://TENANT.b2clogin.com/TENANT.onmicrosoft.com/POLICY/v2.0/.well-known/openid-configuration"
algorithms = ["RS256"]
""",
        """\
[[rules]]
path = "/orders/*"
scopes = ["orders.read"]
claims = { tfp = "POLICY" }
""",
    ),
    "clerk": Provider(
        "Clerk",
        {
            "FRONTEND_API": "Frontend API of the instance, such as example.clerk.accounts.dev",
            "APP_ORIGIN": "origin of the app that gets the tokens, such as https://app.example.com",
        },
        """\
[[trusted]]
issuer = "https://FRONTEND_API"
audience = "APP_ORIGIN"
audience_claim = "azp"  # session tokens have no aud
jwks_url = "https://FRONTEND_API/.well-known/jwks.json"
algorithms = ["RS256"]
""",
        """\
[[rules]]
path = "/admin/*"
claims = { o.rol = "admin" }
""",
    ),
    "cloudflare-access": Provider(
        "Cloudflare Access",
        {
            "TEAM": "the team name",
            "AUD_TAG": "Application Audience (AUD) tag",
        },
        """\
[[trusted]]
issuer = "https://TEAM.cloudflareaccess.com"
audience = "AUD_TAG"
jwks_url = "https://TEAM.cloudflareaccess.com/cdn-cgi/access/certs"
algorithms = ["RS256"]
header = "Cf-Access-Jwt-Assertion"
subject_from = ["sub", { claim = "common_name", prefix = "service:" }]  # of service tokens
""",
        """\
[[rules]]
path = "/admin/*"
claims = { email = ["ann@example.com", "bob@example.com"] }
""",
    ),
    "cognito": Provider(
        "Amazon Cognito",
        {
            "REGION": "such as eu-west-1",
            "POOL_ID": "ID of the user pool",
            "CLIENT_ID": "ID of the app client",
        },
        """\
[[trusted]]
issuer = "https://cognito-idp.REGION.amazonaws.com/POOL_ID"
audience = "CLIENT_ID"
audience_claim = "client_id"  # access tokens have no aud
discovery = true
algorithms = ["RS256"]
scopes_from = ["scope", "cognito:groups"]
""",
        """\
[[rules]]
path = "/admin/*"
scopes = ["admins"]
""",
    ),
    "entra": Provider(
        "Microsoft Entra ID, one tenant",
        {
            "TENANT_ID": "Directory (tenant) ID",
            "CLIENT_ID": "Application (client) ID of the API",
        },
        """\
[[trusted]]
# For tokens of version 2: "requestedAccessTokenVersion": 2 in the manifest of the API.  Those of
# version 1 have the issuer https://sts.windows.net/TENANT_ID/ and the audience api://CLIENT_ID.
issuer = "https://login.microsoftonline.com/TENANT_ID/v2.0"
audience = "CLIENT_ID"
discovery = true
algorithms = ["RS256"]
scopes_from = ["scp", "roles"]  # of users, and of applications and users
require_any = [["scp"], ["roles"]]
""",
        """\
[[rules]]
path = "/admin/*"
scopes_any = ["Orders.Admin", "Orders.Write.All"]
""",
    ),
    "entra-multi-tenant": Provider(
        "Microsoft Entra ID, several tenants",
        {
            "TENANT_ID": "Directory (tenant) ID of each tenant that is trusted",
            "CLIENT_ID": "Application (client) ID of the API",
        },
        """\
[[trusted]]
issuer = "https://login.microsoftonline.com/{tid}/v2.0"
tenants = ["TENANT_ID"]
audience = "CLIENT_ID"
discovery_url = "https://login.microsoftonline.com/organizations/v2.0/.well-known/openid-configuration"
algorithms = ["RS256"]
scopes_from = ["scp", "roles"]
require_any = [["scp"], ["roles"]]
""",
        """\
[[rules]]
path = "/admin/*"
scopes = ["Orders.Admin"]
claims = { tid = "TENANT_ID" }
""",
    ),
    "firebase": Provider(
        "Firebase Authentication, Google Identity Platform",
        {"PROJECT_ID": "ID of the project"},
        """\
[[trusted]]
issuer = "https://securetoken.google.com/PROJECT_ID"
audience = "PROJECT_ID"
jwks_url = "https://www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"
algorithms = ["RS256"]
kind = "id"  # Firebase issues ID tokens only
""",
        """\
[[rules]]
path = "/admin/*"
claims = { admin = true }  # a custom claim
""",
    ),
    "github-actions": Provider(
        "GitHub Actions",
        {
            "AUDIENCE": "what the workflow asks for, as in core.getIDToken('AUDIENCE')",
            "ORGANIZATION": "owner of the repositories",
        },
        """\
[[trusted]]
issuer = "https://token.actions.githubusercontent.com"
audience = "AUDIENCE"
discovery = true
algorithms = ["RS256"]
""",
        """\
[[rules]]
path = "/deploy/*"
claims = { repository_owner = "ORGANIZATION", ref = "refs/heads/main" }
claims_prefix = { sub = "repo:ORGANIZATION/" }
""",
    ),
    "gitlab": Provider(
        "GitLab CI/CD",
        {
            "AUDIENCE": "aud under id_tokens of the job",
            "GROUP": "the group of the projects",
        },
        """\
[[trusted]]
issuer = "https://gitlab.com"
audience = "AUDIENCE"
discovery = true
algorithms = ["RS256"]
""",
        """\
[[rules]]
path = "/deploy/*"
claims = { ref_protected = "true" }
claims_prefix = { project_path = "GROUP/" }
""",
    ),
    "google": Provider(
        "Google, ID tokens of users and service accounts",
        {
            "CLIENT_ID": "such as 123.apps.googleusercontent.com",
            "DOMAIN": "the Workspace domain",
        },
        """\
[[trusted]]
issuer = "https://accounts.google.com"
audience = "CLIENT_ID"
discovery = true
algorithms = ["RS256"]
kind = "id"
""",
        """\
[[rules]]
path = "/staff/*"
claims = { hd = "DOMAIN", email_verified = true }
""",
    ),
    "google-iap": Provider(
        "Google Identity-Aware Proxy",
        {
            "PROJECT_NUMBER": "number of the project",
            "SERVICE_ID": "ID of the backend service",
        },
        """\
[[trusted]]
issuer = "https://cloud.google.com/iap"
audience = "/projects/PROJECT_NUMBER/global/backendServices/SERVICE_ID"
jwks_url = "https://www.gstatic.com/iap/verify/public_key-jwk"
algorithms = ["ES256"]
header = "X-Goog-IAP-JWT-Assertion"
""",
        """\
[[rules]]
path = "/admin/*"
claims = { google.access_levels = "accessPolicies/1/accessLevels/office" }
""",
    ),
    "keycloak": Provider(
        "Keycloak",
        {
            "KEYCLOAK": "its host name",
            "REALM": "the realm",
            "CLIENT": "client ID of the API, which an audience mapper puts into aud",
        },
        """\
[[trusted]]
issuer = "https://KEYCLOAK/realms/REALM"
audience = "CLIENT"
discovery = true  # in the cluster: discovery_url = "http://keycloak:8080/realms/REALM/.well-known/…"
algorithms = ["RS256"]
scopes_from = ["scope", ["realm_access", "roles"], ["resource_access", "CLIENT", "roles"]]
subject_from = ["sub", { claim = "client_id", prefix = "client:" }]
""",
        """\
[[rules]]
path = "/admin/*"
claims = { realm_access.roles = "admin" }
""",
    ),
    "kubernetes": Provider(
        "service accounts of a Kubernetes cluster, for a service in it",
        {
            "AUDIENCE": "audience of the projected token of the callers",
            "NAMESPACE": "the namespace of the callers",
        },
        """\
[[trusted]]
issuer = "https://kubernetes.default.svc.cluster.local"
audience = "AUDIENCE"
jwks_url = "https://kubernetes.default.svc/openid/v1/jwks"
algorithms = ["RS256"]
ca_file = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
bearer_token_file = "/var/run/secrets/kubernetes.io/serviceaccount/token"
""",
        """\
[[rules]]
path = "/jobs/*"
claims = { "kubernetes.io" = { namespace = "NAMESPACE" } }
claims_prefix = { sub = "system:serviceaccount:NAMESPACE:" }
""",
    ),
    "okta": Provider(
        "Okta, a custom authorization server",
        {
            "DOMAIN": "the Okta domain, such as example.okta.com",
            "SERVER": "ID of the authorization server, such as default",
            "AUDIENCE": "its audience, such as api://default",
        },
        """\
[[trusted]]
issuer = "https://DOMAIN/oauth2/SERVER"
audience = "AUDIENCE"
discovery = true
algorithms = ["RS256"]
scopes_from = ["scp", "groups"]  # groups: a claim of the authorization server
""",
        """\
[[rules]]
path = "/admin/*"
scopes = ["orders.write", "Admins"]
""",
    ),
    "supabase": Provider(
        "Supabase",
        {"PROJECT_REF": "reference of the project"},
        """\
[[trusted]]
issuer = "https://PROJECT_REF.supabase.co/auth/v1"
audience = "authenticated"
secret_env = "SUPABASE_JWT_SECRET"  # the shared secret; with signing keys instead of it:
# jwks_url = "https://PROJECT_REF.supabase.co/auth/v1/.well-known/jwks.json"
algorithms = ["HS256"]  # with signing keys ["ES256"] or ["RS256"]
scopes_from = [["app_metadata", "roles"]]  # not user_metadata, which users can change
""",
        """\
[[rules]]
path = "/admin/*"
scopes = ["admin"]
claims = { role = "authenticated", is_anonymous = false }
""",
    ),
    "zitadel": Provider(
        "Zitadel, with JWT as the type of access tokens",
        {
            "INSTANCE": "domain of the instance, such as example.zitadel.cloud",
            "PROJECT_ID": "ID of the project",
        },
        """\
[[trusted]]
issuer = "https://INSTANCE"
audience = "PROJECT_ID"
discovery = true
algorithms = ["RS256"]
scopes_from = ["scope", { claim = "urn:zitadel:iam:org:project:roles", keys = true }]
""",
        """\
[[rules]]
path = "/admin/*"
scopes = ["admin"]
""",
    ),
}
