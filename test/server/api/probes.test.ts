import assert from 'node:assert/strict';
import { test } from 'node:test';
import { probe } from '../../../server/api/probes.ts';
import { EtcdError } from '../../../server/base/errors.ts';
import { AlarmType } from '../../../server/proto/gen/rpc.ts';
import { FakeMember } from './fake-member.ts';

async function get(member: FakeMember, url: string, method = 'GET'): Promise<string> {
  const { pathname, searchParams } = new URL(url, 'http://x');
  const answer = await probe(member, { method, path: pathname, query: searchParams });
  return answer === undefined ? 'none' : `${answer.status} ${answer.body}`;
}

function sick(change: (member: FakeMember) => void): FakeMember {
  const member = new FakeMember();
  change(member);
  return member;
}

const well = new FakeMember();
const leaderless = sick((member) => {
  member.raft.leader = 0n;
  member.read = () => Promise.reject(new EtcdError('Timeout'));
});
const full = sick((member) => {
  member.raised = [{ memberID: 1n, alarm: AlarmType.NOSPACE }];
});
const corrupt = sick((member) => {
  member.raised = [{ memberID: 1n, alarm: AlarmType.CORRUPT }];
});
const learner = sick((member) => {
  member.raft.isLearner = true;
});
const observer = sick((member) => {
  Object.assign(member.raft, { isLearner: true, isObserver: true });
  member.read = () => Promise.reject(new EtcdError('Timeout'));
});
const oldObserver = sick((member) => {
  Object.assign(member.raft, { isLearner: true, isObserver: true });
  member.stale = true;
});
const hanging = sick((member) => {
  member.read = () => Promise.reject(new EtcdError('Timeout'));
});

/** Bodies as etcd 3.5.30 sends them. */
const cases: readonly (readonly [FakeMember, string, string])[] = [
  [well, '/health', '200 {"health":"true","reason":""}'],
  [leaderless, '/health', '503 {"health":"false","reason":"RAFT NO LEADER"}\n'],
  [leaderless, '/health?serializable=true', '200 {"health":"true","reason":""}'],
  [full, '/health', '503 {"health":"false","reason":"ALARM NOSPACE"}\n'],
  [full, '/health?exclude=NOSPACE', '200 {"health":"true","reason":""}'],
  [corrupt, '/health?exclude=NOSPACE', '503 {"health":"false","reason":"ALARM CORRUPT"}\n'],
  [
    hanging,
    '/health',
    '503 {"health":"false","reason":"RANGE ERROR:etcdserver: request timed out"}\n',
  ],
  [well, '/livez', '200 ok\n'],
  [leaderless, '/livez', '200 ok\n'],
  [well, '/livez?verbose', '200 [+]serializable_read ok\nok\n'],
  [well, '/readyz', '200 ok\n'],
  [
    well,
    '/readyz?verbose',
    '200 [+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\n[+]data_corruption ok\nok\n',
  ],
  [full, '/readyz', '200 ok\n'],
  [
    leaderless,
    '/readyz',
    '503 [+]serializable_read ok\n[-]linearizable_read failed: range error: etcdserver: request timed out\n' +
      '[+]non_learner ok\n[+]data_corruption ok\n\n',
  ],
  [leaderless, '/readyz?exclude=linearizable_read', '200 ok\n'],
  [learner, '/readyz/non_learner', '503 [-]non_learner failed: not supported for learner\n\n'],
  [
    corrupt,
    '/readyz/data_corruption',
    '503 [-]data_corruption failed: alarm activated: CORRUPT\n\n',
  ],
  [well, '/readyz/linearizable_read?verbose', '200 [+]linearizable_read ok\nok\n'],
  [
    observer,
    '/readyz?verbose',
    '200 [+]serializable_read ok\n[+]observer_staleness ok\n[+]data_corruption ok\nok\n',
  ],
  [observer, '/readyz/non_learner', '503 [-]non_learner failed: not supported for learner\n\n'],
  [
    oldObserver,
    '/readyz',
    '503 [+]serializable_read ok\n[-]observer_staleness failed: etcdserver: this observer may be older than' +
      ' --observer-max-staleness allows: ask another member\n[+]data_corruption ok\n\n',
  ],
  [oldObserver, '/livez', '200 ok\n'],
  [well, '/readyz/observer_staleness', '200 ok\n'],
  [well, '/livez/linearizable_read', 'none'],
  [well, '/readyz/x', 'none'],
  [well, '/metricsx', 'none'],
];

for (const [member, url, expected] of cases) {
  test(`GET ${url}: ${expected.slice(0, 3)}`, async () => {
    assert.equal(await get(member, url), expected);
  });
}

test('only GET', async () => {
  assert.equal(await get(well, '/health', 'POST'), '405 Method Not Allowed\n');
  assert.equal(await get(well, '/nothing', 'POST'), 'none');
});

test('the version is etcd’s, and Mainstay’s own beside it', async () => {
  const body = (await get(well, '/version')).replace('200 ', '');
  const { etcdserver, etcdcluster, mainstay } = JSON.parse(body) as Record<string, string>;
  assert.match(`${etcdserver} ${etcdcluster} ${mainstay}`, /^3\.6\.\d+ 3\.6\.0 \d+\.\d+\.\d+$/);
});
