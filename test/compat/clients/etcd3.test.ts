import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  Etcd3,
  EtcdLeaseInvalidError,
  EtcdLockFailedError,
  EtcdPermissionDeniedError,
  type IOptions,
} from 'etcd3';
import { onVariants, type SecuredStore } from './variants.ts';

// What the documentation of microsoft/etcd3 shows, with that very package.

function optionsOf({ url, certificates, user }: SecuredStore): IOptions {
  return {
    hosts: certificates === undefined ? url : url.replace('127.0.0.1', 'localhost'),
    ...(certificates && {
      credentials: {
        rootCertificate: Buffer.from(certificates.ca),
        privateKey: Buffer.from(certificates.key),
        certChain: Buffer.from(certificates.cert),
      },
    }),
    ...(user && { auth: user }),
  };
}

onVariants('npm etcd3', {}, (store) => {
  const clients: Etcd3[] = [];
  const connect = (options: Partial<IOptions> = {}): Etcd3 => {
    const client = new Etcd3({ ...optionsOf(store), ...options });
    clients.push(client);
    return client;
  };
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });

  test('keys and values', async () => {
    const client = connect();
    await client.put('foo').value('bar');
    assert.equal(await client.get('foo').string(), 'bar');
    await client.put('fob').value(JSON.stringify({ a: 1 }));
    assert.deepEqual(await client.get('fob').json(), { a: 1 });
    await client.put('num').value(7);
    assert.equal(await client.get('num').number(), 7);
    assert.equal(await client.get('none').string(), null);
    assert.equal(await client.get('foo').exists(), true);
    assert.deepEqual((await client.get('foo').buffer())?.toString(), 'bar');
    assert.deepEqual(await client.getAll().prefix('f').keys(), ['fob', 'foo']);
    assert.deepEqual(await client.getAll().prefix('fo').sort('Key', 'Descend').limit(1).keys(), [
      'foo',
    ]);
    assert.deepEqual(await client.getAll().inRange({ start: 'fob', end: 'foo' }).strings(), {
      fob: '{"a":1}',
    });
    assert.equal(await client.getAll().count(), 3);
    const previous = await client.put('foo').value('baz').getPrevious();
    assert.equal(previous?.value.toString(), 'bar');
    await client.put('foo').touch();
    assert.equal(await client.get('foo').string(), 'baz');
    const { kvs } = await client.get('foo').exec();
    assert.equal(kvs[0]?.version, '3');
    const then = await client
      .get('foo')
      .revision(kvs[0]?.create_revision ?? '')
      .string();
    assert.equal(then, 'bar');
    const deleted = await client.delete().key('foo').getPrevious();
    assert.equal(deleted[0]?.value.toString(), 'baz');
    const { deleted: count } = await client.delete().all();
    assert.equal(Number(count), 2);
  });

  test('namespaces', async () => {
    const client = connect();
    const space = client.namespace('user-1/');
    await space.put('a').value('1');
    assert.equal(await client.get('user-1/a').string(), '1');
    assert.deepEqual(await space.getAll().keys(), ['a']);
    await space.delete().all();
    assert.deepEqual(await client.getAll().keys(), []);
  });

  test('transactions', async () => {
    const client = connect();
    const make = (value: string) =>
      client
        .if('txn', 'Create', '==', 0)
        .and('txn', 'Lease', '==', 0)
        .then(client.put('txn').value(value))
        .else(client.get('txn'))
        .commit();
    assert.equal((await make('first')).succeeded, true);
    const second = await make('second');
    assert.equal(second.succeeded, false);
    assert.equal(second.responses[0]?.response_range?.kvs[0]?.value.toString(), 'first');
    const { succeeded } = await client
      .if('txn', 'Value', '==', 'first')
      .then(client.delete().key('txn'))
      .commit();
    assert.equal(succeeded, true);
  });

  test('leases', async () => {
    const client = connect();
    const lease = client.lease(10);
    await lease.put('leased').value('1');
    const { ttl } = await lease.keepaliveOnce().then(({ TTL }) => ({ ttl: TTL }));
    assert.equal(ttl, '10');
    const { kvs } = await client.get('leased').exec();
    assert.equal(kvs[0]?.lease, await lease.grant());
    const { leases } = await client.leaseClient.leaseLeases();
    assert.equal(leases.length, 1);
    await lease.revoke();
    assert.equal(await client.get('leased').string(), null);
    await assert.rejects(
      client.put('leased').value('1').lease('123').exec(),
      EtcdLeaseInvalidError,
    );
    const lost = client.lease(1);
    const [id, loss] = [await lost.grant(), once(lost, 'lost')];
    await client.leaseClient.leaseRevoke({ ID: id });
    await loss;
  });

  test('locks', async () => {
    const client = connect();
    const value = await client.lock('door').do(async () => {
      await assert.rejects(client.lock('door').ttl(5).acquire(), EtcdLockFailedError);
      return 'in';
    });
    assert.equal(value, 'in');
    const lock = await client.lock('door').acquire();
    await lock.release();
    await client.lock('door').do(() => {});
  });

  test('elections', async () => {
    const client = connect();
    const election = client.election('chair', 5);
    assert.equal(await election.leader(), undefined);
    const observer = await election.observe();
    const changes: (string | undefined)[] = [];
    observer.on('change', (value) => changes.push(value));
    const until = async (value: string) => {
      while (changes.at(-1) !== value) await once(observer, 'change');
    };
    const first = election.campaign('first');
    await first.wait();
    await until('first');
    // It tells only those who wait already.
    const second = election.campaign('second');
    const elected = second.wait();
    await first.proclaim('still first');
    await until('still first');
    assert.equal(await election.leader(), 'still first');
    await first.resign();
    await elected;
    await until('second');
    assert.match(await second.getCampaignKey(), /^election\/chair\/[0-9a-f]+$/);
    await second.resign();
    await observer.cancel();
  });

  test('watches', async () => {
    const client = connect();
    const watcher = await client.watch().prefix('w/').withPreviousKV().create();
    const seen: string[] = [];
    watcher.on('put', (kv, previous) => {
      seen.push(`put ${kv.key.toString()} ${kv.value.toString()} ${previous?.value.toString()}`);
    });
    watcher.on('delete', (kv, previous) => {
      seen.push(`delete ${kv.key.toString()} ${previous?.value.toString()}`);
    });
    const until = async (count: number) => {
      while (seen.length < count) await once(watcher, 'data');
    };
    const { header } = await client.put('w/a').value('1');
    await client.put('w/a').value('2');
    await client.put('other').value('x');
    await client.delete().key('w/a');
    await until(3);
    assert.deepEqual(seen, ['put w/a 1 undefined', 'put w/a 2 1', 'delete w/a 2']);
    await watcher.cancel();
    // Many on one stream, as it does by itself.
    const values: string[][] = [[], [], []];
    const past = ['w/a', 'w/b', 'w/a'].map((key, at) => {
      const each = client.watch().key(key).only('put').startRevision(header.revision).watcher();
      return each.on('put', (kv) => values[at]?.push(kv.value.toString()));
    });
    const deadline = performance.now() + 20_000;
    while (values.flat().length < 4 && performance.now() < deadline) await sleep(10);
    assert.deepEqual(values, [['1', '2'], [], ['1', '2']]);
    await Promise.all(past.map((each) => each.cancel()));
  });

  test('a watch of what is compacted ends with an error', async () => {
    const client = connect();
    const { header } = await client.put('c').value('1');
    await client.put('c').value('2');
    const { header: last } = await client.put('c').value('3');
    await client.kv.compact({ revision: last.revision });
    const watcher = client.watch().key('c').startRevision(header.revision).watcher();
    const [error] = (await once(watcher, 'error')) as [Error];
    assert.equal(error.message, 'Watcher canceled: ');
  });

  test('software transactions', async () => {
    const client = connect();
    await client.put('sum').value('0');
    await Promise.all(
      Array.from({ length: 4 }, () =>
        client.stm({ retries: 50 }).transact(async (tx) => {
          const sum = Number(await tx.get('sum').string());
          await tx.put('sum').value(String(sum + 1));
        }),
      ),
    );
    assert.equal(await client.get('sum').number(), 4);
  });

  test('the cluster and its members', async () => {
    const client = connect();
    const { members } = await client.cluster.memberList({});
    assert.equal(members.length, 1);
    const status = await client.maintenance.status({});
    assert.match(status.version, /^3\.\d+\.\d+$/);
    assert.equal(status.leader, members[0]?.ID);
    const { alarms } = await client.maintenance.alarm({});
    assert.deepEqual(alarms, []);
  });

  test('users and roles', async () => {
    const client = connect();
    const role = client.role('reader');
    await role.create();
    await role.grant({ permission: 'Read', range: client.range({ prefix: 'r/' }) });
    const user = client.user('ann');
    await user.create('her secret');
    await user.addRole(role);
    assert.deepEqual((await client.getRoles()).map(({ name }) => name).includes('reader'), true);
    assert.deepEqual(
      (await user.roles()).map(({ name }) => name),
      ['reader'],
    );
    const [permission] = await role.permissions();
    assert.equal(permission?.permission, 'Read');
    assert.equal(permission?.range.start.toString(), 'r/');
    await user.setPassword('her new secret');
    await client.put('r/a').value('1');
    if (store.user !== undefined) {
      const ann = connect({ auth: { username: 'ann', password: 'her new secret' } });
      assert.equal(await ann.get('r/a').string(), '1');
      await assert.rejects(ann.put('r/a').value('2').exec(), EtcdPermissionDeniedError);
      await assert.rejects(ann.get('x').string(), EtcdPermissionDeniedError);
    }
    await user.removeRole(role);
    await user.delete();
    await role.delete();
  });
});
