import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { load } from 'js-yaml';
import { TestCluster } from '../support/server-process.ts';
import { needs, toolPath } from '../support/tools.ts';
import { chartDirectory, root, testdata } from './helm.ts';

// Alert rules fire when they should, and neither they nor the dashboards ask for a metric or label that is nowhere.

const files = join(chartDirectory, 'mainstay/files');
const rulesFile = join(files, 'alerts.yaml');

interface Rule {
  readonly alert: string;
  readonly expr: string;
}

const rules = (
  load(readFileSync(rulesFile, 'utf8')) as { groups: { rules: Rule[] }[] }
).groups.flatMap((group) => group.rules);

function promtool(...args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(toolPath('promtool'), [...args], {
    cwd: testdata,
    encoding: 'utf8',
  });
  assert.equal(status, 0, stdout + stderr);
}

test('promtool takes the rules', needs('promtool'), () => promtool('check', 'rules', rulesFile));

test('each alert fires when it should, and only then', needs('promtool'), () =>
  promtool('test', 'rules', 'alerts.test.yaml'),
);

test('each alert has a case in which it fires, and one in which it does not', () => {
  const { tests } = load(readFileSync(join(testdata, 'alerts.test.yaml'), 'utf8')) as {
    tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
  };
  const cases = tests.flatMap(({ alert_rule_test }) => alert_rule_test);
  const named = (isFiring: boolean) =>
    new Set(
      cases
        .filter(({ exp_alerts }) => exp_alerts.length > 0 === isFiring)
        .map(({ alertname }) => alertname),
    );
  const names = rules.map(({ alert }) => alert).toSorted();
  assert.deepEqual([...named(true)].toSorted(), names);
  assert.deepEqual([...named(false)].toSorted(), names);
});

/** `name{label="..."}` of a query; ranges and functions are no matter. */
interface Selector {
  readonly from: string;
  readonly name: string;
  readonly labels: readonly string[];
}

/** Set by Prometheus and the chart's PodMonitors, on everything that is scraped. */
const targetLabels = ['namespace', 'cluster', 'component', 'app', 'pod', 'job'];
/** Prometheus' own. */
const ownMetrics = ['up'];

function selectorsOf(from: string, query: string): Selector[] {
  const bare = query.replace(/\b(by|on|without|group_right|group_left) \([^)]*\)/g, '');
  return [...bare.matchAll(/\b([a-z_0-9]+)(?:\{([^}]*)\}|\b(?!\())/g)]
    .filter(([, name = '']) => /^(up|(etcd|grpc|mainstay|process|nodejs|os)_)/.test(name))
    .map(([, name = '', inside = '']) => {
      const labels = [...inside.matchAll(/(\w+)\s*[=!]~?/g)].map(([, label = '']) => label);
      return { from, name, labels };
    });
}

const fromAlerts = rules.flatMap(({ alert, expr }) => selectorsOf(alert, expr));
const fromDashboards = readdirSync(join(files, 'dashboards')).flatMap((file) => {
  const text = readFileSync(join(files, 'dashboards', file), 'utf8');
  const { panels, templating } = JSON.parse(text) as {
    panels: { title: string; targets: { expr: string }[] }[];
    templating: { list: { query: string | { query: string } }[] };
  };
  const variables = templating.list.map(({ query }) =>
    typeof query === 'string' ? '' : query.query,
  );
  return [
    ...panels.flatMap(({ title, targets }) =>
      targets.flatMap(({ expr }) => selectorsOf(`${file}: ${title}`, expr)),
    ),
    ...variables.flatMap((query) => selectorsOf(`${file}: variables`, query)),
  ];
});
const selectors = [...fromAlerts, ...fromDashboards];

suite('every query asks for what is there', { timeout: 120_000 }, () => {
  let cluster: TestCluster | undefined;
  const labels = new Map<string, ReadonlySet<string>>();
  before(async () => {
    cluster = await TestCluster.start({
      program: 'mainstay',
      flags: ['--metrics=extensive', '--audit-log-path=-'],
    });
    const text = await (await fetch(`${cluster.member(0).clientUrl}/metrics`)).text();
    for (const [name, found] of [...labelsIn(text), ...documentedLabels()]) labels.set(name, found);
  });
  after(() => cluster?.stop());

  test('metrics', () => {
    const missing = selectors.filter(
      ({ name }) => !ownMetrics.includes(name) && familyOf(name, labels) === undefined,
    );
    assert.deepEqual(missing, []);
    const unknown = selectorsOf('x', 'sum by (etcd_a) (rate(etcd_b{c="d"}[5m])) / etcd_e_bucket');
    assert.deepEqual(
      unknown.map(({ name, labels: found }) => [name, ...found]),
      [['etcd_b', 'c'], ['etcd_e_bucket']],
    );
    assert.ok(fromAlerts.length > 20 && fromDashboards.length > 40);
  });

  test('labels', () => {
    const wrong = selectors.flatMap(({ from, name, labels: wanted }) => {
      const there = familyOf(name, labels) ?? new Set();
      return wanted
        .filter((label) => !targetLabels.includes(label) && !there.has(label))
        .map((label) => `${from}: ${name} has no label ${label}`);
    });
    assert.deepEqual(wrong, []);
  });
});

function familyOf(name: string, labels: ReadonlyMap<string, ReadonlySet<string>>) {
  return labels.get(name) ?? labels.get(name.replace(/_(bucket|sum|count)$/, ''));
}

/** Of what a member shows: the labels of each name. */
function labelsIn(text: string): Map<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>();
  for (const line of text.split('\n')) {
    const [, name, inside = ''] = /^([a-z_0-9]+)(?:\{(.*)\})? /.exec(line) ?? [];
    if (name === undefined) continue;
    const labels = found.get(name) ?? new Set();
    for (const [, label = ''] of inside.matchAll(/(\w+)="/g)) labels.add(label);
    found.set(name, labels);
  }
  return found;
}

/**
 * Of the operator, and of a store with TLS: as the documents have it, which are compared with running processes by
 * test/operator/metrics and test/acceptance.
 */
function documentedLabels(): [string, ReadonlySet<string>][] {
  const rows = readFileSync(join(root, 'docs/METRICS.md'), 'utf8').split('\n');
  const operator = rows.flatMap((line): [string, ReadonlySet<string>][] => {
    const [, name, , labels] = line.split('|').map((cell) => cell.trim());
    if (!name?.startsWith('`mainstay_')) return [];
    return [[name.replaceAll('`', ''), new Set(labels?.split(', '))]];
  });
  return [
    ...operator,
    ...['expiry', 'lifetime'].map((what): [string, ReadonlySet<string>] => [
      `mainstay_tls_certificate_${what}_seconds`,
      new Set(['listener', 'serial']),
    ]),
  ];
}
