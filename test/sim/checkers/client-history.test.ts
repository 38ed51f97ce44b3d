import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ClientHistory } from './client-history.ts';
import { EventLog, type Kv, type KvEvent } from './event-log.ts';
import type { KvTxn } from './kv-model.ts';

/** A store that is always right, to tell a history about; each test breaks one thing. */
class World {
  readonly log = new EventLog();
  readonly history = new ClientHistory(this.log);
  nowMs = 0;

  put(key: string, value: string, lease = 0n): number {
    const revision = this.log.lastRevision + 1;
    const before = this.log.get(key, revision);
    const kv: Kv = {
      key,
      value,
      lease,
      create: before?.create ?? revision,
      mod: revision,
      version: (before?.version ?? 0) + 1,
    };
    return this.happen([{ kind: 'put', kv }]);
  }

  delete(key: string): number {
    const revision = this.log.lastRevision + 1;
    const kv = { key, value: '', lease: 0n, create: 0, mod: revision, version: 0 };
    return this.happen([{ kind: 'delete', kv }]);
  }

  happen(events: readonly KvEvent[]): number {
    const revision = this.log.lastRevision + 1;
    this.log.report('member', revision, events, this.nowMs);
    this.history.revisionDefined(revision, this.nowMs);
    return revision;
  }

  /** A put that a client called, that happened and that was acknowledged. */
  acknowledgedPut(key: string, value: string): number {
    const call = this.history.beginWrite(this.nowMs++, { kind: 'put', key, value, lease: 0n });
    const revision = this.put(key, value);
    this.history.writeAcknowledged(call, revision, { kind: 'put' });
    this.nowMs++;
    return revision;
  }

  read(key: string, revision: number, kvs = this.log.range({ start: key }, revision)): void {
    const call = this.history.beginRead(this.nowMs);
    this.history.linearizableRead(call, { start: key }, revision, kvs);
  }
}

const lock: KvTxn = {
  kind: 'txn',
  compares: [{ key: 'lock', target: 'create', result: 'equal', expected: 0 }],
  success: [{ kind: 'put', key: 'lock', value: 'mine', lease: 0n }],
  failure: [{ kind: 'range', span: { start: 'lock' } }],
};

suite('ClientHistory accepts', () => {
  test('writes, reads, deletes and transactions that are what they say', () => {
    const world = new World();
    world.acknowledgedPut('a', '1');
    const second = world.acknowledgedPut('a', '2');
    world.read('a', second);
    const remove = world.history.beginWrite(9, { kind: 'delete', span: { start: 'a' } });
    world.history.writeAcknowledged(remove, world.delete('a'), { kind: 'delete', deleted: 1 });
    const again = world.history.beginWrite(9, { kind: 'delete', span: { start: 'a' } });
    world.history.writeAcknowledged(again, world.log.lastRevision, { kind: 'delete', deleted: 0 });
    const won = world.history.beginWrite(9, lock);
    world.history.writeAcknowledged(won, world.put('lock', 'mine'), {
      kind: 'txn',
      succeeded: true,
      results: [{ kind: 'put' }],
    });
    const lost = world.history.beginWrite(9, lock);
    const kvs = world.log.range({ start: 'lock' }, world.log.lastRevision);
    world.history.writeAcknowledged(lost, world.log.lastRevision, {
      kind: 'txn',
      succeeded: false,
      results: [{ kind: 'range', kvs }],
    });
    world.history.finish();
  });

  test('writes without an answer, whether they happened or not', () => {
    const world = new World();
    world.history.beginWrite(0, { kind: 'put', key: 'a', value: 'never', lease: 0n });
    world.history.beginWrite(0, { kind: 'put', key: 'a', value: 'once', lease: 0n });
    world.history.beginWrite(0, { kind: 'delete', span: { start: 'a' } });
    world.nowMs = 50;
    world.put('a', 'once');
    world.delete('a');
    world.history.finish();
  });

  test('the keys of a lease that ran out or was revoked', () => {
    const world = new World();
    world.history.leaseAsked(7n, 10_000, 0);
    world.history.beginWrite(0, { kind: 'put', key: 'a', value: '1', lease: 7n });
    world.put('a', '1', 7n);
    world.history.leaseKept(7n, 5_000);
    world.nowMs = 14_600;
    world.delete('a');
    world.history.leaseAsked(8n, 10_000, 20_000);
    world.history.beginWrite(0, { kind: 'put', key: 'a', value: '2', lease: 8n });
    world.put('a', '2', 8n);
    world.history.beginWrite(20_001, { kind: 'leaseRevoke', lease: 8n });
    world.nowMs = 20_002;
    world.delete('a');
    world.history.finish();
  });
});

suite('ClientHistory rejects', () => {
  const broken: Record<string, [RegExp, (world: World) => void]> = {
    'a stale read': [
      /stale read/,
      (world) => {
        const first = world.acknowledgedPut('a', '1');
        world.acknowledgedPut('a', '2');
        world.read('a', first);
      },
    ],
    'a read that is older than another read': [
      /stale read/,
      (world) => {
        world.history.beginWrite(0, { kind: 'put', key: 'a', value: '1', lease: 0n });
        const revision = world.put('a', '1');
        world.read('a', revision);
        world.read('a', revision - 1);
      },
    ],
    'a read of a value that is not there': [
      /should be/,
      (world) => {
        const revision = world.acknowledgedPut('a', '1');
        world.read('a', revision, []);
      },
    ],
    'a read from the future': [/nobody has it/, (world) => world.read('a', 2, [])],
    'a lost write': [
      /it is lost/,
      (world) => {
        const call = world.history.beginWrite(0, { kind: 'put', key: 'a', value: '1', lease: 0n });
        world.history.writeAcknowledged(call, 2, { kind: 'put' });
      },
    ],
    'a write applied twice': [
      /asked for by nobody \(or twice\)/,
      (world) => {
        world.history.beginWrite(0, { kind: 'put', key: 'a', value: '1', lease: 0n });
        world.put('a', '1');
        world.put('a', '1');
      },
    ],
    'an acknowledged write applied again': [
      /asked for by nobody \(or twice\)/,
      (world) => {
        world.acknowledgedPut('a', '1');
        world.put('a', '1');
      },
    ],
    'a write that nobody asked for': [/asked for by nobody/, (world) => void world.put('a', '?')],
    'a write that happened before it was called': [
      /asked for by nobody/,
      (world) => {
        world.put('a', '1');
        world.history.beginWrite(5, { kind: 'put', key: 'a', value: '1', lease: 0n });
      },
    ],
    'a refused write that happened all the same': [
      /asked for by nobody/,
      (world) => {
        const call = world.history.beginWrite(0, { kind: 'put', key: 'a', value: '1', lease: 0n });
        world.history.writeRefused(call);
        world.put('a', '1');
      },
    ],
    'two writes with one revision': [
      /both acknowledged/,
      (world) => {
        const one = world.history.beginWrite(0, { kind: 'put', key: 'a', value: '1', lease: 0n });
        const two = world.history.beginWrite(0, { kind: 'put', key: 'a', value: '2', lease: 0n });
        const revision = world.put('a', '1');
        world.history.writeAcknowledged(one, revision, { kind: 'put' });
        world.history.writeAcknowledged(two, revision, { kind: 'put' });
      },
    ],
    'a write acknowledged with an older revision': [
      /was known when it was called/,
      (world) => {
        const old = world.acknowledgedPut('a', '1');
        world.acknowledgedPut('a', '2');
        const call = world.history.beginWrite(9, { kind: 'put', key: 'a', value: '3', lease: 0n });
        world.history.writeAcknowledged(call, old, { kind: 'put' });
      },
    ],
    'a write acknowledged with the revision of another one': [
      /was acknowledged to write/,
      (world) => {
        const call = world.history.beginWrite(0, { kind: 'put', key: 'a', value: '1', lease: 0n });
        world.history.beginWrite(0, { kind: 'put', key: 'a', value: '2', lease: 0n });
        world.history.writeAcknowledged(call, world.put('a', '2'), { kind: 'put' });
      },
    ],
    'a delete that counts wrong': [
      /should be/,
      (world) => {
        world.acknowledgedPut('a', '1');
        const call = world.history.beginWrite(9, { kind: 'delete', span: { start: 'a' } });
        world.history.writeAcknowledged(call, world.delete('a'), { kind: 'delete', deleted: 2 });
      },
    ],
    'a lock that two hold': [
      /was acknowledged to write/,
      (world) => {
        const answer = { kind: 'txn', succeeded: true, results: [{ kind: 'put' }] } as const;
        for (let client = 0; client < 2; client++) {
          const call = world.history.beginWrite(9, lock);
          world.history.writeAcknowledged(call, world.put('lock', 'mine'), answer);
        }
      },
    ],
    'half a transaction': [
      /asked for by nobody/,
      (world) => {
        world.history.beginWrite(0, {
          kind: 'txn',
          compares: [],
          success: [
            { kind: 'put', key: 'a', value: '1', lease: 0n },
            { kind: 'put', key: 'b', value: '2', lease: 0n },
          ],
          failure: [],
        });
        world.put('a', '1');
      },
    ],
    'a lease that took its keys too early': [
      /was good until/,
      (world) => {
        world.history.leaseAsked(7n, 10_000, 0);
        world.history.beginWrite(0, { kind: 'put', key: 'a', value: '1', lease: 7n });
        world.put('a', '1', 7n);
        world.history.leaseKept(7n, 8_000);
        world.nowMs = 12_000;
        world.delete('a');
      },
    ],
    'a key that vanishes': [
      /asked for by nobody/,
      (world) => {
        world.acknowledgedPut('a', '1');
        world.delete('a');
      },
    ],
  };
  for (const [name, [reason, tell]] of Object.entries(broken)) {
    test(name, () => {
      const world = new World();
      assert.throws(() => {
        tell(world);
        world.history.finish();
      }, reason);
    });
  }
});

suite('EventLog rejects', () => {
  const kv = { key: 'a', value: '1', create: 2, mod: 2, version: 1, lease: 0n };
  const put: KvEvent = { kind: 'put', kv };
  const broken: Record<string, [RegExp, number, KvEvent[]]> = {
    'a skipped revision': [/nobody 2/, 3, [{ kind: 'put', kv: { ...kv, mod: 3, create: 3 } }]],
    'an empty revision': [/no events/, 2, []],
    'a wrong version': [/does not follow/, 2, [{ kind: 'put', kv: { ...kv, version: 2 } }]],
    'a wrong create revision': [/does not follow/, 2, [{ kind: 'put', kv: { ...kv, create: 1 } }]],
    'a deletion of nothing': [/does not follow/, 2, [{ kind: 'delete', kv }]],
  };
  for (const [name, [reason, revision, events]] of Object.entries(broken)) {
    test(name, () => {
      assert.throws(() => new EventLog().report('m', revision, events, 0), reason);
    });
  }

  test('another history: a changed, a missing, an additional event', () => {
    const log = new EventLog();
    log.report('one', 2, [put], 0);
    log.report('two', 2, [put], 1);
    for (const events of [[{ kind: 'put' as const, kv: { ...kv, value: '2' } }], [], [put, put]]) {
      assert.throws(() => log.report('three', 2, events, 2), /I4/);
    }
  });
});
