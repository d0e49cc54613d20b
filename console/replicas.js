// The replicas: the state of each from /v1/replicas, and where it is not like most.

import { $, call, h, number, span, table, text, would } from './parts.js';

export async function showReplicas(poll) {
  const { replicas } = await call('GET', '../v1/replicas', { poll });
  const heads = [text('Replica'), text('State'), text('Version'), text('Configuration'), number('Revocations'),
    number('Feed age'), number('Behind'), text('Usable keys'), text('Last events'), text('Differs in')];
  $('replicas').replaceChildren(table('As this one sees them', heads, replicas.map(row)));
}

function row({ url, is_self, status, error, differs }) {
  const name = [url ?? 'this replica', url && is_self ? ' (this one)' : ''];
  if (!status) return [name, h('span', { className: 'bad' }, error), ...Array(8).fill('–')];
  const mark = (member, shown) => (differs.includes(member) ? h('span', { className: 'bad' }, shown, ' (differs)') : shown);
  const lines = (all) => all.map((line) => h('div', {}, line));
  const { awaited, degraded, configuration, issuers, sources } = status;
  const state = status.ready ? 'ready' : status.draining ? 'shutting down' : 'not ready';
  const troubles = [...Object.entries(awaited), ...Object.entries(degraded)].map(([what, why]) => `${what}: ${why}`);
  if (configuration.error) troubles.push(`configuration: ${configuration.error}`);
  const seconds = Date.now() / 1000;
  const ago = (at) => (at ? `${span(seconds - Date.parse(at) / 1000)} ago` : 'none yet');
  return [
    name,
    [mark('ready', h('span', { className: status.ready ? 'good' : 'bad' }, state)), troubles.map((line) => h('div', {}, would(line)))],
    mark('version', status.version),
    mark('configuration', `${configuration.generation}, ${configuration.hash.slice(0, 8)}`),
    { number: mark('live_revocations', String(status.live_revocations)) },
    { number: status.feed_age_seconds === null ? '–' : `${status.feed_age_seconds.toFixed(1)} s` },
    { number: status.feed_lag_records ?? '–' },
    mark('issuers', lines(issuers.map(({ issuer, usable, age_seconds: age }) => `${issuer}: ${usable}${age === null ? '' : `, ${span(age)} old`}`))),
    lines(Object.entries(sources).map(([source, at]) => `${source}: ${ago(at)}`)),
    differs.length ? h('span', { className: 'bad' }, differs.join(', ')) : '–',
  ];
}
