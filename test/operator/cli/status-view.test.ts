import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unseen } from '../../../operator/api/schema.ts';
import type { StoreCluster } from '../../../operator/api/types.ts';
import { membersView, statusView } from '../../../operator/cli/status-view.ts';
import { columnsMax, painter } from '../../../operator/cli/terminal.ts';

const since = '2026-01-01T00:00:00Z';
const nowMs = Date.parse(since) + 150_000;
const why = 'Not healthy: the container of demo-3 does not run (CrashLoopBackOff, exit status 78).';

function condition(type: string, status: string, [reason, message]: readonly [string, string]) {
  return { type, status, reason, message, lastTransitionTime: since };
}

const member = { version: '0.2.0', revision: 1234, databaseSize: '12Mi', healthy: true };
const sick = {
  metadata: { namespace: 'shop', name: 'demo', generation: 2 },
  spec: { replicas: 3 },
  status: {
    observedGeneration: 2,
    ready: '2/3',
    version: '0.2.0',
    clusterID: '8e9e05c5',
    leader: 'demo-2',
    members: [
      { ...member, name: 'demo-1', id: 'a', role: 'follower', node: 'n1' },
      { ...member, name: 'demo-2', id: 'b', role: 'leader', node: 'n2', outdated: true },
      { name: 'demo-3', id: 'c', role: 'follower', version: '0.2.0', healthy: false },
    ],
    plan: {
      decision: 'Wait',
      reason: 'MemberNotHealthy',
      message: why,
      since,
      deadline: '2026-01-01T00:10:00Z',
    },
    conditions: [
      condition('Available', 'True', ['Serving', 'The store has a leader and a quorum.']),
      condition('Degraded', 'True', ['MemberNotHealthy', why]),
      condition('Ready', 'False', ['MemberNotHealthy', why]),
    ],
  },
} as unknown as StoreCluster;

function shown(cluster: StoreCluster, atMs = nowMs): string[] {
  return statusView(cluster, atMs, painter(false));
}

test('members, plan and conditions, in 80 columns', () => {
  assert.deepEqual(shown(sick), [
    'shop/demo  2/3 ready  0.2.0',
    'for clients: http://demo.shop.svc:2379',
    'id 8e9e05c5',
    'quorum: 2 of 3 voters, 2 healthy: none may fail',
    '',
    'MEMBER  ROLE      VERSION      REVISION  DATABASE  HEALTH       NODE',
    'demo-1  follower  0.2.0        1234      12Mi      healthy      n1',
    'demo-2  leader    0.2.0 (old)  1234      12Mi      healthy      n2',
    'demo-3  follower  0.2.0        -         -         not healthy  -',
    '',
    'PLAN  waits: MemberNotHealthy, for 2 min; counts as stuck in 7 min',
    '      Not healthy: the container of demo-3 does not run (CrashLoopBackOff, exit',
    '      status 78).',
    '',
    'CONDITION  STATUS  FOR    REASON',
    'Available  True    2 min  Serving',
    '    The store has a leader and a quorum.',
    'Degraded   True    2 min  MemberNotHealthy',
    'Ready      False   2 min  MemberNotHealthy',
  ]);
});

test('a wait that is overdue, one that only a person ends, an edit that was not seen', () => {
  const status = sick.status ?? assert.fail();
  assert.match(shown(sick, nowMs + 600_000).join('\n'), /counts as stuck since 2 min ago/);
  const plan = { decision: 'Wait', reason: 'Paused', message: 'x', since } as const;
  const metadata = { ...sick.metadata, generation: 3 };
  const text = shown({ ...sick, metadata, status: { ...status, plan } }).join('\n');
  assert.match(text, /waits: Paused, for 2 min; a person has to act/);
  assert.match(text, /the last edit was not looked at yet/);
});

test('a store that follows another one', () => {
  const status = sick.status ?? assert.fail();
  const mirrorFrom = { endpoints: ['https://old:2379'] };
  const spec = { ...sick.spec, bootstrap: { mirrorFrom } };
  const numbers = { since, revision: 40, sourceRevision: 50, lagSeconds: 3 };
  const text = (mirror: object) =>
    shown({ ...sick, spec, status: { ...status, mirror } } as StoreCluster).join(' ');
  assert.match(
    text({ phase: 'Following', ...numbers, message: 'Waiting for the source.' }),
    /follows https:\/\/old:2379: revision 40 of 50, 3 s behind; Waiting for the source\./,
  );
  assert.match(text({ phase: 'Failed', since, message: 'Why.' }), /cannot follow \S+; Why\./);
  assert.match(text({ phase: 'Done', ...numbers }), /cut over from \S+, at revision 40/);
});

test('one that no operator has seen', () => {
  const { status: _status, ...fresh } = sick;
  for (const status of [undefined, {}, unseen]) {
    const text = shown({ ...fresh, status } as StoreCluster).join('\n');
    assert.match(text, /No operator has looked at it yet/);
  }
});

test('long names are cut, and no line is longer than the terminal', () => {
  const name = 'a-store-with-a-name-of-forty-letters-a-b';
  const node = 'ip-10-0-31-157.eu-central-1.compute.internal';
  const status = sick.status ?? assert.fail();
  const members = (status.members ?? []).map((each, at) => ({
    ...each,
    name: `${name}-${at + 1}`,
    node,
  }));
  const lines = membersView({ ...sick, status: { ...status, members } }, painter(false));
  for (const line of lines) assert.ok(line.length <= columnsMax, line);
  assert.ok(new Set(lines.map((line) => line.split(' ')[0])).size === 4, 'they can be told apart');
});

test('colours stand around cells and move nothing', () => {
  const colour = new RegExp(`${'\u001b'}\\[\\d+m`, 'g');
  const plain = (text: string) => text.replaceAll(colour, '');
  const coloured = statusView(sick, nowMs, painter(true));
  assert.ok(coloured.some((line) => line.includes('\u001b[31mnot healthy\u001b[0m')));
  assert.deepEqual(coloured.map(plain), shown(sick));
});
