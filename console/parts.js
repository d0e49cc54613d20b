// What all pages of the console use.

export const $ = (id) => document.getElementById(id);

// Makes an element. A child becomes an element or text, never markup: the server says who may log in, but
// senders of events choose subjects and causes.
export function h(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  const given = children.flat(Infinity).filter((child) => child !== null && child !== undefined);
  element.append(...given.map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

// Why a request failed; `message` says what to do.
export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Sends a request with the session's cookie. Returns the answer's object, or its text if it has none.
export async function call(method, path, { body, headers, poll } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: {
        'X-Portcullis-Console': poll ? 'poll' : '1',
        ...(body && { 'Content-Type': 'application/json' }),
        ...headers,
      },
      body: body && JSON.stringify(body),
      cache: 'no-store',
      redirect: 'error',
    });
  } catch {
    throw new Problem(0, 'Portcullis does not answer. Is it running, and can this browser reach it?');
  }
  const text = await response.text();
  const isJson = (response.headers.get('content-type') ?? '').includes('json');
  const answer = isJson ? JSON.parse(text) : text;
  if (response.ok) return answer;
  throw new Problem(response.status, answer.detail ?? `Portcullis answered ${response.status}.`);
}

// Tells people what happened; a screen reader reads it out.
export function say(text) {
  $('said').textContent = text;
  $('problem').textContent = '';
}

export function complain(error) {
  $('said').textContent = '';
  $('problem').textContent = error.message;
}

// Asks before something is done. `text` is a list of children. With `sure`, a box has to be ticked first.
export function ask(title, text, yes, sure) {
  const dialog = $('ask');
  $('ask-title').textContent = title;
  $('ask-text').replaceChildren(...text);
  $('ask-yes').textContent = yes;
  $('ask-sure').hidden = !sure;
  $('ask-sure-text').textContent = sure ?? '';
  $('sure').required = Boolean(sure);
  $('sure').checked = false;
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((answered) => {
    dialog.addEventListener('close', () => answered(dialog.returnValue === 'yes'), { once: true });
  });
}

// A table. A cell is a child, or `{ number }`.
export function table(caption, heads, rows) {
  const cell = (content, index) => {
    const isNumber = content?.number !== undefined;
    const properties = isNumber ? { className: 'number' } : {};
    const shown = isNumber ? content.number : content;
    return index === 0 ? h('th', { scope: 'row', ...properties }, shown) : h('td', properties, shown);
  };
  const head = heads.map(({ number, ...rest }) => {
    const title = number ?? rest.text;
    return h('th', { scope: 'col', className: number ? 'number' : '' }, title);
  });
  return h('table', {}, h('caption', {}, caption), h('thead', {}, h('tr', {}, head)),
    h('tbody', {}, rows.map((row) => h('tr', {}, row.map(cell)))));
}

export const text = (title) => ({ text: title });
export const number = (title) => ({ number: title });

// A list of names and values.
export function list(className, pairs) {
  return h('dl', { className }, pairs.map(([name, value]) => {
    const pair = [h('dt', {}, name), h('dd', {}, value ?? '–')];
    return className === 'cards' ? h('div', {}, pair) : pair;
  }));
}

const UNITS = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];

// A span of seconds for people.
export function span(seconds) {
  const [size, unit] = UNITS.find(([size]) => seconds >= size) ?? [1, 's'];
  return `${Math.max(0, Math.round(seconds / size))} ${unit}`;
}

// A moment of the API, readable and exact.
export function time(at) {
  if (!at) return null;
  return h('time', { dateTime: at }, at.replace('T', ' ').replace(/(\.\d+)?Z$/, ' UTC'));
}

// What a revocation matches, in one line.
export function target(record) {
  const matches = Object.entries(record.matches).map(([claim, value]) => `${claim}=${value}`);
  return matches.join(', ') || 'every token of the issuer';
}

export const link = (id) => `#/revocation/${encodeURIComponent(id)}`;

const SHADOW = 'shadow/';

export const isInShadow = ({ source }) => source.startsWith(SHADOW);

// Says that something refuses nothing, and what it would do.
export const would = (what) => h('span', { className: 'warn' }, what);

// The source of a revocation. One in shadow refuses nothing.
export function source(record) {
  return isInShadow(record) ? [record.source.slice(SHADOW.length), ' ', would('(would refuse: in shadow)')] : record.source;
}

// Revocations as a table, each leading to its page.
export function revocations(caption, records) {
  const heads = ['Tokens with', 'Issuer', 'Source', 'Cause', 'Issued until', 'Received'].map(text);
  return table(caption, heads, records.map((record) => [
    h('a', { href: link(record.id) }, target(record)), record.issuer, source(record), record.cause,
    time(record.issued_at_or_before) ?? 'any time', time(record.received_at),
  ]));
}
