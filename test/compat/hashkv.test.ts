import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KV, Maintenance } from '../../server/proto/gen/rpc.ts';
import type { GrpcChannel } from '../support/grpc.ts';
import { needs } from '../support/tools.ts';
import { must, writeHistory } from './contents.ts';
import { withStores } from './store-under-test.ts';

// HashKV of every revision, and of those that are not there: the same from this store and from a running etcd that holds
// the same history, before and after compactions.

const options = { ...needs('etcd'), timeout: 5 * 60_000 };

/** What each revision is answered, one beyond both ends included. */
async function hashesOf(channel: GrpcChannel, revision: number): Promise<readonly unknown[]> {
  const asked = [-1, 0, ...Array.from({ length: revision + 1 }, (_, at) => at + 1)];
  return Promise.all(
    asked.map(async (at) => {
      const outcome = await channel.call(Maintenance.methods.hashKV, { revision: at });
      if (outcome.kind === 'error') return [at, outcome.message];
      const { header, hash, compactRevision } = outcome.response;
      return [at, header?.revision, hash, compactRevision];
    }),
  );
}

test('HashKV at every revision, through two compactions', options, () =>
  withStores({}, async ([tested, etcd]) => {
    const both = [tested.channel, etcd.channel] as const;
    const compare = async (when: string): Promise<number> => {
      const all = { key: new Uint8Array(1), rangeEnd: new Uint8Array(1) };
      const { header } = must(await etcd.channel.call(KV.methods.range, all));
      const revision = header?.revision ?? 0;
      const [ours, theirs] = await Promise.all(both.map((channel) => hashesOf(channel, revision)));
      assert.deepEqual(ours, theirs, when);
      return revision;
    };
    const compact = async (revision: number): Promise<void> => {
      for (const channel of both) {
        must(await channel.call(KV.methods.compact, { revision, physical: true }));
      }
    };
    await compare('empty');
    // It has a compaction in it, of which etcd remembers the hash that it took meanwhile.
    for (const channel of both) await writeHistory(channel, 11);
    const revision = await compare('written');
    for (const back of [9, 4, 0]) {
      await compact(revision - back);
      await compare(`compacted to ${back} before the end`);
    }
  }),
);
