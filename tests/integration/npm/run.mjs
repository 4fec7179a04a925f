// Strict clients against a running service: node run.mjs ISSUER CLIENT_ID CLIENT_SECRET
import assert from "node:assert/strict";
import express from "express";
import { auth } from "express-oauth2-jwt-bearer";
import * as jose from "jose";
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";
import { ClientCredentials } from "simple-oauth2";

const [issuer, id, secret] = process.argv.slice(2);

async function logIn(extra = {}) {
  const body = { account: "ann@example.com", secret: "correct horse battery", type: "email", ...extra };
  const answer = await fetch(`${issuer}/token`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(answer.status, 200);
  return answer.json();
}

async function status(token) {
  const answer = await fetch(`${issuer}/`, { headers: { Authorization: `Bearer ${token}` } });
  return answer.status;
}

const runs = {
  async oauth4webapi() {
    const insecure = { [oauth.allowInsecureRequests]: true };
    const url = new URL(issuer);
    const as = await oauth.processDiscoveryResponse(
      url,
      await oauth.discoveryRequest(url, { algorithm: "oauth2", ...insecure }),
    );
    const client = { client_id: id };
    const basic = oauth.ClientSecretBasic(secret);
    const granted = await oauth.processClientCredentialsResponse(
      as,
      client,
      await oauth.clientCredentialsGrantRequest(as, client, basic, { resource: "api" }, insecure),
    );
    const request = new Request(`${issuer}/`, {
      headers: { Authorization: `Bearer ${granted.access_token}` },
    });
    const claims = await oauth.validateJwtAccessToken(as, request, "api", insecure);
    assert.equal(claims.client_id, id);
    const login = await logIn({ client_id: "web" });
    const loginRequest = new Request(`${issuer}/`, {
      headers: { Authorization: `Bearer ${login.access_token}` },
    });
    const own = await oauth.validateJwtAccessToken(as, loginRequest, "api", insecure);
    assert.equal(own.tenant, "acme");
    const refreshed = await oauth.processRefreshTokenResponse(
      as,
      { client_id: "web" },
      await oauth.refreshTokenGrantRequest(
        as, { client_id: "web" }, oauth.None(), login.refresh_token, insecure,
      ),
    );
    const seen = async (token, hint) =>
      oauth.processIntrospectionResponse(
        as,
        client,
        await oauth.introspectionRequest(as, client, basic, token, {
          additionalParameters: hint ? { token_type_hint: hint } : {},
          ...insecure,
        }),
      );
    assert.equal((await seen(refreshed.access_token)).active, true);
    assert.equal((await seen(refreshed.refresh_token)).active, false);
    assert.equal((await seen(refreshed.refresh_token, "refresh_token")).active, true);
    await oauth.processRevocationResponse(
      await oauth.revocationRequest(
        as, { client_id: "web" }, oauth.None(), refreshed.refresh_token, insecure,
      ),
    );
    assert.equal((await seen(refreshed.access_token)).active, false);
    const refused = await oauth.clientCredentialsGrantRequest(
      as, client, basic, { resource: "https://other" }, insecure,
    );
    await assert.rejects(
      oauth.processClientCredentialsResponse(as, client, refused),
      (error) => error.error === "invalid_target",
    );
    return "discovery, client_credentials, validateJwtAccessToken, refresh, introspection, revocation";
  },

  async "openid-client"() {
    const config = await openid.discovery(new URL(issuer), id, secret, openid.ClientSecretBasic(secret), {
      algorithm: "oauth2",
      execute: [openid.allowInsecureRequests],
    });
    const granted = await openid.clientCredentialsGrant(config, { scope: "read" });
    assert.equal((await openid.tokenIntrospection(config, granted.access_token)).active, true);
    await openid.tokenRevocation(config, granted.access_token);
    assert.equal((await openid.tokenIntrospection(config, granted.access_token)).active, false);
    return "discovery, client_credentials, introspection, revocation";
  },

  async "simple-oauth2"() {
    const client = new ClientCredentials({
      client: { id, secret },
      auth: { tokenHost: issuer, tokenPath: "/token", revokePath: "/token/revoke" },
    });
    const granted = await client.getToken({ scope: "read" });
    assert.equal(await status(granted.token.access_token), 200);
    await granted.revoke("access_token");
    assert.equal(await status(granted.token.access_token), 401);
    const login = await logIn();
    await client.createToken(login).revokeAll();
    assert.equal(await status(login.access_token), 401);
    const body = new URLSearchParams({ grant_type: "refresh_token", refresh_token: login.refresh_token });
    const answer = await fetch(`${issuer}/token`, { method: "POST", body });
    assert.deepEqual([answer.status, (await answer.json()).error], [400, "invalid_grant"]);
    return "client_credentials, revoke, revokeAll: the session is ended";
  },

  async "express-oauth2-jwt-bearer"() {
    const app = express();
    app.use(auth({ issuerBaseURL: issuer, audience: "api", strict: true }));
    app.get("/", (request, answer) => answer.json(request.auth.payload));
    const server = app.listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    try {
      const ask = (token) =>
        fetch(`http://127.0.0.1:${server.address().port}/`, {
          headers: { Authorization: `Bearer ${token}` },
        });
      const named = await ask((await logIn({ client_id: "web" })).access_token);
      assert.equal(named.status, 200);
      assert.equal((await named.json()).tenant, "acme");
      const unnamed = await ask((await logIn()).access_token);
      assert.equal(unnamed.status, 401); // strict: says JWT, and no more than it has
    } finally {
      server.close();
    }
    return "strict RFC 9068, keys by RFC 8414 discovery";
  },

  async jose() {
    const metadata = await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json();
    const keys = jose.createRemoteJWKSet(new URL(metadata.jwks_uri));
    const { access_token } = await logIn({ client_id: "web" });
    const { payload } = await jose.jwtVerify(access_token, keys, {
      issuer,
      audience: "api",
      typ: "at+jwt",
      requiredClaims: ["client_id", "jti", "iat", "sub", "exp"],
    });
    assert.deepEqual(payload.plan, { seats: 5 });
    return "jwtVerify by the published keys";
  },
};

for (const [name, run] of Object.entries(runs)) {
  try {
    console.log(`ok ${name}: ${await run()}`);
  } catch (error) {
    console.log(`FAILED ${name}: ${error.code ?? ""} ${error.message} ${error.cause ?? ""}`);
    process.exitCode = 1;
  }
}
