import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { servicesOf } from '../../server/api/services.ts';
import { helpText, readSettings, UsageError } from '../../server/config/flags.ts';
import { Election } from '../../server/proto/gen/election.ts';
import { Health } from '../../server/proto/gen/health.ts';
import { Lock } from '../../server/proto/gen/lock.ts';
import { Auth, Cluster, KV, Lease, Maintenance, Watch } from '../../server/proto/gen/rpc.ts';
import { Stamps } from '../../server/proto/gen/stamps.ts';
import { FakeMember } from '../server/api/fake-member.ts';
import { needs, toolPath } from '../support/tools.ts';
import { isOracle, withStore } from './support.ts';

// What docs/COMPATIBILITY.md says is so, and nothing is left out; every acceptance case has its test.

const text = readFileSync('docs/COMPATIBILITY.md', 'utf8');

/** The rows of the table below a heading: cells as they stand, without the heads. */
function table(heading: string): string[][] {
  const start = text.indexOf(`\n## ${heading}\n`);
  assert(start >= 0, `there is no heading ${heading}`);
  const end = text.indexOf('\n## ', start + 1);
  return text
    .slice(start, end < 0 ? text.length : end)
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(1)
    .map((line) =>
      line
        .slice(2, -2)
        .split(/ \| ?/)
        .map((cell) => cell.trim()),
    );
}

/** Of the first cell, in which it stands as code. */
function nameIn([cell = '']: readonly string[]): string {
  return cell.replaceAll('`', '');
}

const ours = { skip: isOracle ? 'not about etcd' : false };

test('every RPC stands in the document, and is served as it says', ours, () => {
  const services = servicesOf(new FakeMember(), { txnOpsMax: 1, messageBytesMax: 1 });
  const known = [KV, Watch, Lease, Cluster, Maintenance, Auth, Lock, Election, Health, Stamps]
    .flatMap(({ methods }) => Object.values<{ path: string }>(methods))
    .map(({ path }) => path.slice(1));
  const rows = table('RPCs');
  assert.deepEqual(rows.map(nameIn).toSorted(), known.toSorted());
  for (const row of rows) {
    const isServed = services.find(`/${nameIn(row)}`) !== undefined;
    assert.equal(row[1], isServed ? 'works' : 'refused', nameIn(row));
  }
});

/** `works`, `no effect`, `refused`, or the values that are taken. */
function reading(name: string): { kind: string; values: string[] } {
  try {
    const { warnings } = readSettings([`--${name}=zzz`], {});
    return { kind: warnings.length > 0 ? 'no effect' : 'works', values: [] };
  } catch (error) {
    assert(error instanceof UsageError);
    const [, only] = /not supported yet; only (.*) is$/.exec(error.message) ?? [];
    if (only !== undefined) return { kind: 'only', values: only.split(' or ') };
    assert.match(error.message, /is a flag of etcd that is not supported yet$/, name);
    return { kind: 'refused', values: [] };
  }
}

test('every flag stands in the document, and is taken as it says', ours, () => {
  const rows = table('Flags');
  const named = new Set(rows.map((row) => nameIn(row).replace(/^--/, '')));
  for (const row of rows) {
    const { kind, values } = reading(nameIn(row).replace(/^--/, ''));
    const wanted =
      kind === 'only' ? `only ${values.map((value) => `\`${value}\``).join(', ')}` : kind;
    assert.equal(row[1], wanted, nameIn(row));
    for (const value of values) readSettings([`${nameIn(row)}=${value}`], {});
  }
  for (const [, name = ''] of helpText('mainstay').matchAll(/^ {2}--([a-z-]+) /gm)) {
    assert(named.has(name), `--${name} is in the help and not in the document`);
  }
});

test('the document leaves out no flag of etcd 3.5', {
  skip: ours.skip || needs('etcd').skip,
}, () => {
  const help = execFileSync(toolPath('etcd'), ['--help'], { encoding: 'utf8' });
  const named = new Set(table('Flags').map((row) => nameIn(row).replace(/^--/, '')));
  const theirs = [...help.matchAll(/^ +--([a-z0-9-]+)/gm)].map(([, name = '']) => name);
  assert(theirs.length > 80);
  const missing = theirs.filter(
    (name) => !named.has(name) && !named.has(name.replace(/^experimental-/, '')),
  );
  assert.deepEqual(missing, []);
});

test('every path and metric stands in the document, and is there as it says', ours, () =>
  withStore({ flags: ['--metrics=extensive'] }, async (store) => {
    const { clientUrl } = store.cluster.member(0);
    for (const row of table('HTTP')) {
      if (nameIn(row).endsWith('*')) continue;
      const { status } = await fetch(`${clientUrl}${nameIn(row)}`);
      assert.equal(String(status), row[1] === 'works' ? '200' : row[1], nameIn(row));
    }
    const page = await (await fetch(`${clientUrl}/metrics`)).text();
    const shown = [...page.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(
      ([, name, type]) => `${name} ${type}`,
    );
    // Those of certificates are there only where there is TLS: test/server/metrics sees to them.
    const rows = table('Metrics').filter((row) => !nameIn(row).startsWith('mainstay_tls_'));
    assert.deepEqual(
      rows.map((row) => `${nameIn(row)} ${row[1]}`),
      shown,
    );
  }),
);

const casesMax = 96;
const notApplicableMax = 6;

/** Numbers in the names of the tests of a file: `12 TestA, TestB`, `65 TestA, 63 TestB`. */
function numbersIn(file: string): number[] {
  const source = readFileSync(`test/acceptance/${file}`, 'utf8');
  const names = [
    ...source.matchAll(/\btest\(\s*[`'](\d\d [^`']*)/g),
    // Tables of cases, whose first cell is the name.
    ...source.matchAll(/^\s*\['(\d\d [^']*)',/gm),
  ];
  return names.flatMap(([, name = '']) =>
    [...name.matchAll(/(?:^|, )(\d\d) \S/g)].map(([, number]) => Number(number)),
  );
}

test('every acceptance case has a test, or a reason', () => {
  const files = readdirSync('test/acceptance').filter((name) => name.endsWith('.test.ts'));
  const tested = new Set(files.flatMap(numbersIn));
  const excused = table('Acceptance cases').map((row) => {
    assert((row[1] ?? '').length > 20, `${row[0]} without a reason`);
    return Number(nameIn(row));
  });
  assert(excused.length <= notApplicableMax, `${excused.length} cases are not applicable`);
  const all = Array.from({ length: casesMax }, (_, n) => n + 1);
  assert.deepEqual(
    all.filter((number) => !tested.has(number) && !excused.includes(number)),
    [],
    'neither tested nor excused',
  );
  assert.deepEqual(
    excused.filter((number) => tested.has(number)),
    [],
    'excused, but tested',
  );
  assert([...tested].every((number) => number >= 1 && number <= casesMax));
});
