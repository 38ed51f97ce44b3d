import assert from 'node:assert/strict';
import { test } from 'node:test';
import { needs } from '../support/tools.ts';
import { Pair, type Transcript } from './transcript.ts';

// etcdctl and users: as in etcdctl.test.ts, what it prints must be the same on both stores. The scenarios follow each
// other: users and roles of one are there in the next.

const options = { ...needs('etcd', 'etcdctl'), timeout: 5 * 60_000 };
const cheap = ['--bcrypt-cost', '4'];

/** Root's way in. */
const root = '--user root:pw';

test('etcdctl and users, roles and permissions', options, (context) =>
  Pair.with(1, (pair) => ruled(context, pair), cheap),
);

async function ruled(context: Parameters<Pair['test']>[0], pair: Pair): Promise<void> {
  await pair.test(context, 'before authentication is on', async (ctl) => {
    await ctl.ok('auth status');
    await ctl.ok('auth status -w json');
    await ctl.refused('auth enable');
    await ctl.ok('user add u:p');
    await ctl.refused('user add u:p');
    await ctl.refused('user add :p');
    await ctl.ok('user add typed --interactive=false', { input: 'typed-in\n' });
    await ctl.ok('user add cn --no-password');
    await ctl.ok('user list');
    await ctl.ok('user get u');
    await ctl.refused('user get none');
    await ctl.ok('role add r');
    await ctl.refused('role add r');
    await ctl.ok('role list');
    await ctl.refused('role get none');
    await ctl.refused('user grant-role none r');
    await ctl.refused('user grant-role u none');
    await ctl.ok('user grant-role u r');
    await ctl.ok('user grant-role u r');
    await ctl.refused('user revoke-role u none');
    await ctl.ok('put k/1 1 --user u:wrong');
    await ctl.ok('auth status');
  });

  await pair.test(context, 'permissions', async (ctl) => {
    for (const range of ['read a', 'write b c', 'readwrite k/ --prefix', 'read z --from-key']) {
      await ctl.ok(`role grant-permission r ${range}`);
    }
    await ctl.ok('role grant-permission r write a');
    await ctl.ok('role get r');
    await ctl.ok('role get r -w json');
    await ctl.ok('user get u --detail');
    await ctl.refused('role grant-permission r read c b');
    await ctl.refused('role grant-permission none read a');
    await ctl.refused('role grant-permission r sing a');
    await ctl.refused('role revoke-permission r b');
    await ctl.refused('role revoke-permission none b');
    await ctl.ok('role revoke-permission r b c');
    await ctl.ok('role revoke-permission r z --from-key');
    await ctl.ok('role get r');
  });

  await pair.test(context, 'on', async (ctl) => {
    await ctl.ok('user add root:pw');
    await ctl.ok('auth enable');
    await ctl.refused('auth enable');
    await ctl.ok(`auth enable ${root}`);
    await ctl.refused('auth status');
    await ctl.ok(`auth status ${root}`);
    await ctl.refused('auth status --user u:p');
    await ctl.refused('auth status --user root:wrong');
    await ctl.refused('auth status --user none:pw');
    await ctl.refused('auth status --user cn:pw');
    await ctl.ok(`role list ${root}`);
    await ctl.ok(`user get root ${root}`);
    await ctl.refused(`user delete root ${root}`);
    await ctl.refused(`user revoke-role root root ${root}`);
    await ctl.refused(`role delete root ${root}`);
    await ctl.refused('role list');
    await ctl.refused('role list --user u:p');
    await ctl.ok('role get r --user u:p');
    await ctl.refused('role get root --user u:p');
    await ctl.ok('user get u --user u:p');
    await ctl.refused('user get root --user u:p');
    await ctl.refused('user add v:v --user u:p');
  });

  await pair.test(context, 'keys', keys);
  await pair.test(context, 'leases', leases);

  await pair.test(context, 'what only root may', async (ctl) => {
    await ctl.ok('put k/c 1 --user u:p');
    await ctl.refused('compaction 3 --user u:p');
    await ctl.refused('compaction 3');
    await ctl.ok(`compaction 3 ${root}`);
    await ctl.ok('member list --user u:p');
    await ctl.refused('member list');
    await ctl.refused('member add x --peer-urls=http://127.0.0.1:1 --user u:p');
    await ctl.refused('member remove 1234 --user u:p');
    await ctl.refused('move-leader 1234 --user u:p');
    await ctl.ok('alarm list --user u:p');
    await ctl.refused('alarm list');
    await ctl.ok('endpoint health --user u:p');
    await ctl.ok(`endpoint health ${root}`);
  });

  await pair.test(context, 'changes while it is on', async (ctl) => {
    await ctl.ok(`user passwd u --interactive=false ${root}`, { input: 'q\n' });
    await ctl.refused('get k/1 --user u:p');
    await ctl.ok('get k/1 --user u:q');
    await ctl.ok(`role add wide ${root}`);
    await ctl.ok(`role grant-permission wide readwrite '' --from-key ${root}`.replace("''", 'b'));
    await ctl.ok(`user grant-role u wide ${root}`);
    await ctl.ok('put elsewhere 1 --user u:q');
    await ctl.ok(`role delete wide ${root}`);
    await ctl.refused('put elsewhere 1 --user u:q');
    await ctl.ok(`user delete u ${root}`);
    await ctl.refused('get k/1 --user u:q');
    await ctl.ok(`auth disable ${root}`);
    await ctl.ok('auth disable --user none:x');
    await ctl.ok('get k/1');
    await ctl.ok('user revoke-role root root');
    await ctl.ok('user delete root');
    await ctl.ok('user list -w json');
    await ctl.ok('auth status');
  });
}

async function keys(ctl: Transcript): Promise<void> {
  await ctl.ok('put k/1 1 --user u:p');
  await ctl.ok('put k/2 2 --user u:p --prev-kv');
  await ctl.ok('put a 1 --user u:p');
  await ctl.refused('put a 1 --prev-kv --user u:p');
  await ctl.refused('get a --user u:p');
  await ctl.refused('put secret 1 --user u:p');
  await ctl.refused('put k/1 1');
  await ctl.ok(`put secret 1 ${root}`);
  await ctl.ok('get k/ --prefix --user u:p');
  await ctl.ok('get k/1 --user u --password p');
  await ctl.refused('get k/ --from-key --user u:p');
  await ctl.refused("get '' --prefix --user u:p");
  await ctl.ok(`get k --prefix ${root}`);
  await ctl.ok('get k/ --prefix --consistency=s --user u:p');
  await ctl.refused('get secret --consistency=s --user u:p');
  const txn = (text: string) => ({ input: text });
  const ofUser = 'txn --user u:p';
  await ctl.ok(ofUser, txn('value("k/1") = "1"\n\nput k/3 3\nget k/1\n\nput k/3 no\n\n'));
  await ctl.refused(ofUser, txn('value("secret") = "1"\n\nput k/3 3\n\n\n'));
  await ctl.refused(ofUser, txn('value("k/1") = "1"\n\nput k/3 3\n\nput secret 3\n\n'));
  await ctl.refused(ofUser, txn('value("k/1") = "1"\n\nget secret\n\n\n'));
  await ctl.ok('del k/3 --user u:p');
  await ctl.refused('del k/ --from-key --user u:p');
  await ctl.refused('del a --prev-kv --user u:p');
  await ctl.ok('del k/2 --prev-kv --user u:p');
  await ctl.refused('watch secret --user u:p');
  await ctl.refused('watch k/1');
  const watch = ctl.start('watch k/1 --rev 2 --user u:p');
  ctl.note((await watch.lines(3)).join('\n'));
  watch.interrupt();
  await watch.finished();
}

async function leases(ctl: Transcript): Promise<void> {
  const grant = async (who: string): Promise<string> => {
    const output = await ctl.ok(`lease grant 600 ${who}`);
    const id = /^lease ([0-9a-f]+) granted/.exec(output)?.[1];
    assert.ok(id !== undefined, output);
    return id;
  };
  const own = await grant('--user u:p');
  await ctl.refused('lease grant 600');
  await ctl.ok(`put k/l 1 --lease=${own} --user u:p`);
  await ctl.ok(`lease timetolive ${own} --keys --user u:p`);
  await ctl.ok('lease list --user u:p');
  await ctl.ok(`lease keep-alive --once ${own} --user u:p`);
  const roots = await grant(root);
  await ctl.ok(`put secret 1 --lease=${roots} ${root}`);
  await ctl.refused(`put k/l 1 --lease=${roots} --user u:p`);
  await ctl.ok(`lease timetolive ${roots} --user u:p`);
  await ctl.refused(`lease timetolive ${roots} --keys --user u:p`);
  await ctl.refused('lease list --user u:p');
  await ctl.refused('lease list');
  await ctl.ok(`lease list ${root}`);
  await ctl.refused(`lease keep-alive --once ${roots} --user u:p`);
  await ctl.refused(`lease revoke ${roots} --user u:p`);
  await ctl.refused(`lease revoke ${own}`);
  await ctl.ok(`lease revoke ${own} --user u:p`);
  await ctl.ok(`lease revoke ${roots} ${root}`);
}

test('etcdctl and users on three members', options, (context) =>
  Pair.with(
    3,
    async (pair) => {
      await pair.test(
        context,
        'each knows users, and tokens that another has made',
        async (ctl) => {
          const at = (i: number) => ({ endpoints: [ctl.cluster.member(i).clientUrl] });
          await ctl.ok('user add root:pw', at(0));
          await ctl.ok('auth enable', at(1));
          await ctl.ok(`user add u:p ${root}`, at(2));
          await ctl.ok(`role add r ${root}`, at(0));
          await ctl.ok(`role grant-permission r readwrite k ${root}`, at(1));
          await ctl.ok(`user grant-role u r ${root}`, at(2));
          for (const i of [0, 1, 2]) {
            await ctl.ok(`put k ${i} --user u:p`, at(i));
            await ctl.refused('put l 1 --user u:p', at(i));
            await ctl.refused('get k', at(i));
          }
          // One client with one token, which goes from member to member.
          await ctl.ok('get k --user u:p');
          await ctl.ok(`role revoke-permission r k ${root}`, at(0));
          for (const i of [0, 1, 2]) await ctl.refused('get k --user u:p', at(i));
          await ctl.ok(`auth disable ${root}`, at(2));
          for (const i of [0, 1, 2]) await ctl.ok('get k', at(i));
        },
      );
    },
    cheap,
  ),
);
