// A real oidc-provider, and a browser that logs in and out at it. The test asks it for both under /test/.
//
//   node oidc_provider.mjs MODULE      MODULE: the file of the package that a program imports

import { realpathSync } from 'node:fs';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const { default: Provider } = await import(pathToFileURL(realpathSync(process.argv[2])));

const CALLBACK = 'http://127.0.0.1/callback';
const SECRET = 'the-secret-of-every-client-0123456789';
const client = (id, alg) => ({
  client_id: id,
  client_secret: SECRET,
  redirect_uris: [CALLBACK],
  id_token_signed_response_alg: alg,
  backchannel_logout_uri: 'http://127.0.0.1/unset',
  backchannel_logout_session_required: true,
});
const clients = [client('with-sid', 'RS256'), client('without-sid', 'RS256'), client('hs256', 'HS256'), {
  client_id: 'console',
  application_type: 'native',
  token_endpoint_auth_method: 'none',
  redirect_uris: ['http://127.0.0.1/console/login/done'],
}];

const server = createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const origin = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(origin, {
  clients,
  cookies: { keys: ['of-this-test'] },
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'HS256'] },
  // Its dispatcher refuses addresses for special use, as loopback is.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  pkce: { required: () => false },
  features: {
    backchannelLogout: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:shop-api',
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'read portcullis:write',
        audience: 'shop-api',
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
      }),
    },
  },
  extraTokenClaims: (ctx) => {
    const code = ctx.oidc.entities.AuthorizationCode;
    return code?.clientId === 'with-sid' ? { sid: code.sid } : undefined;
  },
});

// One browser: its cookies by name. Their paths do not matter here.
const cookies = new Map();

async function visit(path, form) {
  let url = new URL(path, origin);
  let body = form && new URLSearchParams(form);
  for (;;) {
    const answer = await fetch(url, {
      method: body ? 'POST' : 'GET',
      body,
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
    });
    for (const set of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(set);
      if (value) cookies.set(name, value);
      else cookies.delete(name);
    }
    const location = answer.headers.get('location');
    if (!location) {
      const page = await answer.text();
      if (answer.status >= 400) throw new Error(`${url.pathname}: ${answer.status} ${page}`);
      return { url, page };
    }
    url = new URL(location, url);
    if (url.href.startsWith(CALLBACK)) return { url };
    body = undefined;
  }
}

// Logs in as a user, consents, and returns the token response.
async function login(clientId, user) {
  cookies.clear();
  const query = new URLSearchParams({
    client_id: clientId,
    response_type: 'code',
    redirect_uri: CALLBACK,
    scope: 'openid read',
    resource: 'urn:shop-api',
  });
  let at = await visit(`/auth?${query}`);
  at = await visit(at.url.pathname, { prompt: 'login', login: user, password: 'any' });
  at = await visit(at.url.pathname, { prompt: 'consent' });
  const answer = await fetch(`${origin}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${clientId}:${SECRET}`)}` },
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      code: at.url.searchParams.get('code'),
      redirect_uri: CALLBACK,
    }),
  });
  return answer.json();
}

// Logs out at the provider, which then tells the clients.
async function logout() {
  const { page } = await visit('/session/end');
  const [, xsrf] = /name="xsrf" value="([^"]+)"/.exec(page);
  await visit('/session/end/confirm', { xsrf, logout: 'yes' });
  return {};
}

async function tell(clientId, uri) {
  const found = await provider.Client.find(clientId);
  found.backchannelLogoutUri = uri;
  return {};
}

const answer = provider.callback();
server.on('request', async (request, response) => {
  const url = new URL(request.url, origin);
  if (!url.pathname.startsWith('/test/')) return answer(request, response);
  const { client: id, user, uri } = Object.fromEntries(url.searchParams);
  const acts = {
    '/test/login': () => login(id, user),
    '/test/logout': () => logout(),
    '/test/tell': () => tell(id, uri),
  };
  try {
    response.end(JSON.stringify(await acts[url.pathname]()));
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error.stack));
  }
});
provider.on('backchannel.error', (_ctx, error) => console.log(`backchannel error: ${error.stack} ${error.cause ?? ''}`));
console.log(`listening on ${server.address().port}`);
