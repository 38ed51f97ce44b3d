import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { mock, suite, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Requests, StreamCall, UnaryCall } from '../../../server/api/call.ts';
import { toStatus } from '../../../server/api/errors.ts';
import { type Services, servicesOf } from '../../../server/api/services.ts';
import {
  clientSnapshotsMax,
  snapshotBlobBytes,
  snapshotStallMsMax,
} from '../../../server/config/limits.ts';
import {
  Maintenance,
  SnapshotRequest,
  type SnapshotResponse,
} from '../../../server/proto/gen/rpc.ts';
import { openStore, put } from '../mvcc/support.ts';
import { contextOf, FakeMember, FakeResponses } from './fake-member.ts';

/** A member with some hundred kilobytes, and how many views of it are out. */
async function memberWithState() {
  const { backend, store } = await openStore();
  for (let at = 0; at < 3_000; at++) put(store, `key ${at}`, 'v'.repeat(100));
  backend.setApplied({ index: 1, term: 1 });
  const member = new FakeMember();
  const views = { out: 0 };
  member.pin = () => {
    const pinned = backend.pin();
    views.out++;
    const release = pinned.release.bind(pinned);
    pinned.release = () => {
      views.out--;
      release();
    };
    return pinned;
  };
  return { services: servicesOf(member, { txnOpsMax: 1, messageBytesMax: 1 }), views };
}

function open(services: Services): {
  requests: Requests<SnapshotRequest>;
  responses: FakeResponses<SnapshotResponse>;
} {
  const { path } = Maintenance.methods.snapshot;
  const found = services.find(path) as StreamCall<SnapshotRequest, SnapshotResponse>;
  const responses = new FakeResponses<SnapshotResponse>();
  return { requests: found.open(responses, contextOf()), responses };
}

async function until(isSo: () => boolean): Promise<void> {
  for (let turns = 0; !isSo(); turns++) {
    assert.ok(turns < 10_000, 'it never comes');
    await turn();
  }
}

function failureOf({ over }: FakeResponses<SnapshotResponse>): string {
  assert.ok(typeof over === 'object');
  const { code, message } = toStatus(over.error);
  return `${code} ${message}`;
}

suite('Maintenance.Snapshot', () => {
  test('blobs of 32 KiB, what remains, and the SHA-256 of it all at the end', async () => {
    const { services, views } = await memberWithState();
    const { requests, responses } = open(services);
    await requests.next(SnapshotRequest.create());
    requests.halfClosed();
    await until(() => responses.over !== undefined);
    assert.equal(responses.over, 'end');
    const blobs = responses.sent.map(({ blob }) => blob);
    const body = Buffer.concat(blobs.slice(0, -1));
    assert.ok(body.length > 300_000 && body.length % 4096 === 0);
    assert.deepEqual(blobs.at(-1), createHash('sha256').update(body).digest());
    let left = body.length;
    for (const { blob, remainingBytes, version } of responses.sent.slice(0, -1)) {
      left -= blob.length;
      assert.equal(remainingBytes, left);
      assert.equal(version, '3.6.0');
      assert.equal(blob.length, Math.min(snapshotBlobBytes, left + blob.length));
    }
    assert.equal(responses.sent.at(-1)?.remainingBytes, 0);
    assert.equal(views.out, 0);
  });

  test('waits for a client that is slow, and sends one away that takes nothing at all', async () => {
    const { services, views } = await memberWithState();
    const { requests, responses } = open(services);
    responses.hasRoom = false;
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      await requests.next(SnapshotRequest.create());
      for (let sent = 1; sent <= 3; sent++) {
        await until(() => responses.sent.length === sent);
        await turn();
        assert.equal(responses.sent.length, sent);
        requests.drained();
      }
      await until(() => responses.sent.length === 4);
      await turn();
      mock.timers.tick(snapshotStallMsMax - 1);
      await turn();
      assert.equal(responses.over, undefined);
      mock.timers.tick(1);
      await until(() => responses.over !== undefined);
      assert.match(failureOf(responses), /request timed out$/);
      assert.equal(views.out, 0);
    } finally {
      mock.timers.reset();
    }
  });

  test('a client that goes away leaves no view behind, wherever it was', async () => {
    for (const sentBefore of [0, 1, 3]) {
      const { services, views } = await memberWithState();
      const { requests, responses } = open(services);
      responses.hasRoom = false;
      await requests.next(SnapshotRequest.create());
      for (let sent = 1; sent <= sentBefore; sent++) {
        await until(() => responses.sent.length === sent);
        if (sent < sentBefore) requests.drained();
      }
      assert.equal(views.out, 1);
      requests.closed();
      await until(() => views.out === 0);
      assert.ok(responses.sent.length <= sentBefore);
    }
  });

  test('a few at a time', async () => {
    const { services } = await memberWithState();
    const streams = Array.from({ length: clientSnapshotsMax }, () => open(services));
    for (const { requests, responses } of streams) {
      responses.hasRoom = false;
      await requests.next(SnapshotRequest.create());
    }
    const next = () => open(services).requests.next(SnapshotRequest.create());
    assert.throws(next, { error: 'TooManyRequests' });
    streams[0]?.requests.closed();
    for (let turns = 0; turns < 10; turns++) await turn();
    await next();
    for (const { requests } of streams) requests.closed();
  });

  test('a damaged state is told, not sent', async () => {
    const member = new FakeMember();
    const { backend } = await openStore();
    member.pin = () => {
      const pinned = backend.pin();
      pinned.scan = async function* () {
        yield* [];
        throw new Error('a record does not match its checksum');
      };
      return pinned;
    };
    const { requests, responses } = open(servicesOf(member, { txnOpsMax: 1, messageBytesMax: 1 }));
    await requests.next(SnapshotRequest.create());
    await until(() => responses.over !== undefined);
    assert.deepEqual(responses.sent, []);
    assert.equal(failureOf(responses), '13 internal error');
  });

  test('without a request there is nothing to answer', async () => {
    const { services } = await memberWithState();
    assert.throws(() => open(services).requests.halfClosed(), /no request message/);
  });
});

test('a learner gives a snapshot, but no hash', async () => {
  const member = new FakeMember();
  member.raft.isLearner = true;
  const services = servicesOf(member, { txnOpsMax: 1, messageBytesMax: 1 });
  open(services).requests.closed();
  const { path } = Maintenance.methods.hashKV;
  await assert.rejects(run(services, path, { revision: 0 }), { error: 'NotSupportedForLearner' });
});

test('Hash is over everything, HashKV over the keys; both say the revision they are of', async () => {
  const { services, views } = await memberWithState();
  const { hash, hashKV } = Maintenance.methods;
  const header = { clusterId: 0xc1n, memberId: 0xa1n, revision: 5, raftTerm: 7 };
  const hashed = (await run(services, hash.path, {})) as { hash: number };
  assert.deepEqual(hashed, { header, hash: hashed.hash });
  assert.ok(Number.isInteger(hashed.hash) && hashed.hash !== 0);
  assert.equal(views.out, 0);
  assert.deepEqual(await run(services, hashKV.path, { revision: 4 }), {
    header,
    hash: 0xfeed,
    compactRevision: 3,
    hashRevision: 5,
  });
});

async function run(services: Services, path: string, request: object): Promise<unknown> {
  const found = services.find(path) as UnaryCall<object, unknown>;
  return found.run(request, contextOf());
}
