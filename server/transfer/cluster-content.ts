import type { LeaseId } from '../base/ids.ts';
import type { Client } from '../client/client.ts';
import { type Keys, oneKey } from '../client/keys.ts';
import { Patience } from '../mirror/patience.ts';
import { readRange } from '../mirror/range-reading.ts';
import { Source } from '../mirror/source.ts';
import type { Content, Entry } from './content.ts';

/** How long a cluster may be away meanwhile. */
const patienceMs = 60_000;

export interface ClusterContentOptions {
  readonly keys: Keys;
  /** 0: the newest. */
  readonly revision: number;
  readonly isIncluded: (key: Uint8Array) => boolean;
  /** Told of each key that is left out, since its lease has ended meanwhile, and the key with it. */
  readonly onEnded: () => void;
  readonly signal: AbortSignal;
}

/** What a cluster has, read page by page at one revision, by ascending key. */
export async function clusterContent(
  client: Client,
  options: ClusterContentOptions,
): Promise<Content> {
  const patience = new Patience('source', options.signal, patienceMs);
  const source = new Source({ client, patience }, options.keys);
  const { clusterId, revision: newest } = await source.identity();
  const revision = options.revision === 0 ? newest : options.revision;
  // Fails at once where it is compacted, or still to come.
  await client.range(oneKey(options.keys.key), { revision });
  return { clusterId, revision, entries: () => entriesOf(source, revision, options) };
}

async function* entriesOf(
  source: Source,
  revision: number,
  { keys, isIncluded, onEnded }: ClusterContentOptions,
): AsyncGenerator<Entry, void, void> {
  const { client, patience } = source;
  const ttls = new Map<LeaseId, number | undefined>();
  for await (const kv of readRange(keys, { client, patience, revision })) {
    if (!isIncluded(kv.key)) continue;
    const { lease } = kv;
    if (lease !== 0n && !ttls.has(lease)) {
      const ttlSeconds = await source.ttlOf(lease, kv.modRevision);
      ttls.set(lease, ttlSeconds);
      if (ttlSeconds !== undefined) yield { kind: 'lease', id: lease, ttlSeconds };
    }
    if (lease !== 0n && ttls.get(lease) === undefined) onEnded();
    else yield { kind: 'key', ...kv };
  }
}
