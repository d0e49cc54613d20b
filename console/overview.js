// The overview: the state of the replica from /v1/status, and what happens from /metrics.

import { $, call, h, list, number, span, table, text, time } from './parts.js';

const SAMPLE = /^(\w+)(?:\{((?:\w+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

// Reads OpenMetrics: the samples of each name, without the prefix.
export function parse(metrics) {
  const samples = new Map();
  for (const line of metrics.split('\n')) {
    const [, name, labels = '', value] = SAMPLE.exec(line) ?? [];
    if (!name) continue;
    const named = [...labels.matchAll(LABEL)].map(([, label, of]) => [label, of.replace(/\\(.)/g, '$1')]);
    const key = name.replace(/^portcullis_/, '');
    if (!samples.has(key)) samples.set(key, []);
    samples.get(key).push({ ...Object.fromEntries(named), key: line.split(' ')[0], value: Number(value) });
  }
  return (name) => samples.get(name) ?? [];
}

// The samples of the last look, to know what came since.
let before = { at: 0, values: new Map() };

export async function showOverview(poll) {
  const [status, metrics] = await Promise.all([
    call('GET', '../v1/status', { poll }),
    call('GET', '../metrics', { poll }),
  ]);
  const samples = parse(metrics);
  const now = { at: performance.now() / 1000, values: new Map() };
  const rate = (some) => {
    const was = some.reduce((sum, { key }) => sum + (before.values.get(key) ?? 0), 0);
    const is = some.reduce((sum, { key, value }) => (now.values.set(key, value), sum + value), 0);
    return before.at ? ((is - was) / (now.at - before.at)).toFixed(1) : '–';
  };
  showState(status);
  showDecisions(samples, rate);
  showIssuers(samples);
  showSources(samples, rate);
  before = now;
  const options = (id, values) => $(id).replaceChildren(...values.map((value) => h('option', { value })));
  options('known-issuers', samples('keys_usable').map(({ issuer }) => issuer));
  options('known-reasons', samples('decisions_total').map(({ reason }) => reason).filter(Boolean));
}

function showState(status) {
  const troubles = (of, what) => Object.entries(of).map(([name, why]) => h('li', { className: 'warn' }, `${what} ${name}: ${why}`));
  const { configuration } = status;
  const all = [...troubles(status.awaited, 'waits for'), ...troubles(status.degraded, 'does not work:')];
  if (configuration.error) all.push(h('li', { className: 'warn' }, `the changed configuration is not in use: ${configuration.error}`));
  const ready = status.ready ? h('span', { className: 'good' }, 'Ready') : h('span', { className: 'bad' }, status.draining ? 'Shutting down' : 'Not ready');
  $('state').replaceChildren(list('cards', [
    ['State', ready],
    ['Live revocations', status.live_revocations],
    ['Age of the feed', status.feed_age_seconds === null ? null : `${status.feed_age_seconds.toFixed(1)} s`],
    ['Records behind', status.feed_lag_records],
    ['Configuration', `generation ${configuration.generation}`],
    ['Forgotten up to', time(status.horizon)],
    ['Version', status.version],
  ]), h('ul', {}, all));
}

function showDecisions(samples, rate) {
  const rows = samples('decisions_total').map((sample) => [sample, rate([sample])]);
  const inShadow = samples('shadow_refusals_total').map((sample) => [{ ...sample, outcome: 'would refuse (shadow)' }, rate([sample])]);
  const shown = [...rows, ...inShadow].filter(([{ outcome, value }]) => value > 0 || outcome === 'permit');
  $('rates').replaceChildren(table('Since the start', [text('Outcome'), text('Reason'), number('Total'), number('Per second')],
    shown.map(([{ outcome, reason, value }, perSecond]) => [outcome, reason || '–', { number: value }, { number: perSecond }])));
}

function showIssuers(samples) {
  const seconds = Date.now() / 1000;
  const of = (name, issuer) => samples(name).filter((sample) => sample.issuer === issuer);
  const sum = (some) => some.reduce((total, { value }) => total + value, 0);
  const rows = samples('keys_usable').map(({ issuer, value }) => {
    const loaded = sum(of('keys_loaded_timestamp_seconds', issuer));
    const failed = of('key_fetches_total', issuer).filter(({ result }) => result !== 'ok');
    return [issuer, { number: value }, { number: sum(of('keys_skipped', issuer)) },
      loaded ? `${span(seconds - loaded)} ago` : 'never', { number: sum(failed) }];
  });
  $('issuers').replaceChildren(table('Keys', [text('Issuer'), number('Usable'), number('Skipped'), text('Loaded'), number('Failed fetches')], rows));
}

const FINE = ['accepted', 'ignored', 'duplicate', 'handshake'];

function showSources(samples, rate) {
  const seconds = Date.now() / 1000;
  const names = new Set(['events_total', 'pull_requests_total'].flatMap((name) => samples(name).map(({ source }) => source)));
  const rows = [...names].filter(Boolean).map((source) => {
    const of = (name) => samples(name).filter((sample) => sample.source === source);
    const events = [...of('events_total'), ...of('pull_events_total')];
    const count = (result) => events.filter((sample) => sample.result === result).reduce((sum, { value }) => sum + value, 0);
    const failed = [...events, ...of('pull_requests_total')].filter(({ result, value }) => value > 0 && !FINE.includes(result) && result !== 'answered');
    const last = of('event_understood_timestamp_seconds')[0]?.value;
    return [source, last ? `${span(seconds - last)} ago` : 'none yet', { number: count('accepted') },
      { number: count('ignored') + count('duplicate') }, failed.map(({ result, value }) => `${result}: ${value}`).join(', ') || 'none',
      { number: rate(events) }];
  });
  const heads = [text('Source'), text('Last event'), number('Accepted'), number('Without effect'), text('Refused or failed'), number('Per second')];
  $('sources').replaceChildren(table('Events since the start', heads, rows));
}
