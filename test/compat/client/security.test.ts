import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Client, ClientOptions } from '../../../server/client/client.ts';
import { LeaseLostError } from '../../../server/client/errors.ts';
import { etcdTexts } from '../../../server/client/etcd-texts.ts';
import { keysUnder, oneKey, textOf } from '../../../server/client/keys.ts';
import { Authority } from '../../support/certificates.ts';
import type { Program } from '../../support/server-process.ts';
import { onOracle } from '../../support/whole.ts';
import { onVariant, rootUser, type SecuredStore } from '../clients/variants.ts';
import { failureOf } from './stores.ts';

// The TypeScript client with users and certificates, on this store and on etcd.

const password = 'her secret';

/** A client of a user who may read and write what begins with a prefix, and read what is public. */
async function userOf(store: SecuredStore, name: string): Promise<Client> {
  const { auth } = store.client();
  await auth.roleAdd(name);
  const keys = keysUnder(`${name}/`);
  await auth.roleGrantPermission(name, { access: 'readwrite', keys });
  await auth.roleGrantPermission(name, { access: 'read', keys: 'public' });
  await auth.userAdd(name, password);
  await auth.userGrantRole({ user: name, role: name });
  return store.client({ credentials: { username: name, password } });
}

for (const program of ['mainstay', 'etcd'] satisfies Program[]) {
  const skip = program === 'etcd' ? onOracle.skip : false;

  onVariant(`the client on ${program}`, { isSecured: false, program, skip }, (store) => {
    test('logs in when authentication is turned on', async () => {
      const client = store.client({ credentials: rootUser });
      await client.put('a', '1');
      await client.auth.userAdd('root', rootUser.password);
      await client.auth.userGrantRole({ user: 'root', role: 'root' });
      assert.equal((await client.auth.status()).enabled, false);
      await client.auth.enable();
      await client.put('a', '2');
      assert.equal((await client.auth.status()).enabled, true);
      assert.equal((await failureOf(store.client().put('a', '3'))).text, etcdTexts.userNameEmpty);
      await client.auth.disable();
      await client.put('a', '4');
      await store.client().put('a', '5');
    });
  });

  onVariant(`the client on ${program}`, { isSecured: true, program, skip }, (store) => {
    test('users, roles and what they may do', async () => {
      const root = store.client();
      const { auth } = root;
      const ann = await userOf(store, 'ann');
      await ann.put('ann/a', '1');
      await root.put('public', 'news');
      assert.equal(textOf((await ann.get('public'))?.value), 'news');
      const refused = [
        () => ann.put('public', 'x'),
        () => ann.get('other'),
        () => ann.auth.userList(),
      ];
      for (const call of refused) {
        const failure = await failureOf(call());
        assert.deepEqual([failure.code, failure.text], [7, etcdTexts.permissionDenied]);
        assert.equal(failure.isUncertain, false);
      }
      assert.deepEqual(await auth.userList(), ['ann', 'root']);
      assert.deepEqual(await auth.roleList(), ['ann']);
      assert.deepEqual(await auth.userGet('ann'), ['ann']);
      const { perm } = await auth.roleGet('ann');
      assert.deepEqual(
        perm.map(({ key }) => textOf(key)),
        ['ann/', 'public'],
      );
      await auth.roleRevokePermission('ann', 'public');
      assert.equal((await failureOf(ann.get('public'))).text, etcdTexts.permissionDenied);
      await auth.userRevokeRole({ user: 'ann', role: 'ann' });
      assert.equal((await failureOf(ann.get('ann/a'))).text, etcdTexts.permissionDenied);
      await auth.userChangePassword({ name: 'ann', password: 'new' });
      await auth.userDelete('ann');
      await auth.roleDelete('ann');
      const gone = await failureOf(ann.get('ann/a'));
      assert.equal(gone.text, etcdTexts.authFailed);
      assert.equal((await failureOf(auth.userGet('ann'))).text, etcdTexts.userNotFound);
    });

    test('a wrong password is told at once', async () => {
      const start = performance.now();
      const client = store.client({ credentials: { username: 'root', password: 'wrong' } });
      const failure = await failureOf(client.put('a', '1'));
      assert.deepEqual([failure.code, failure.text], [3, etcdTexts.authFailed]);
      assert.equal(failure.isUncertain, false);
      assert(performance.now() - start < 5_000);
    });

    test('a password is read anew for each login; the one before does until the store has the new one', async () => {
      const root = store.client();
      await userOf(store, 'fay');
      const passwords = [password];
      const credentials = async () =>
        passwords.map((each) => ({ username: 'fay', password: each }));
      const stays = store.client({ credentials });
      await stays.put('fay/a', '1');
      passwords.unshift('new');
      await store.client({ credentials }).put('fay/a', '2');
      await root.auth.userChangePassword({ name: 'fay', password: 'new' });
      passwords.pop();
      await stays.put('fay/a', '3');
      await store.client({ credentials }).put('fay/a', '4');
      passwords[0] = 'neither';
      const failure = await failureOf(store.client({ credentials }).put('fay/a', '5'));
      assert.equal(failure.text, etcdTexts.authFailed);
      const broken = store.client({ credentials: () => Promise.reject(new Error('no file')) });
      assert.match((await failureOf(broken.put('fay/a', '6'))).text, /no credentials: .*no file/);
    });

    test('certificates are read anew for each connection', async () => {
      const { certificates } = store;
      assert.ok(certificates !== undefined);
      let { ca } = certificates;
      let asked = 0;
      const tls = () => {
        asked += 1;
        return { ...certificates, ca };
      };
      await store.client({ tls }).get('a');
      const before = asked;
      assert.ok(before > 0);
      ca = (await Authority.create('other')).cert;
      const failure = await failureOf(store.client({ tls, timeoutMs: 2_000 }).get('a'));
      assert.match(failure.text, /cannot connect/);
      assert.ok(asked > before);
    });

    test('calls, watches and sessions go on while users change and the member restarts', async () => {
      const root = store.client();
      const bob = await userOf(store, 'bob');
      const space = bob.namespace('bob/');
      const session = await bob.session({ ttlSeconds: 20 });
      const seen: string[] = [];
      const watching = (async () => {
        for await (const { events } of space.watch(keysUnder(''))) {
          seen.push(...events.map(({ kv }) => textOf(kv.value)));
          if (seen.at(-1) === 'last') return;
        }
      })();
      for (let n = 0; n < 10; n++) {
        await space.put('k', String(n), { lease: session.id });
        await root.auth.roleAdd(`role-${n}`);
      }
      const [member] = store.cluster.members;
      await member?.stop('SIGKILL');
      await member?.start(store.cluster.flagsFor('existing'));
      // Tokens of before the restart are not known any more.
      await space.put('k', 'last', { mayRepeat: true, timeoutMs: 30_000 });
      await watching;
      const values = [...new Set(seen)];
      const all = [...Array.from({ length: 10 }, (_, n) => String(n)), 'last'];
      // The watch began somewhere among the writes.
      assert.deepEqual(values, all.slice(all.length - values.length));
      const lock = await space.lock('door', { session });
      await lock.unlock();
      assert.equal(session.lost.aborted, false);
      await session.end();
    });

    test('a watch of what one may not read is refused', async () => {
      const eve = await userOf(store, 'eve');
      const watch = eve.watch(oneKey('ann/a'));
      const failure = await failureOf(watch.started());
      assert.deepEqual([failure.code, failure.text], [7, etcdTexts.permissionDenied]);
      const reading = eve.watch(keysUnder(''))[Symbol.asyncIterator]().next();
      assert.equal((await failureOf(reading)).text, etcdTexts.permissionDenied);
    });

    test('certificates are checked, by both sides', async () => {
      const { certificates } = store;
      assert(certificates !== undefined);
      const { ca, cert, key } = certificates;
      const { cert: otherCa } = await Authority.create('other');
      const port = new URL(store.url).port;
      const call = (tls: ClientOptions['tls'], endpoint = store.url) =>
        store.client({ tls, endpoints: [endpoint], timeoutMs: 1_000 }).get('a');
      await call({ ca, cert, key });
      await call({ ca: Buffer.from(ca), cert: Buffer.from(cert), key }, `127.0.0.1:${port}`);
      await call({ ca, cert, key, serverName: 'localhost' });
      await call({ ca: otherCa, cert, key, insecureSkipVerify: true });
      const refused: readonly [ClientOptions['tls'], RegExp][] = [
        [{ ca: otherCa, cert, key }, /^cannot connect.*: .*certificate/],
        [{ ca, cert, key, serverName: 'elsewhere.example' }, /altnames/],
        [{ cert, key }, /^cannot connect.*: .*certificate/],
        [{ ca }, /./],
      ];
      for (const [tls, why] of refused) {
        const failure = await failureOf(call(tls));
        assert.deepEqual([failure.code, failure.isUncertain], [14, false], failure.text);
        assert.match(failure.text, why);
      }
      const plain = store.client({ endpoints: [`http://127.0.0.1:${port}`], timeoutMs: 1_000 });
      assert.equal((await failureOf(plain.get('a'))).code, 14);
    });

    test('a session says when its user is gone', async () => {
      const { auth } = store.client();
      const dan = await userOf(store, 'dan');
      const session = await dan.session({ ttlSeconds: 2 });
      await auth.userDelete('dan');
      await new Promise((resolve) => {
        session.lost.addEventListener('abort', resolve);
      });
      assert(session.lost.reason instanceof LeaseLostError);
    });
  });
}
