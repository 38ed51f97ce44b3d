import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MemoryStore } from '../../../server/backend/memory.ts';
import type { OrderedStore } from '../../../server/backend/ordered-store.ts';
import { silentLogger } from '../../../server/base/logger.ts';
import { bytesOf } from '../../../server/client/keys.ts';
import { applyBytesMax } from '../../../server/config/limits.ts';
import { nodeClock, nodeRandom } from '../../../server/member/node-ports.ts';
import { Replica, type StateStores } from '../../../server/member/replica.ts';
import { PutRequest } from '../../../server/proto/gen/rpc.ts';
import { nodeFileSystem } from '../../../server/wal/node-file-system.ts';

const kibibyte = 1024;
const valueBytes = 64 * kibibyte;
const statePendingBytes = 1024 * kibibyte;
const puts = 200;

/** A store whose disk takes nothing while it is held. */
class HeldStore extends MemoryStore {
  isHeld = false;
  readonly #waiting: Array<() => void> = [];

  override write(...given: Parameters<OrderedStore['write']>): void {
    const write = () => super.write(...given);
    if (this.isHeld) this.#waiting.push(write);
    else write();
  }

  release(): void {
    this.isHeld = false;
    for (const write of this.#waiting.splice(0)) write();
  }
}

function storesWith(store: OrderedStore): StateStores {
  const none = async (): Promise<void> => {};
  const same = async (): Promise<OrderedStore> => store;
  return {
    place: 'memory',
    open: same,
    stage: same,
    promoteStaged: same,
    removeFormer: none,
    discard: none,
  };
}

async function openReplica(directory: string, store: OrderedStore): Promise<Replica> {
  const memberId = 1n;
  const members = [{ id: memberId, peerUrls: ['http://127.0.0.1:1'] }];
  const replica = await Replica.open(
    {
      clock: nodeClock,
      random: nodeRandom,
      fileSystem: nodeFileSystem,
      logger: silentLogger,
      stateStores: storesWith(store),
      network: { setPeers() {}, send() {}, sendSnapshot: (_message, image) => image.release() },
      defer: setImmediate,
      fatal: (error) => assert.fail(error),
    },
    {
      name: 'a',
      clientUrls: [],
      version: '3.6.0',
      walDirectory: `${directory}/wal`,
      walSegmentBytes: 1024 * kibibyte,
      heartbeatMs: 10,
      electionMs: 100,
      requestTimeoutMs: 5_000,
      requestBytesMax: 1024 * kibibyte,
      catchUpEntries: 10,
      appendBytes: 1024 * kibibyte,
      statePendingBytes,
      beginning: { isNewCluster: true, clusterId: 2n, memberId, members },
    },
  );
  replica.start();
  for (let tries = 0; replica.raft.leader !== memberId && tries < 500; tries++) await sleep(10);
  return replica;
}

test('while the disk takes no changes they do not fill the memory; then all are applied and answered', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'mainstay-slow-state-'));
  const store = new HeldStore();
  const replica = await openReplica(directory, store);
  try {
    store.isHeld = true;
    let answered = 0;
    const value = Buffer.alloc(valueBytes, 1);
    const all = Array.from(
      { length: puts },
      (_, at) =>
        new Promise<void>((resolve, reject) => {
          const put = PutRequest.create({ key: bytesOf(`key-${at}`), value });
          replica.propose({ kind: 'put', value: put }, (error) => {
            answered++;
            if (error === undefined) resolve();
            else reject(error);
          });
        }),
    );
    const { log } = replica.raft;
    for (let tries = 0; log.commit < puts && tries < 500; tries++) await sleep(10);
    await sleep(200);
    assert.ok(log.commit >= puts, 'all are on the log');
    assert.ok(answered < puts, 'not all are applied');
    const { pendingBytes } = replica.state.backend;
    assert.ok(
      pendingBytes <= statePendingBytes + applyBytesMax + 2 * valueBytes,
      `${pendingBytes}`,
    );
    store.release();
    await Promise.all(all);
    assert.equal(replica.state.store.revision, puts + 1);
  } finally {
    store.release();
    await replica.close();
    rmSync(directory, { recursive: true });
  }
});
