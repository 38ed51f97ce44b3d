import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MemberProcess } from '../support/server-process.ts';
import { needs } from '../support/tools.ts';
import { Pair, type Transcript } from './transcript.ts';

// etcdctl drives this store unchanged. Every scenario runs on this store and on etcd, and what etcdctl prints must be
// the same. The scenarios of one pair share its stores, so each has keys of its own.

const options = { ...needs('etcd', 'etcdctl'), timeout: 5 * 60_000 };

test('etcdctl on one member', options, (context) =>
  Pair.with(1, async (pair) => {
    await pair.test(context, 'put', async (ctl) => {
      await ctl.ok('put p/a 1');
      await ctl.ok('put p/a 2 --prev-kv');
      await ctl.ok('put p/a --ignore-lease 3 -w json');
      await ctl.ok('put p/a 4 --prev-kv -w json');
      await ctl.ok('put p/a --ignore-value --prev-kv -w fields');
      await ctl.ok("put p/empty ''");
      await ctl.ok('put p/stdin', { input: 'from stdin\n' });
      await ctl.ok('get p/ --prefix');
      await ctl.refused("put '' 1");
      await ctl.refused('put p/none --ignore-value');
      await ctl.refused('put p/none x --ignore-lease');
      await ctl.refused('put p/a x --lease=1234abcd');
    });

    await pair.test(context, 'get', async (ctl) => {
      const keys = ['g/a', 'g/b', 'g/ba', 'g/c', 'g/d'];
      for (const [i, key] of keys.entries()) await ctl.ok(`put ${key} ${9 - i}`);
      const { revision } = JSON.parse(await ctl.ok('put g/b again -w json')).header;
      for (const command of [
        'get g/a',
        'get g/none',
        'get g/a g/c',
        'get g/c g/a',
        'get g/ --prefix',
        'get g/b --from-key',
        'get g/ --prefix -w json',
        'get g/ --prefix -w fields',
        'get g/a --hex',
        'get g/ --prefix --keys-only',
        'get g/ --prefix --keys-only -w json',
        'get g/ --prefix --count-only -w fields',
        'get g/ --prefix --print-value-only',
        'get g/ --prefix --limit 2 -w json',
        'get g/ --prefix --limit 5 -w json',
        'get g/ --prefix --consistency=s',
        `get g/ --prefix --rev ${revision - 1}`,
        `get g/ --prefix --rev ${revision - 3} -w json`,
      ]) {
        await ctl.ok(command);
      }
      await ctl.refused(`get g/a --rev ${revision + 100}`);
      await ctl.refused("get ''");
    });

    await pair.test(context, 'get sorted', async (ctl) => {
      for (const [key, value] of ['b1', 'a3', 'c2', 'a1'].entries()) {
        await ctl.ok(`put s/${value} ${key}`);
      }
      await ctl.ok('put s/a1 2');
      for (const target of ['CREATE', 'KEY', 'MODIFY', 'VALUE', 'VERSION']) {
        for (const order of ['ASCEND', 'DESCEND']) {
          await ctl.ok(`get s/ --prefix --sort-by=${target} --order=${order} --limit 3 -w json`);
        }
      }
    });

    await pair.test(context, 'del', async (ctl) => {
      for (const key of ['a', 'b', 'c', 'd', 'e', 'f']) await ctl.ok(`put d/${key} ${key}`);
      await ctl.ok('del d/a');
      await ctl.ok('del d/a');
      await ctl.ok('del d/b --prev-kv');
      await ctl.ok('del d/c d/e --prev-kv -w json');
      await ctl.ok('del d/ --prefix');
      await ctl.ok('get d/ --prefix');
      await ctl.ok('put zz/a 1');
      await ctl.ok('del zz/ --from-key');
      await ctl.refused("del ''");
    });

    await pair.test(context, 'txn', async (ctl) => {
      const txn = async (text: string): Promise<void> => {
        await ctl.ok('txn', { input: text });
        await ctl.ok('txn -w json', { input: text });
      };
      await ctl.ok('put t/a 1');
      await txn('value("t/a") = "1"\n\nput t/b yes\nget t/a\n\nput t/b no\n\n');
      await txn('value("t/a") = "2"\n\nput t/b yes\n\nput t/b no\ndel t/a\n\n');
      await txn('create("t/none") = "0"\nversion("t/b") > "0"\n\nget t/ --prefix\n\n\n');
      await txn('mod("t/b") < "1"\n\n\nget t/b\n\n');
      await txn('value("t/b") = "yes"\n\ndel t/b --prev-kv\nput t/c 1\n\n\n');
      await ctl.refused('txn', { input: '\nput t/x 1\nput t/x 2\n\n\n' });
      await ctl.refused('txn', { input: '\nput t/x 1\nget t/x --rev 100000\n\n\n' });
      await ctl.ok('get t/ --prefix');
    });

    await pair.test(context, 'watch', async (ctl) => {
      const { revision } = JSON.parse(await ctl.ok('put w/a 1 -w json')).header;
      await ctl.ok('put w/a 2');
      await ctl.ok('put w/b 3');
      await ctl.ok('del w/a');
      await watched(ctl, `watch w/ --prefix --rev ${revision}`, 3 + 3 + 3 + 3);
      await watched(ctl, `watch w/ --prefix --rev ${revision} --prev-kv`, 3 + 5 + 3 + 5);
      await watched(ctl, `watch w/b --rev ${revision}`, 3);
      await watched(ctl, `watch w/a w/b --rev ${revision + 1}`, 3 + 3);
      await watched(ctl, `watch w/b --from-key --rev ${revision}`, 3);
      await watched(ctl, `watch w/ --prefix --rev ${revision} -w json`, 1);
    });

    await pair.test(context, 'watch from now on', async (ctl) => {
      const watch = ctl.start('watch n/a');
      // Nothing says when the watcher is there: it is, when it has seen a key that is written again and again.
      let isSeen = false;
      const seen = watch.lines(3).then(() => {
        isSeen = true;
      });
      while (!isSeen) {
        await ctl.quietly('put n/a same');
        await sleep(50);
      }
      await seen;
      watch.interrupt();
      ctl.note((await watch.lines(3)).join('\n'));
    });
    // The number of writes above depends on time: one more test would start from two different revisions.
  }),
);

test('etcdctl and leases', options, (context) =>
  Pair.with(1, async (pair) => {
    await pair.test(context, 'lease', async (ctl) => {
      await ctl.ok('lease list');
      const id = leaseIdOf(await ctl.ok('lease grant 600'));
      await ctl.ok(`put l/a 1 --lease=${id}`);
      await ctl.ok(`put l/b 2 --lease=${id}`);
      await ctl.ok(`lease timetolive ${id}`);
      await ctl.ok(`lease timetolive ${id} --keys`);
      await ctl.ok('lease list');
      await ctl.ok(`lease keep-alive --once ${id}`);
      const keepAlive = ctl.start(`lease keep-alive ${id}`);
      ctl.note((await keepAlive.lines(1)).join('\n'));
      keepAlive.interrupt();
      await ctl.ok(`lease revoke ${id}`);
      await ctl.ok('get l/ --prefix -w json');
      await ctl.ok(`lease timetolive ${id}`);
      await ctl.refused(`lease keep-alive --once ${id}`);
      await ctl.refused(`lease revoke ${id}`);
      await ctl.refused('lease grant 9000000001');
      await ctl.ok('lease grant 1');
    });

    await pair.test(context, 'a lease that expires', async (ctl) => {
      const id = leaseIdOf(await ctl.ok('lease grant 2'));
      const { revision } = JSON.parse(await ctl.ok(`put x/b 1 --lease=${id} -w json`)).header;
      await ctl.ok(`put x/a 2 --lease=${id}`);
      await watched(ctl, `watch x/ --prefix --rev ${revision} --prev-kv`, 3 + 3 + 5 + 5);
      await ctl.ok(`lease timetolive ${id}`);
      await ctl.ok('get x/ --prefix -w json');
    });

    await pair.test(context, 'compaction', async (ctl) => {
      await ctl.ok('put c/a 1');
      const { revision } = JSON.parse(await ctl.ok('put c/a 2 -w json')).header;
      await ctl.ok('put c/a 3');
      await ctl.ok(`compaction ${revision}`);
      await ctl.ok(`get c/a --rev ${revision}`);
      await ctl.refused(`get c/a --rev ${revision - 1}`);
      await ctl.refused(`compaction ${revision}`);
      await ctl.refused('compaction 100000');
      await ctl.ok(`compaction ${revision + 1} --physical`);
      await ctl.refused(`watch c/a --rev ${revision}`);
      await watched(ctl, `watch c/a --rev ${revision + 1}`, 3);
    });

    await pair.test(context, 'lock', async (ctl) => {
      await ctl.ok('lock one echo held');
      const first = ctl.start('lock two --ttl 10');
      ctl.note((await first.lines(1)).join('\n'));
      const second = ctl.start('lock two --ttl 10 echo held next');
      await sleep(300);
      assert.equal(second.stdout, '', 'the lock is held by another');
      first.interrupt();
      await first.finished();
      ctl.note((await second.finished()).stdout);
      await ctl.ok('get two --prefix');
    });

    await pair.test(context, 'elect', async (ctl) => {
      const first = ctl.start('elect three first');
      ctl.note((await first.lines(2)).join('\n'));
      const observer = ctl.start('elect --listen three');
      ctl.note((await observer.lines(2)).join('\n'));
      const second = ctl.start('elect three second');
      await sleep(300);
      assert.equal(second.stdout, '', 'another is elected');
      first.interrupt();
      await first.finished();
      ctl.note((await second.lines(2)).join('\n'));
      ctl.note((await observer.lines(4)).join('\n'));
      observer.interrupt();
      second.interrupt();
      await Promise.all([observer.finished(), second.finished()]);
    });
  }),
);

test('etcdctl and membership', options, (context) =>
  Pair.with(1, async (pair) => {
    await pair.test(context, 'endpoint status and health', async (ctl) => {
      await ctl.ok('endpoint health');
      await ctl.ok('endpoint health --cluster');
      await ctl.ok('endpoint health -w json');
      await ctl.ok('endpoint status -w json');
      await ctl.ok('alarm list');
      const fields = (await ctl.quietly('endpoint status')).trim().split(', ');
      assert.match(fields[2] ?? '', /^3\.\d+\.\d+$/, 'the version');
      assert.match(fields[3] ?? '', /^\d+ [kM]?B$/, 'the size of the database');
      ctl.note([fields[0], fields[1], fields[4], fields[5], fields[9]].join(', '));
    });

    await pair.test(context, 'defrag and alarms', async (ctl) => {
      await ctl.ok('defrag');
      await ctl.ok('defrag --cluster');
      await ctl.ok('alarm disarm');
      await ctl.ok('alarm list -w json');
      await ctl.ok('compaction 1 --physical');
      await ctl.refused('compaction 1');
    });

    await pair.test(context, 'member update', async (ctl) => {
      const member = ctl.cluster.member(0);
      const id = await memberId(ctl, member);
      const other = (await ctl.cluster.newMember()).peerUrl;
      await ctl.ok(`member update ${id} --peer-urls=${other}`);
      await ctl.ok('member list');
      await ctl.ok(`member update ${id} --peer-urls=${member.peerUrl}`);
      await ctl.refused(`member update 1234 --peer-urls=${other}`);
      await ctl.refused(`member update ${id}`);
    });

    await pair.test(
      context,
      'member add, promote and remove, before the member starts',
      async (ctl) => {
        await ctl.ok('member list');
        await ctl.ok('member list -w json');
        const joining = await ctl.cluster.newMember();
        ctl.note(sortedMembers(await ctl.quietly(addLearner(joining))));
        ctl.note(sortedMembers(await ctl.quietly('member list')));
        const id = await memberId(ctl, joining);
        await ctl.refused(`member promote ${id}`);
        await ctl.refused(`member add again --peer-urls=${ctl.cluster.member(0).peerUrl}`);
        await ctl.refused('member add bad --peer-urls=nothing');
        await ctl.refused('member promote 1234');
        await ctl.refused('member remove 1234');
        await ctl.ok(`member remove ${id}`);
        await ctl.refused(`member remove ${id}`);
        await ctl.ok('member list');
      },
    );

    await pair.test(context, 'a learner joins, is promoted and removed', async (ctl) => {
      await ctl.ok('put j/a 1');
      const joining = await ctl.cluster.newMember();
      // Above, one has been made that was never started.
      const members = [ctl.cluster.member(0), joining];
      await ctl.quietly(addLearner(joining));
      joining.spawn(ctl.cluster.flagsFor('existing', members));
      await joining.ready();
      const endpoints = [joining.clientUrl];
      await ctl.ok('get j/a --consistency=s', { endpoints });
      await ctl.refused('get j/a', { endpoints });
      await ctl.refused('put j/a 2', { endpoints });
      const id = await memberId(ctl, joining);
      await ctl.refused(`move-leader ${id}`);
      await eventually(() => ctl.quietly(`member promote ${id}`));
      ctl.note(sortedMembers(await ctl.quietly('member list')));
      await eventually(() => ctl.quietly('put j/a 3', { endpoints }));
      await ctl.ok('get j/a');
      // Refused as long as the new member was connected for less than five seconds.
      await eventually(() => ctl.quietly(`member remove ${id}`));
      await joining.exited;
      await ctl.ok('member list');
      await ctl.ok('put j/a 4');
    });
  }),
);

test('etcdctl on three members', options, (context) =>
  Pair.with(3, async (pair) => {
    await pair.test(context, 'member list, endpoint status and health', async (ctl) => {
      ctl.note(sortedMembers(await ctl.quietly('member list')));
      const one = { endpoints: [ctl.cluster.member(1).clientUrl] };
      ctl.note(sortedMembers(await ctl.quietly('endpoint health --cluster', one)));
      const statuses = JSON.parse(await ctl.quietly('endpoint status --cluster -w json', one));
      const leaders = new Set(statuses.map(({ Status }: EndpointStatus) => Status.leader));
      ctl.note(`${statuses.length} members, ${leaders.size} leader`);
    });

    await pair.test(context, 'put on each member, get on the next', async (ctl) => {
      for (const [i, { clientUrl }] of ctl.cluster.members.entries()) {
        const next = ctl.cluster.member((i + 1) % 3).clientUrl;
        await ctl.ok(`put r/a ${i}`, { endpoints: [clientUrl] });
        await ctl.ok('get r/a -w json', { endpoints: [next] });
      }
    });

    await pair.test(context, 'move-leader', async (ctl) => {
      const before: EndpointStatus[] = JSON.parse(await ctl.quietly('endpoint status -w json'));
      const leader = before[0]?.Status.leader;
      const follower = before.find(({ Status }) => Status.header.member_id !== leader);
      assert.ok(follower !== undefined);
      const target = await memberIdAt(ctl, follower.Endpoint);
      const refusal = await ctl.refusedQuietly(`move-leader ${target}`, [follower.Endpoint]);
      assert.match(refusal, /no leader endpoint given at/);
      await ctl.refused('move-leader 1234');
      await ctl.ok(`move-leader ${target}`);
      const after: EndpointStatus[] = JSON.parse(await ctl.quietly('endpoint status -w json'));
      const isMoved = after.every(
        ({ Status }) => Status.leader === follower.Status.header.member_id,
      );
      ctl.note(`moved: ${isMoved}`);
    });
  }),
);

/** Numbers are rounded by JSON.parse: good enough to tell members apart, not to name one. */
interface EndpointStatus {
  readonly Endpoint: string;
  readonly Status: { readonly leader: number; readonly header: { readonly member_id: number } };
}

/** A watch prints `lines` lines; the transcript has them. */
async function watched(ctl: Transcript, command: string, lines: number): Promise<void> {
  const watch = ctl.start(command);
  ctl.note((await watch.lines(lines)).join('\n'));
  watch.interrupt();
  await watch.finished();
}

function leaseIdOf(output: string): string {
  const id = /^lease ([0-9a-f]+) granted/.exec(output)?.[1];
  assert.ok(id !== undefined, output);
  return id;
}

function addLearner({ name, peerUrl }: MemberProcess): string {
  return `member add ${name} --learner --peer-urls=${peerUrl}`;
}

async function memberId(ctl: Transcript, { peerUrl }: MemberProcess): Promise<string> {
  return memberIdBy(ctl, peerUrl);
}

async function memberIdAt(ctl: Transcript, clientUrl: string): Promise<string> {
  return memberIdBy(ctl, clientUrl);
}

async function memberIdBy(ctl: Transcript, url: string): Promise<string> {
  const line = (await ctl.quietly('member list')).split('\n').find((one) => one.includes(url));
  const id = line?.split(',')[0];
  assert.ok(id !== undefined, `no member at ${url}`);
  return id;
}

/** Members come by id, which depends on their ports. */
function sortedMembers(output: string): string {
  return output
    .replace(/(?<=ETCD_INITIAL_CLUSTER=")[^"]*/, (list) => list.split(',').toSorted().join(','))
    .split('\n')
    .map((line) => line.replace(/^[0-9a-f]+(?=,)/, '').replace(/http:\S+ is/, 'it is'))
    .toSorted()
    .join('\n');
}

async function eventually(attempt: () => Promise<unknown>): Promise<void> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(200);
    }
  }
}
