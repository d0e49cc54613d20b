// Scenarios of the console in a real Chromium.
//
//   node browser.mjs MODULES CHROMIUM SCENARIO JSON      MODULES: a folder of npm packages

import assert from 'node:assert/strict';
import { realpathSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const [modules, executablePath, scenario, told] = process.argv.slice(2);
const require = createRequire(`${realpathSync(modules)}/`);
const { chromium } = require('playwright-core');
const { console: address, envoy, issuer, write, read, ...given } = JSON.parse(told);

const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });

// A page whose errors fail the scenario.
async function open(options) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 800 }, ...options });
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  page.on('pageerror', (error) => fail(error));
  page.on('console', (message) => {
    // The browser reports each answer of 4xx so; the scenarios look at them themselves.
    const isStatus = message.text().startsWith('Failed to load resource');
    if (message.type() === 'error' && !isStatus) fail(new Error(message.text()));
  });
  return page;
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

async function login(secret, options) {
  const page = await open(options);
  await page.goto(address);
  await here(page).getByLabel('Secret of a credential').fill(secret);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  return page;
}

const go = async (page, name, title) => {
  await page.getByRole('link', { name, exact: true }).click();
  await page.getByRole('heading', { name: title }).waitFor();
};
const here = (page) => page.locator('main > section:not([hidden])');
const said = (page, text) => page.getByRole('status').filter({ hasText: text }).waitFor();
const orders = async (token) =>
  (await fetch(`${envoy}/orders`, { headers: { authorization: `Bearer ${token}` } })).status;

async function explain(page, token, decision) {
  await go(page, 'Explain', 'Explain a decision');
  await here(page).getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Explain' }).click();
  await said(page, `Decision: ${decision}`);
}

async function search(page, value) {
  await go(page, 'Search', 'Search revocations');
  await here(page).getByLabel('Search in').selectOption('sub');
  await here(page).getByLabel('Value').fill(value);
  await page.getByRole('button', { name: 'Search' }).click();
}

const scenarios = {
  async operator() {
    const page = await open();
    await page.goto(address);
    await here(page).getByLabel('Secret of a credential').fill('wrong-secret-0123456789');
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('alert').filter({ hasText: 'no credential' }).waitFor();
    await here(page).getByLabel('Secret of a credential').fill(write);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByText('ops (write)').waitFor();
    await page.getByText('Ready', { exact: true }).waitFor();
    await page.getByRole('region', { name: 'Issuers' }).getByText(issuer).waitFor();
    await page.getByRole('region', { name: 'Event sources' }).getByText('fusionauth').waitFor();
    assert.equal(await page.evaluate(() => document.cookie), '', 'scripts do not see the cookie');

    assert.equal(await orders(given.token), 200);
    await go(page, 'Revoke', 'Revoke tokens');
    assert.equal(await here(page).getByLabel('Issuer', { exact: true }).inputValue(), issuer, 'the only one');
    await here(page).getByLabel('Value').fill('alice');
    await here(page).getByLabel('Reason').fill('stolen laptop');
    const confirm = page.getByRole('dialog');
    await page.getByRole('button', { name: 'Revoke…' }).click();
    await confirm.getByText('sub=alice').waitFor();
    await confirm.getByText('1 would be refused, of 1 subject and').waitFor();
    await confirm.getByRole('button', { name: 'Cancel' }).click();
    assert.equal(await orders(given.token), 200);
    await page.getByRole('button', { name: 'Revoke…' }).click();
    await confirm.getByRole('button', { name: 'Revoke' }).click();
    await said(page, 'Revoked.');
    assert.equal(await orders(given.token), 401);

    await search(page, 'nobody');
    await page.getByText('No live revocation matches.').waitFor();
    await search(page, 'alice');
    await said(page, '1 live revocation');
    await page.reload();
    assert.equal(await here(page).getByLabel('Value').inputValue(), 'alice', 'the address holds the search');

    await explain(page, given.token, 'deny, revoked');
    assert.equal(await here(page).getByLabel('Token').inputValue(), '', 'the token left the page');
    assert.ok(!(await page.content()).includes(given.token));
    await page.getByRole('link', { name: 'sub=alice' }).click();
    await here(page).getByText('ops: stolen laptop').waitFor();
    await page.getByText('Forgotten after').waitFor();
    await page.getByRole('button', { name: 'Lift…' }).click();
    await page.keyboard.press('Escape');
    assert.equal(await orders(given.token), 401);
    await page.getByRole('button', { name: 'Lift…' }).click();
    await confirm.getByText('sub=alice').waitFor();
    await confirm.getByRole('button', { name: 'Lift' }).click();
    await said(page, 'Lifted: 1');
    assert.equal(await orders(given.token), 200);
    await explain(page, given.token, 'permit');

    await go(page, 'Decisions', 'Decisions');
    await here(page).getByLabel('Reason').fill('revoked');
    await page.getByRole('button', { name: 'Show the latest' }).click();
    const decided = page.getByRole('table').filter({ hasText: 'GET /orders' });
    await decided.getByRole('link').first().click();
    await here(page).getByText('admin: ops: stolen laptop').waitFor();
    await page.getByRole('link', { name: 'sub=alice' }).waitFor();

    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('heading', { name: 'Log in' }).waitFor();
    await page.goBack();
    await page.reload();
    await page.getByRole('heading', { name: 'Log in' }).waitFor();
    assert.ok(!(await page.content()).includes('alice'));
  },

  async provider() {
    const page = await open();
    // What the pages of the provider complain about is not ours.
    page.removeAllListeners('console');
    await page.goto(address);
    const leave = page.getByRole('link', { name: `Log in with an account of ${given.provider}` });
    await leave.click();
    await page.locator('input[name=login]').fill('carol');
    await page.locator('input[name=password]').fill('any');
    await page.getByRole('button', { name: 'Sign-in' }).click();
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByText('staff (write)').waitFor();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    assert.equal(page.url().split('?')[0].split('#')[0], address, 'no code stays in the address');
    assert.equal(await page.evaluate(() => document.cookie), '', 'scripts do not see the cookie');

    await go(page, 'Revoke', 'Revoke tokens');
    await here(page).getByLabel('Issuer', { exact: true }).fill(issuer);
    await here(page).getByLabel('Value').fill('alice');
    await here(page).getByLabel('Reason').fill('stolen laptop');
    await page.getByRole('button', { name: 'Revoke…' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    await said(page, 'Revoked.');
    assert.equal(await orders(given.token), 401);

    const revoked = await fetch(new URL('/v1/revocations', address), {
      method: 'POST',
      headers: { authorization: `Bearer ${write}`, 'content-type': 'application/json' },
      body: JSON.stringify({ issuer: given.provider, matches: { sub: 'carol' }, reason: 'left' }),
    });
    assert.equal(revoked.status, 201);
    await page.getByRole('link', { name: 'Search' }).click();
    await page.getByRole('alert').filter({ hasText: 'The session is over' }).waitFor();
    await page.getByRole('heading', { name: 'Log in' }).waitFor();
  },

  async shadow() {
    const page = await login(write);
    await go(page, 'Revoke', 'Revoke tokens');
    await here(page).getByLabel('Value').fill('alice');
    await here(page).getByLabel('Reason').fill('look first');
    await here(page).getByLabel('In shadow').check();
    await page.getByRole('button', { name: 'Revoke…' }).click();
    const confirm = page.getByRole('dialog');
    await confirm.getByText('would be refused, and are counted').waitFor();
    await confirm.getByRole('button', { name: 'Revoke' }).click();
    await said(page, 'It is in shadow');
    assert.equal(await orders(given.token), 200);

    await explain(page, given.token, 'permit');
    await here(page).locator('dd').getByText('revoked', { exact: true }).waitFor();
    await here(page).getByText('(would refuse: in shadow)').waitFor();
    await go(page, 'Decisions', 'Decisions');
    const passed = here(page).getByRole('row').filter({ hasText: '(would refuse: revoked)' });
    await passed.getByRole('link').first().click();
    await here(page).getByText('Would be refused without shadow').waitFor();
    await here(page).getByText('(would refuse: in shadow)').first().waitFor();
    await go(page, 'Overview', 'Overview');
    await here(page).getByRole('row').filter({ hasText: 'would refuse (shadow)' }).getByText('revoked').waitFor();
    await go(page, 'Audit', 'Audit trail');
    await here(page).getByLabel('Kind').selectOption('shadow');
    await page.getByRole('button', { name: 'Show the newest' }).click();
    await here(page).getByText('shadow/admin').first().waitFor();

    await search(page, 'alice');
    await here(page).getByText('(would refuse: in shadow)').waitFor();
    await page.getByRole('link', { name: 'sub=alice' }).click();
    await page.getByRole('button', { name: 'Enforce…' }).click();
    await confirm.getByText('sub=alice').waitFor();
    await confirm.getByRole('button', { name: 'Enforce' }).click();
    await said(page, 'Enforced.');
    assert.equal(await orders(given.token), 401);
    await search(page, 'alice');
    await said(page, '1 live revocation');
    assert.equal(await here(page).getByText('would refuse').count(), 0);
    await page.getByRole('link', { name: 'sub=alice' }).click();
    await page.getByText('Forgotten after').waitFor();
    assert.ok(!(await page.getByRole('button', { name: 'Enforce…' }).isVisible()), 'it is enforced already');
  },

  async replicas() {
    const page = await login(read);
    await go(page, 'Replicas', 'Replicas');
    const row = (text) => here(page).getByRole('row').filter({ hasText: text });
    await row('(this one)').getByText('1 (differs)', { exact: true }).waitFor();
    await row(`:${given.other}/`).getByText('0 (differs)', { exact: true }).waitFor();
    await row(`:${given.other}/`).getByText('configuration, live_revocations').waitFor();
    await row('it does not answer').waitFor();
    assert.equal(await here(page).getByRole('row').count(), 4);
    // It follows what happens.
    const event = await fetch(new URL('/v1/revocations', address), {
      method: 'POST',
      headers: { authorization: `Bearer ${write}`, 'content-type': 'application/json' },
      body: JSON.stringify({ issuer, matches: { sub: 'bob' }, reason: 'left' }),
    });
    assert.equal(event.status, 201);
    await row('(this one)').getByText('2 (differs)', { exact: true }).waitFor();
  },

  async stolen() {
    const page = await login(write);
    await go(page, 'Revoke', 'Revoke tokens');
    await here(page).getByLabel('One token').check();
    await here(page).getByLabel('Token', { exact: true }).fill(given.token);
    await here(page).getByLabel('Reason').fill('found in a log');
    await page.getByRole('button', { name: 'Revoke…' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    await said(page, 'Revoked.');
    assert.ok(!(await page.content()).includes(given.token));
    assert.equal(await orders(given.token), 401);
    assert.equal(await orders(given.other), 200);

    await here(page).getByLabel('Every token of an issuer').check();
    await here(page).getByLabel('Issuer', { exact: true }).fill(issuer);
    await here(page).getByLabel('Reason').fill('signing key stolen');
    await page.getByRole('button', { name: 'Revoke…' }).click();
    const yes = page.getByRole('dialog').getByRole('button', { name: 'Revoke' });
    await yes.click();
    assert.ok(await page.getByRole('dialog').isVisible(), 'it waits for the second look');
    assert.equal(await orders(given.other), 200);
    await page.getByRole('dialog').getByRole('checkbox').check();
    await yes.click();
    await page.getByRole('link', { name: 'every token of the issuer' }).waitFor();
    assert.equal(await orders(given.other), 401);
  },

  async viewer() {
    const page = await login(read);
    await page.getByText('viewer (read)').waitFor();
    assert.equal(await page.getByRole('link', { name: 'Revoke' }).count(), 0);
    await search(page, 'alice');
    await page.getByRole('link', { name: 'sub=alice' }).click();
    await here(page).getByText('user.deactivate').waitFor();
    await page.getByText('Forgotten after').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Lift…' }).count(), 0);
    await page.goto(`${address}#/revoke`);
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    assert.equal(await page.getByRole('button', { name: 'Revoke…' }).count(), 0);
    const refused = await page.evaluate(async (issuer) => {
      const headers = { 'X-Portcullis-Console': '1' };
      const body = JSON.stringify({ issuer, matches: { sub: 'bob' }, reason: 'x' });
      const calls = [['POST', body], ['DELETE']].map(([method, body]) =>
        fetch(`../v1/revocations${body ? '' : '/x'}`, { method, headers, body }));
      return (await Promise.all(calls)).map(({ status }) => status);
    }, issuer);
    assert.deepEqual(refused, [403, 403]);
  },

  async hostile() {
    const page = await login(write);
    await search(page, given.subject);
    const link = page.getByRole('link', { name: 'sub=' });
    assert.equal(await link.textContent(), `sub=${given.subject}`);
    await link.click();
    await here(page).getByText(`sub=${given.subject}`).waitFor();
    await page.getByRole('button', { name: 'Lift…' }).click();
    await page.getByRole('dialog').getByText(given.subject).waitFor();
    await page.keyboard.press('Escape');
    await explain(page, given.token, 'deny, revoked');
    assert.ok((await page.locator('pre').textContent()).includes('<img src=x'));
    assert.equal(await page.locator('img, main script').count(), 0);
    assert.equal(await page.evaluate(() => window.hit), undefined);
    // Even a mistake in the page could not make markup of it. The browser reports the attempt.
    page.removeAllListeners('console');
    const threw = await page.evaluate((subject) => {
      try { document.body.innerHTML = subject; return false; } catch { return true; }
    }, given.subject);
    assert.ok(threw, 'the policy forbids markup from strings');
  },

  // Another port of the same host is the same site, so the browser sends it the cookie.
  async foreign() {
    const page = await login(write);
    const other = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<p>x</p>'));
    await new Promise((listening) => other.listen(0, '127.0.0.1', listening));
    const foreign = await page.context().newPage();
    await foreign.goto(`http://127.0.0.1:${other.address().port}/`);
    const console = new URL(address);
    const body = JSON.stringify({ issuer, matches: { sub: 'alice' }, reason: 'x' });
    const results = await foreign.evaluate(async ({ origin, body }) => {
      const options = [
        { mode: 'no-cors', method: 'POST', body },
        { method: 'POST', body },
        { method: 'POST', body, headers: { 'X-Portcullis-Console': '1', 'Content-Type': 'application/json' } },
        { method: 'GET' },
      ];
      const read = options.map((option) => fetch(`${origin}/v1/revocations`, { credentials: 'include', ...option })
        .then((response) => response.type === 'opaque' ? 'blind' : 'read', () => 'blocked'));
      const frame = document.body.appendChild(document.createElement('iframe'));
      const framed = new Promise((loaded) => frame.addEventListener('load', loaded));
      frame.src = `${origin}/console/`;
      await framed;
      return Promise.all(read);
    }, { origin: console.origin, body });
    assert.deepEqual(results, ['blind', 'blocked', 'blocked', 'blocked']);
    const frame = foreign.frames().find((frame) => frame !== foreign.mainFrame());
    assert.equal(await frame.locator('#login').count(), 0, 'nobody frames the console');
    await search(page, 'alice');
    await page.getByText('No live revocation matches.').waitFor();
    other.close();
    other.closeAllConnections();
  },

  async accessible() {
    for (const colorScheme of ['light', 'dark']) {
      // The policy of the page would keep axe out.
      const options = { colorScheme, bypassCSP: true };
      const empty = await open(options);
      await empty.goto(address);
      await empty.getByRole('heading', { name: 'Log in' }).waitFor();
      await audit(empty, `login, ${colorScheme}`);
      const page = await login(write, options);
      await page.getByText('fusionauth').waitFor();
      await audit(page, `overview, ${colorScheme}`);
      await search(page, 'alice');
      await said(page, '1 live revocation');
      await audit(page, `search, ${colorScheme}`);
      await page.getByRole('link', { name: 'sub=alice' }).click();
      await page.getByRole('button', { name: 'Lift…' }).click();
      await audit(page, `revocation and dialog, ${colorScheme}`);
      await page.keyboard.press('Escape');
      await audit(page, `revocation, ${colorScheme}`);
      await go(page, 'Revoke', 'Revoke tokens');
      await here(page).getByLabel('Issued').selectOption('at');
      await audit(page, `revoke, ${colorScheme}`);
      await explain(page, given.token, 'deny, revoked');
      await audit(page, `explain, ${colorScheme}`);
      await go(page, 'Decisions', 'Decisions');
      await page.getByText('latest decisions').waitFor();
      await audit(page, `decisions, ${colorScheme}`);
      await go(page, 'Replicas', 'Replicas');
      await here(page).getByText('this replica').waitFor();
      await audit(page, `replicas, ${colorScheme}`);
      await go(page, 'Audit', 'Audit trail');
      await said(page, 'newest lines');
      await here(page).getByText('user.deactivate').first().waitFor();
      await here(page).getByLabel('Kind').selectOption('admin');
      await page.getByRole('button', { name: 'Show the newest' }).click();
      await here(page).getByText('action: POST /console/session').first().waitFor();
      await audit(page, `audit trail, ${colorScheme}`);
      // A narrow screen needs no sideways scrolling of the page.
      await page.setViewportSize({ width: 360, height: 700 });
      await go(page, 'Overview', 'Overview');
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${wide} px too wide`);
      await audit(page, `narrow, ${colorScheme}`);
    }
  },

  // Not a test: the pictures of docs/console.md.
  async screenshots() {
    const picture = async (page, name) => {
      await page.evaluate(() => document.activeElement.blur());
      await page.screenshot({ path: `${given.folder}/${name}.png`, fullPage: true });
    };
    for (const colorScheme of ['light', 'dark']) {
      const page = await login(write, { colorScheme, viewport: { width: 1100, height: 600 } });
      await page.getByText('fusionauth').waitFor();
      await picture(page, `overview-${colorScheme}`);
      if (colorScheme === 'dark') continue;
      await go(page, 'Search', 'Search revocations');
      await page.getByRole('table').waitFor();
      await picture(page, 'search');
      await page.getByRole('link', { name: 'sub=alice' }).first().click();
      await page.getByText('Forgotten after').waitFor();
      await picture(page, 'revocation');
      await go(page, 'Revoke', 'Revoke tokens');
      await here(page).getByLabel('Value').fill('bob');
      await here(page).getByLabel('Reason').fill('stolen laptop');
      await page.getByRole('button', { name: 'Revoke…' }).click();
      await page.getByRole('dialog').waitFor();
      await page.screenshot({ path: `${given.folder}/revoke.png` });
      await page.keyboard.press('Escape');
      await explain(page, given.token, 'deny, revoked');
      await picture(page, 'explain');
      await go(page, 'Decisions', 'Decisions');
      await page.getByText('latest decisions').waitFor();
      await picture(page, 'decisions');
      await go(page, 'Replicas', 'Replicas');
      await here(page).getByText('this replica').waitFor();
      await picture(page, 'replicas');
      await go(page, 'Audit', 'Audit trail');
      await said(page, 'newest lines');
      await picture(page, 'audit');
    }
  },

  async keyboard() {
    const page = await open();
    await page.goto(address);
    await page.getByRole('heading', { name: 'Log in' }).waitFor();
    const press = (key) => page.keyboard.press(key);
    // Goes on by Tab until the focus is there.
    const reach = async (name) => {
      for (let step = 0; step < 40; step += 1) {
        await press('Tab');
        const here = await page.evaluate(() => {
          const { labels, textContent } = document.activeElement;
          return (labels?.[0] ?? { textContent }).textContent.trim();
        });
        if (here === name) return;
      }
      assert.fail(`Tab never reaches ${name}`);
    };
    await reach('Secret of a credential');
    await page.keyboard.type(write);
    await press('Enter');
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    await page.getByText('fusionauth').waitFor();
    await reach('Revoke');
    await press('Enter');
    await page.getByRole('heading', { name: 'Revoke tokens' }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), 'revoke-title');
    await reach('Value');
    await page.keyboard.type('alice');
    await reach('Reason');
    await page.keyboard.type('by keyboard');
    await press('Enter');
    await page.getByRole('dialog').waitFor();
    await press('Escape');
    assert.ok(!(await page.getByRole('dialog').isVisible()));
    await reach('Revoke…');
    await press('Enter');
    await page.getByRole('dialog').waitFor();
    await reach('Revoke');
    await press('Enter');
    await said(page, 'Revoked.');
    assert.equal(await orders(given.token), 401);
    await press('Enter');
    await here(page).getByText('ops: by keyboard').waitFor();
    await reach('Lift…');
    await press('Enter');
    await page.getByRole('dialog').waitFor();
    await reach('Lift');
    await press('Enter');
    await said(page, 'Lifted: 1');
    assert.equal(await orders(given.token), 200);
  },
};

// Fails on what axe calls serious or critical.
async function audit(page, where) {
  await page.addScriptTag({ path: require.resolve('axe-core/axe.min.js') });
  const { violations } = await page.evaluate(() => window.axe.run());
  const bad = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact));
  const shown = bad.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(' ')}`);
  assert.deepEqual(shown, [], where);
}

try {
  await scenarios[scenario]();
} catch (error) {
  fail(error);
}
await browser.close();
