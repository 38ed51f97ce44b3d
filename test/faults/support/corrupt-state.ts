import assert from 'node:assert/strict';
import { silentLogger } from '../../../server/base/logger.ts';
import { bytesOf } from '../../../server/client/keys.ts';
import { LevelStateStores } from '../../../server/member/level-state-stores.ts';
import { nodeClock } from '../../../server/member/node-ports.ts';
import { MemberState } from '../../../server/member/state.ts';
import { revisionKey } from '../../../server/mvcc/revision.ts';
import { KeyValue } from '../../../server/proto/gen/kv.ts';

/**
 * Gives the newest version of a key another value in the state of a stopped member, with every checksum right: what a
 * bug would do, and no disk.
 */
export async function corruptValue(dataDirectory: string, key: string): Promise<void> {
  const stores = new LevelStateStores(`${dataDirectory}/member`);
  const modules = { clock: nodeClock, logger: silentLogger, defer: setImmediate };
  const state = new MemberState(modules);
  await state.open(await stores.open());
  const entry = state.store.index.get(key);
  const kv = state.store.get(key);
  assert(entry !== undefined && kv !== undefined, `${key} is there`);
  const record = KeyValue.encode({ ...kv, value: bytesOf('corrupt') });
  state.backend.put(revisionKey(entry.main, entry.sub), record);
  await new Promise<void>((resolve, reject) => {
    state.backend.flush((error) => (error === null ? resolve() : reject(error)));
  });
  await state.backend.close();
}
