// The console: a page for each part of the address behind the `#`, over the admin API.

import { showOverview } from './overview.js';
import { $, Problem, ask, call, complain, h, link, list, isInShadow, revocations, say, source, table, target, text, time, would } from './parts.js';
import { showReplicas } from './replicas.js';

const REVOCATIONS = '../v1/revocations';
const APPROVALS = '../v1/approvals';
const TITLES = { login: 'Log in', overview: 'Overview', search: 'Search', revocation: 'Revocation', revoke: 'Revoke', explain: 'Explain', decisions: 'Decisions', replicas: 'Replicas', audit: 'Audit trail' };

let role = null;

// Does something for the user. A session that is over leads back to the login.
async function attempt(work) {
  try {
    await work();
  } catch (error) {
    if (error.status === 401 && role) return loggedOut('The session is over. Log in again.');
    if (!(error instanceof Problem)) console.error(error);
    complain(error);
  }
}

// Handles a form: one request at a time, and no page load.
function onSubmit(id, work) {
  $(id).addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = event.submitter ?? $(id).querySelector('button');
    button.disabled = true;
    say('');
    await attempt(() => work(new FormData($(id))));
    button.disabled = false;
  });
}

function loggedIn(who) {
  role = who.role;
  $('who').textContent = `${who.name} (${role})`;
  for (const element of document.querySelectorAll('nav .writes')) element.hidden = role === 'read';
  $('nav').hidden = $('user').hidden = false;
  return route();
}

function loggedOut(why) {
  role = null;
  $('nav').hidden = $('user').hidden = true;
  for (const id of ['state', 'rates', 'replicas', 'issuers', 'sources', 'found', 'records', 'revoked', 'explained', 'decided', 'lines', 'approvals', 'known-issuers']) $(id).replaceChildren();
  for (const form of document.querySelectorAll('main form')) form.reset();
  if ($('ask').open) $('ask').close();
  show('login', true);
  complain({ message: why });
  attempt(offerLogin);
}

function show(name, focus) {
  for (const page of document.querySelectorAll('main > section')) page.hidden = page.id !== `page-${name}`;
  for (const at of $('nav').children) at.ariaCurrent = at.hash === `#/${name}` ? 'page' : null;
  // A token stays on no page that nobody looks at.
  for (const id of ['explain-token', 'revoke-token']) $(id).value = '';
  document.title = `${TITLES[name]} – Portcullis`;
  if (focus) $(`${name}-title`).focus();
}

// Shows the page that the address names.
async function route(event) {
  if (!role) return;
  const [path, query = ''] = location.hash.slice(2).split('?');
  const [name, id] = path.split('/');
  const mayShow = Object.hasOwn(PAGES, name) && (name !== 'revoke' || role !== 'read');
  const page = mayShow ? name : 'overview';
  say('');
  show(page, Boolean(event));
  await attempt(() => PAGES[page](new URLSearchParams(query), id && decodeURIComponent(id)));
}

const PAGES = {
  overview: () => showOverview(false),
  search: showFound,
  revocation: (_, id) => showRecords(id),
  revoke: () => (showFields(), showApprovals()),
  explain: (_, id) => (id ? showDecision(id) : $('explained').replaceChildren()),
  decisions: showDecisions,
  replicas: () => showReplicas(false),
  audit: showTrail,
};

// Pages that tell what happens now.
const LIVE = { overview: showOverview, replicas: showReplicas };

setInterval(() => {
  const shown = Object.keys(LIVE).find((name) => !$(`page-${name}`).hidden && $(`live-${name}`).checked);
  if (!role || !shown || document.hidden) return;
  attempt(async () => {
    await LIVE[shown](true);
    $('problem').textContent = '';
  });
}, 2000);

// Search. The address holds the filters, so that going back finds them again.

onSubmit('search', async (data) => {
  const filters = new URLSearchParams([...data].filter(([, value]) => value));
  const next = `#/search?${filters}`;
  if (location.hash === next || !(location.hash = next)) await showFound(filters);
});

$('more').addEventListener('click', () => attempt(() => {
  const filters = new URLSearchParams(location.hash.split('?')[1]);
  return showFound(filters, Number($('more').dataset.limit) + 100);
}));

async function showFound(filters, limit = 100) {
  for (const field of $('search').elements) if (field.name) field.value = filters.get(field.name) ?? '';
  const query = new URLSearchParams(filters);
  // A claim alone would find whatever it holds.
  if (!query.get('value')) query.delete('claim');
  query.set('limit', Math.min(limit, 1000));
  const { revocations: found, more } = await call('GET', `${REVOCATIONS}?${query}`);
  const count = `${found.length}${more ? ' newest' : ''} live ${found.length === 1 ? 'revocation' : 'revocations'}`;
  $('found').replaceChildren(found.length ? revocations(count, found) : h('p', {}, 'No live revocation matches.'));
  $('more').hidden = !more || limit >= 1000;
  $('more').dataset.limit = limit;
  say(count);
}

// One revocation, which may be several records: one event can revoke several targets.

async function showRecords(id) {
  $('records').replaceChildren();
  $('lift').hidden = $('promote').hidden = true;
  const { revocations: records } = await call('GET', `${REVOCATIONS}/${encodeURIComponent(id)}`);
  $('records').replaceChildren(...records.map((record) => list('record', [
    ['Id', record.id], ['Tokens with', target(record)], ['Issuer', record.issuer],
    ['Issued until', time(record.issued_at_or_before) ?? 'any time'],
    ['Expiring until', time(record.expires_at_or_before) ?? 'any time'],
    ['Source', source(record)], ['Cause', record.cause],
    ['Happened', time(record.occurred_at)], ['Received', time(record.received_at)],
    ['Forgotten after', time(record.forget_after)],
  ])));
  $('lift').hidden = role === 'read';
  $('lift').onclick = () => attempt(() => lift(id, records));
  const inShadow = records.filter(isInShadow);
  $('promote').hidden = role === 'read' || !inShadow.length;
  $('promote').onclick = () => attempt(() => promote(id, inShadow));
}

// Enforces what is in shadow.
async function promote(id, records) {
  const text = [h('p', {}, 'Tokens will be refused that are only counted until now:'), those(records)];
  if (!(await ask('Enforce this revocation?', text, 'Enforce'))) return;
  const { revocations: made } = await call('POST', `${REVOCATIONS}/${encodeURIComponent(id)}/promote`);
  if (!made) return say('Nothing is refused yet: a second person has to approve the order on the page Revoke. Then enforce it again.');
  $('lift').hidden = $('promote').hidden = true;
  $('records').replaceChildren(revocations('Enforced', made));
  say('Enforced. It is durable, and this replica refuses these tokens.');
  $('revocation-title').focus();
}

const those = (records) => h('ul', {}, records.map((record) => h('li', {}, `${target(record)} (${record.issuer}), ${record.cause}`)));

async function lift(id, records) {
  const text = [
    h('p', {}, 'Tokens are good again that these revocations refuse, and those of the same source, cause and target:'),
    those(records),
  ];
  if (!(await ask('Lift this revocation?', text, 'Lift'))) return;
  const { revocations: lifted } = await call('DELETE', `${REVOCATIONS}/${encodeURIComponent(id)}`);
  $('lift').hidden = $('promote').hidden = true;
  $('records').replaceChildren(revocations('Lifted', lifted));
  for (const at of $('records').querySelectorAll('a')) at.replaceWith(at.textContent);
  say(`Lifted: ${lifted.length}`);
  $('revocation-title').focus();
}

// Revoke.

$('revoke').addEventListener('change', showFields);

// Shows the fields that the choices ask for. The others are disabled, so that nobody has to fill them in.
function showFields() {
  const form = $('revoke');
  const kind = form.elements.kind.value;
  const until = kind === 'token' ? '' : form.elements.until.value;
  for (const part of form.querySelectorAll('[data-kind], [data-until]')) {
    const of = part.dataset.kind ? [part.dataset.kind, kind] : [part.dataset.until, until];
    part.hidden = !of[0].split(' ').includes(of[1]);
    for (const field of part.querySelectorAll('input, select, textarea')) field.disabled = part.hidden;
  }
  const issuers = $('known-issuers').children;
  if (!form.elements.issuer.value && issuers.length === 1) form.elements.issuer.value = issuers[0].value;
}

function order(data) {
  const [kind, reason] = [data.get('kind'), data.get('reason')];
  if (kind === 'token') return { token: data.get('token'), reason, shadow: Boolean(data.get('shadow')) };
  const matches = kind === 'issuer' ? {} : { [data.get('claim')]: data.get('value') };
  const made = { issuer: data.get('issuer'), matches, reason };
  if (data.get('shadow')) made.shadow = true;
  if (data.get('until') === 'any') made.issued_at_or_before = null;
  if (data.get('until') === 'at') made.issued_at_or_before = new Date(`${data.get('at')}Z`).toISOString();
  return made;
}

onSubmit('revoke', async (data) => {
  const body = order(data);
  const will = body.shadow ? 'would be refused, and are counted' : 'will be refused';
  const which = body.token ? `This token, and no other: it ${body.shadow ? 'would be refused, and is counted' : 'will be refused'}.` : `These tokens of ${body.issuer} ${will}: ${target(body)}.`;
  const until = { now: ' Those that are issued from now on stay good, unless it is one session or token id.', any: ' It does not matter when they were issued.', at: ` They were issued until ${body.issued_at_or_before}.` };
  const reach = await call('POST', '../v1/preview', { body });
  const text = [h('p', {}, which, body.token ? '' : until[data.get('until')]), h('p', {}, reached(reach)), h('p', {}, `Reason: ${body.reason}`)];
  const sure = reach.needs_confirm ? `Refuse them all: ${target(body)}` : null;
  if (!(await ask('Revoke these tokens?', text, 'Revoke', sure))) return;
  // What was shown is what may be refused. More than that is an error, which says so.
  if (sure) body.confirm = reach.tokens;
  const record = await call('POST', REVOCATIONS, { body, headers: { 'Idempotency-Key': crypto.randomUUID() } });
  $('revoke').reset();
  showFields();
  if (record.expires_at) {
    $('revoked').replaceChildren();
    await showApprovals();
    return say('Nothing is revoked yet: a second person has to approve the order.');
  }
  const at = h('a', { href: link(record.id) }, target(record));
  $('revoked').replaceChildren(h('p', {}, 'Revoked: ', at));
  say(body.shadow ? 'It is in shadow: it refuses nothing, and what it would refuse is counted.' : 'Revoked. It is durable, and this replica refuses these tokens.');
  at.focus();
});

// What a preview says, in a sentence or two.
function reached({ tokens, subjects, clients, already_refused, tokens_seen, is_complete }) {
  const count = (number, what) => `${number} ${what}${number === 1 ? '' : 's'}`;
  const of = tokens ? `, of ${count(subjects, 'subject')} and ${count(clients, 'client')}` : '';
  const rest = is_complete ? '' : ' The cache is full or off, so there may be more.';
  return `Of ${tokens_seen} good tokens that this replica saw lately, ${tokens} would be refused${of}; ${already_refused} are already.${rest}`;
}

// Orders that wait for a second person.

async function showApprovals() {
  const { approvals } = await call('GET', APPROVALS);
  const act = (method, order, title, yes, said) => attempt(async () => {
    const text = [h('p', {}, `Tokens of ${order.issuer}: ${target(order)}.`), h('p', {}, `Ordered by ${who(order)}: ${order.cause}`)];
    if (!(await ask(title, text, yes))) return;
    await call(method, `${APPROVALS}/${encodeURIComponent(order.id)}`);
    await showApprovals();
    say(said);
  });
  const buttons = (order) => [
    role === 'approve' && h('button', { type: 'button', className: 'danger', onclick: () => act('POST', order, 'Revoke these tokens?', 'Approve', 'Approved. It is durable, and this replica refuses these tokens.') }, 'Approve…'),
    h('button', { type: 'button', onclick: () => act('DELETE', order, 'Withdraw this order?', 'Withdraw', 'Withdrawn.') }, 'Withdraw…'),
  ].filter(Boolean);
  const heads = ['Tokens with', 'Issuer', 'Cause', 'Ordered by', 'Issued until', 'Expires', ''].map(text);
  $('approvals').replaceChildren(...(approvals.length ? [table('Orders that wait for a second person', heads, approvals.map((order) => [
    target(order), order.issuer, order.cause, who(order), time(order.issued_at_or_before) ?? 'any time', time(order.expires_at), buttons(order),
  ]))] : []));
}

const who = ({ ordered_by, subject }) => (subject ? `${ordered_by} (${subject})` : ordered_by);

// Explain. The token leaves the page as soon as it is sent.

onSubmit('explain', async () => {
  const token = $('explain-token').value;
  $('explain-token').value = '';
  $('explained').replaceChildren();
  showExplained(await call('POST', '../v1/explain', { body: { token } }));
});

function showExplained(explained) {
  const { decision, reason, status, policy, would_refuse, expected, found, claims, revocations: matching } = explained;
  const shown = [list('record', [
    ['Decision', h('span', { className: decision === 'deny' ? 'bad' : 'good' }, decision)],
    ['Reason', reason], ['Would refuse it without shadow', would_refuse && would(would_refuse)],
    ['Status', status], ['Policy', policy], ['Expected', expected], ['Found', found],
  ])];
  if (matching?.length) shown.push(revocations(would_refuse ? 'Revocations that match it' : 'Revocations that refuse it', matching));
  if (claims) shown.push(h('h2', {}, 'Claims'), h('pre', {}, JSON.stringify(claims, null, 2)));
  $('explained').replaceChildren(...shown);
  say(`Decision: ${decision}${reason ? `, ${reason}` : ''}`);
}

// Decisions.

onSubmit('look-up', async () => {
  const next = `#/explain/${encodeURIComponent($('decision-id').value.trim())}`;
  if (location.hash === next || !(location.hash = next)) await showDecision($('decision-id').value.trim());
});

async function showDecision(id) {
  $('decision-id').value = id;
  $('explained').replaceChildren();
  const { revocations: matching, revoked_by: by, ...made } = await call('GET', `../v1/decisions/${encodeURIComponent(id)}`);
  $('explained').replaceChildren(list('record', [
    ['Decision', made.id], ['When', time(made.at)], ['Outcome', made.decision], ['Reason', made.reason], ['Would be refused without shadow', made.would_refuse && would(made.would_refuse)], ['Status', made.status],
    ['Door', made.door], ['Host', made.host], ['Request', `${made.method} ${made.path}`], ['Policy', made.policy], ['Issuer', made.issuer],
    ['Expected', made.expected], ['Found', made.found],
    ['Revoked by', by && [source(by), `: ${by.cause} (${by.claims.join(', ')})`]],
  ]), ...(matching?.length ? [revocations('The revocation', matching)] : []));
  say(`Decision: ${made.decision}${made.reason ? `, ${made.reason}` : ''}`);
}

onSubmit('latest', (data) => showDecisions(data));

async function showDecisions(filters) {
  const query = new URLSearchParams([...filters].filter(([, value]) => value));
  const { decisions } = await call('GET', `../v1/decisions?${query}`);
  const heads = ['Id', 'When', 'Outcome', 'Reason', 'Status', 'Door', 'Request'].map(text);
  $('decided').replaceChildren(table(`${decisions.length} latest decisions`, heads, decisions.map((made) => [
    h('a', { href: `#/explain/${encodeURIComponent(made.id)}` }, made.id), time(made.at),
    made.would_refuse ? [made.decision, ' ', would(`(would refuse: ${made.would_refuse})`)] : made.decision, made.reason ?? '–',
    made.status, made.door, `${made.method} ${made.path}`,
  ])));
  say(`${decisions.length} decisions`);
}

// The audit trail. What a line says besides its place in the chain depends on its kind.

onSubmit('trail', (data) => showTrail(data));

async function showTrail(filters) {
  const query = new URLSearchParams([...filters].filter(([, value]) => value));
  const { lines, more } = await call('GET', `../v1/audit?${query}`);
  const heads = ['Number', 'When', 'Kind', 'Who', 'What'].map(text);
  const shown = lines.map(({ seq, time: at, kind, prev, hash, credential, subject, source, client, ...rest }) => [
    String(seq), time(at), kind, [credential ?? source ?? client, subject].filter(Boolean).join(' ') || '–',
    Object.entries(rest).filter(([, value]) => value !== null)
      .map(([name, value]) => h('div', {}, `${name}: ${typeof value === 'object' ? JSON.stringify(value) : value}`)),
  ]);
  const count = `${lines.length} newest lines`;
  $('lines').replaceChildren(table(`${count}${more ? '; the files have older ones' : ''}`, heads, shown));
  say(count);
}

// Login.

const FAILED = {
  400: 'This browser began no login here, or it took too long. Try again.',
  401: 'The issuer did not log you in, or its token is not good. The log of Portcullis says why.',
  403: 'You are logged in, but no credential of admin.credentials has the scopes of your token.',
  503: 'The issuer does not answer, or your token cannot be judged now. Try again.',
};

async function offerLogin() {
  const { issuer } = await call('GET', 'login/options');
  $('by-issuer').hidden = !issuer;
  $('login-issuer').textContent = issuer ?? '';
  const [, status] = /^#\/login\/(\d+)$/.exec(location.hash) ?? [];
  if (status) complain({ message: FAILED[status] ?? 'The login failed. The log of Portcullis says why.' });
}

onSubmit('login', async () => {
  const secret = $('secret').value;
  $('secret').value = '';
  await call('POST', 'session', { body: { secret } });
  say('');
  // It asks again: a browser drops a `Secure` cookie that came over plain HTTP.
  const who = await call('GET', 'session').catch(() => {
    throw new Problem(401, 'The browser did not keep the session: open the console over HTTPS, or on loopback.');
  });
  await loggedIn(who);
  $('main').focus();
});

$('logout').addEventListener('click', () => attempt(async () => {
  await call('DELETE', 'session');
  loggedOut('');
  say('Logged out.');
}));

$('skip').addEventListener('click', (event) => {
  event.preventDefault();
  $('main').focus();
});
addEventListener('hashchange', route);

try {
  await loggedIn(await call('GET', 'session'));
} catch (error) {
  show('login', false);
  if (error.status !== 401) complain(error);
  await attempt(offerLogin);
}
