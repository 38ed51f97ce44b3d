import { fromBase64, indexOf, joined, prefixEnd } from './bytes.ts';
import type { Gateway, KeyValue } from './gateway.ts';

/** What stands directly below a prefix. */
export type LevelEntry =
  | { readonly kind: 'folder'; readonly prefix: Uint8Array }
  | { readonly kind: 'key'; readonly key: Uint8Array; readonly keyValue: KeyValue };

export interface LevelPage {
  readonly entries: readonly LevelEntry[];
  /** Where the next page begins; undefined at the end. */
  readonly next: Uint8Array | undefined;
}

/** Keys asked for at once: a folder with more costs one call more, not all of its keys. */
const keysPerCall = 50;
const callsMax = 40;
const zero = Uint8Array.of(0);

/**
 * Lists one level: keys, and what they have in common up to the next delimiter. Each call reads some keys; when they end
 * inside a folder, the next one begins behind it.
 */
export async function readLevel(
  gateway: Gateway,
  level: {
    readonly prefix: Uint8Array;
    readonly delimiter: Uint8Array;
    readonly from?: Uint8Array | undefined;
  },
  entriesMax = 100,
): Promise<LevelPage> {
  const { prefix, delimiter } = level;
  const end = prefix.length === 0 ? zero : prefixEnd(prefix);
  const entries: LevelEntry[] = [];
  let from = level.from ?? (prefix.length === 0 ? zero : prefix);
  for (let calls = 0; calls < callsMax && entries.length < entriesMax; calls++) {
    const limit = Math.min(keysPerCall, entriesMax - entries.length);
    const answer = await gateway.range(
      { key: from, end },
      { limit: String(limit), keys_only: true },
    );
    let folder: Uint8Array | undefined;
    for (const keyValue of answer.kvs ?? []) {
      const key = fromBase64(keyValue.key);
      from = joined([key, zero]);
      if (folder !== undefined && key.length >= folder.length && indexOf(key, folder, 0) === 0)
        continue;
      folder = folderOf(key, prefix, delimiter);
      entries.push(
        folder === undefined ? { kind: 'key', key, keyValue } : { kind: 'folder', prefix: folder },
      );
    }
    if (answer.more !== true) return { entries, next: undefined };
    if (folder === undefined) continue;
    from = prefixEnd(folder);
    // Nothing can come behind a folder of bytes that are all 0xff.
    if (from.length === 1 && from[0] === 0) return { entries, next: undefined };
  }
  return { entries, next: from };
}

function folderOf(
  key: Uint8Array,
  prefix: Uint8Array,
  delimiter: Uint8Array,
): Uint8Array | undefined {
  if (delimiter.length === 0) return undefined;
  const at = indexOf(key, delimiter, prefix.length);
  return at < 0 ? undefined : key.slice(0, at + delimiter.length);
}
