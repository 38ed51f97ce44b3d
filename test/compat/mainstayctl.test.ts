import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CtlRun, runCommand } from '../support/ctl.ts';
import { Etcdctl } from '../support/etcdctl.ts';
import { TestCluster } from '../support/server-process.ts';
import { needs } from '../support/tools.ts';
import { testedProgram } from './store-under-test.ts';
import { mask, words } from './transcript.ts';

// What is written for etcdctl runs on mainstayctl: the same lines, one after the other, through the one on one store and
// through the other on a second one, print the same. Ids, addresses, times and sizes are masked.

interface Case {
  readonly line: string;
  readonly input?: string;
  /** It is refused: by both, with the store's own words. */
  readonly says?: RegExp;
}

const kv: readonly (Case | string)[] = [
  'put p/a 1',
  'put p/a 2 --prev-kv',
  'put p/a 3 -w json',
  'put --prev-kv=true p/a 4 -w json',
  'put p/a --ignore-value --prev-kv -w fields',
  "put p/empty ''",
  'put p/- -',
  'put -- p/minus -1',
  { line: 'put p/stdin', input: 'from stdin\n' },
  { line: 'put p/odd', input: '<&>"\\\t\u0001\u00e4\u{1f600}' },
  { line: 'put p/blank', input: '\u0085\u00a0\u2003\u200b\ufffd' },
  'get p/ --prefix',
  'get p/ --prefix -w json',
  'get p/ --prefix -w fields',
  'get --prefix p/ --hex',
  'get p/a p/b',
  'get p/b --from-key -w json',
  'get p/ --prefix --keys-only',
  'get p/ --prefix --keys-only -w json',
  'get p/ --prefix --count-only -w fields',
  'get p/ --prefix --print-value-only',
  'get p/ --prefix --limit=2 -w json',
  'get p/ --prefix --sort-by=MODIFY --order=descend -w json',
  'get p/ --prefix --sort-by VALUE --order ASCEND',
  'get p/a --rev 3',
  'get p/a --consistency=s',
  'get p/none',
  'get p/none -w json',
  "get '' --prefix --keys-only",
  { line: 'get p/a --rev 1000', says: /required revision is a future revision/ },
  { line: "get ''", says: /key is not provided/ },
  { line: "put '' x", says: /key is not provided/ },
  { line: 'put p/a x --lease=1234abcd', says: /requested lease not found/ },
  'del p/a',
  'del p/a -w json',
  'del p/empty --prev-kv',
  'del p/- p/c --prev-kv -w json',
  'del p/ --prefix -w fields',
];

const txn: readonly (Case | string)[] = [
  'put t/a 1',
  ...[
    'value("t/a") = "1"\n\nput t/b yes\nget t/a\n\nput t/b no\n\n',
    'value("t/a") = "2"\n\nput t/b yes\n\nput t/b no\ndel t/a --prev-kv\n\n',
    'create("t/none") = "0"\nver("t/b") > "0"\n\nget t/ --prefix\n\n\n',
    'm("t/b") < "1"\n\n\nget t/b\nput "t/quoted \\"x\\"" \'a b\'\n\n',
    'value("t/\\xc3\\xa4") = "\\303\\244"\n\nget t/a\n\nput "t/\\u00e4" "\\xc3\\xa4"\n\n',
    'val("t/b") != "x"\n\ndel t/b --prev-kv\nput t/c 1 --prev-kv\n\n\n',
  ].flatMap((input): Case[] => [
    { line: 'txn', input },
    { line: 'txn -w json', input },
    { line: 'txn -w fields', input },
    { line: 'txn --interactive', input },
  ]),
  'get t/ --prefix',
  { line: 'txn', input: '\nput t/x 1\nput t/x 2\n\n\n', says: /duplicate key given/ },
  'compaction 3',
  'compaction 4 --physical',
  { line: 'compaction 4', says: /has been compacted/ },
  { line: 'get t/a --rev 2', says: /has been compacted/ },
];

const leases: readonly (Case | string)[] = [
  'lease list',
  'lease list -w json',
  'lease timetolive 1',
  'lease timetolive 1 -w json',
  'lease grant 600',
  'lease grant 600 -w json',
  'lease grant 600 -w fields',
  { line: 'lease revoke 1', says: /requested lease not found/ },
];

/** With a lease of each store's own in the place of ID. */
const oneLease: readonly (Case | string)[] = [
  'put l/a 1 --lease=ID',
  'put --lease ID l/b 2 -w json',
  'lease timetolive ID',
  'lease timetolive ID --keys',
  'lease timetolive ID --keys -w fields',
  'lease keep-alive --once ID',
  'lease keep-alive --once ID -w json',
  'lease revoke ID',
  'lease timetolive ID --keys',
  'get l/ --prefix',
];

const cluster: readonly (Case | string)[] = [
  'member list',
  'member list -w json',
  'member list -w fields',
  'endpoint status -w json',
  'endpoint status --cluster -w json',
  'endpoint health',
  'endpoint hashkv',
  'endpoint hashkv -w json',
  'endpoint hashkv --rev 4 -w fields',
  'alarm list',
  'alarm list -w json',
  'alarm disarm -w json',
  'defrag',
  { line: 'move-leader 1234', says: /bad leader transferee/ },
  { line: 'member remove 1234', says: /member not found/ },
  { line: 'member promote 1234', says: /member not found/ },
];

const auth: readonly (Case | string)[] = [
  'auth status',
  'auth status -w json',
  { line: 'auth enable', says: /root user does not exist/ },
  'user add root:secret',
  'user add ann --new-user-password secret -w json',
  'user add robot --no-password -w fields',
  { line: 'user add ben --interactive=false', input: 'pass\n' },
  { line: 'user add ann:x', says: /user name already exists/ },
  { line: 'user passwd ben --interactive=false', input: 'pass2\n' },
  'user list',
  'user list -w json',
  'role add reader',
  'role add writer -w json',
  'role grant-permission reader read a',
  'role grant-permission reader read b --prefix',
  'role grant-permission reader readwrite c d',
  'role grant-permission reader write e --from-key -w json',
  "role grant-permission writer readwrite '' --prefix",
  { line: 'role grant-permission none read a', says: /role name not found/ },
  'role get reader',
  'role get reader -w json',
  'role get reader -w fields',
  'role get writer',
  'role list',
  'role list -w fields',
  'user grant-role ann reader',
  'user get ann',
  'user get ann -w json',
  'user get ann --detail',
  'role revoke-permission reader a',
  'role revoke-permission reader b --prefix',
  'role revoke-permission reader c d',
  'role revoke-permission reader e --from-key',
  'user revoke-role ann reader',
  { line: 'user revoke-role ann reader', says: /role is not granted/ },
  'role delete reader',
  'auth enable',
  { line: 'user list', says: /user name is empty/ },
  { line: 'user list --user root:wrong', says: /authentication failed/ },
  'user list --user root:secret',
  'user list --user root --password secret',
  { line: 'put k v --user ann:secret', says: /permission denied/ },
  'user delete ann --user root:secret',
  'auth disable --user root:secret',
];

test('lines for etcdctl print the same through mainstayctl', {
  ...needs('etcdctl'),
  timeout: 300_000,
}, async () => {
  const program = testedProgram();
  const [first, second] = await Promise.all([
    TestCluster.start({ program }),
    TestCluster.start({ program }),
  ]);
  try {
    for (const each of [kv, txn, leases, cluster, auth].flat()) await compare(first, second, each);
    const ids = await Promise.all([first, second].map(newLease));
    for (const each of oneLease) await compare(first, second, each, ids);
  } finally {
    await Promise.all([first.stop(), second.stop()]);
  }
});

/** What etcdctl 3.5 does not know, and so leaves out. */
const fieldsOf36 =
  /,"(storageVersion":"[^"]*"|dbSizeQuota":\d+|downgradeInfo":\{\}|hash_revision":\d+)/g;

async function newLease(store: TestCluster): Promise<string> {
  const { out } = await mainstayctl(store, 'lease grant 600');
  return /lease ([0-9a-f]{16}) granted/.exec(out)?.[1] ?? assert.fail(out);
}

async function compare(
  first: TestCluster,
  second: TestCluster,
  of: Case | string,
  ids: readonly string[] = [],
): Promise<void> {
  const { line, input = '', says } = typeof of === 'string' ? { line: of } : of;
  const [theirs, ours] = await Promise.all([
    new Etcdctl(first).run(words(line.replace('ID', ids[0] ?? 'ID')), { input }),
    mainstayctl(second, line.replace('ID', ids[1] ?? 'ID'), input),
  ]);
  assert.equal(ours.code === 0, theirs.code === 0, `${line}\n${theirs.stderr}\n${ours.err}`);
  if (says === undefined) assert.equal(ours.code, 0, `${line}: ${ours.err}`);
  else for (const text of [theirs.stderr, ours.err]) assert.match(text, says, line);
  const shown = (text: string, store: TestCluster) =>
    mask(text, store)
      .replaceAll(fieldsOf36, '')
      .replaceAll(/"took":"[^"]*"|"hash":\d+|"Hash" : \d+|>, \d+$|\b\d{17,20}\b/gm, '...');
  assert.equal(shown(ours.out, second), shown(theirs.stdout, first), line);
}

function mainstayctl(store: TestCluster, line: string, input = ''): Promise<CtlRun> {
  const ETCDCTL_ENDPOINTS = store.endpoints.join(',');
  return runCommand(words(line), { env: { ETCDCTL_ENDPOINTS }, input });
}
