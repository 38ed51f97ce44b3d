import { latin1 } from '../../../server/base/bytes.ts';
import type { Store } from '../../../server/mvcc/store.ts';

/** All that a store has to say. */
export function show(store: Store): string {
  const lines = [`revision ${store.revision}, compacted ${store.compactRevision}`];
  const everything = { start: '', end: undefined, single: false };
  const oldest = Math.max(1, store.compactRevision);
  for (let revision = oldest; revision <= store.revision; revision += 7) {
    const { kvs } = store.range({ range: everything, revision });
    const shown = kvs.map((kv) => `${latin1(kv.key)}=${latin1(kv.value)}@${kv.modRevision}`);
    lines.push(`${revision}: ${shown.join(' ')}`);
  }
  return lines.join('\n');
}
