import type { Client } from '../client/client.ts';
import { type Keys, keyAfter } from '../client/keys.ts';
import type { KeyValue } from '../proto/gen/kv.ts';
import type { Patience } from './patience.ts';

/** What a page should weigh, and how many keys it may have: of values of 1.5 MiB, so many fit into memory. */
const pageBytes = 1024 * 1024;
const pageKeysMin = 4;
const pageKeysMax = 256;

export interface ReadingOptions {
  readonly client: Client;
  readonly patience: Patience;
  /** 0: each page is of the newest revision. */
  readonly revision: number;
}

/**
 * A range of any size, by ascending key, in pages of about 1 MiB. Fails with `required revision has been compacted` when
 * that happens meanwhile.
 */
export async function* readRange(
  keys: Keys,
  { client, patience, revision }: ReadingOptions,
): AsyncGenerator<KeyValue, void, void> {
  let rest = keys;
  let limit = pageKeysMin;
  for (;;) {
    const asked = { revision, limit };
    const { kvs, more } = await patience.until(() => client.range(rest, asked));
    yield* kvs;
    const last = kvs.at(-1);
    if (!more || last === undefined) return;
    rest = { key: keyAfter(last.key), rangeEnd: keys.rangeEnd };
    const bytes = kvs.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
    const fitting = Math.floor((pageBytes * kvs.length) / Math.max(1, bytes));
    limit = Math.min(Math.max(fitting, pageKeysMin), 2 * limit, pageKeysMax);
  }
}
