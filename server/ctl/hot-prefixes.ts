import { latin1 } from '../base/bytes.ts';
import type { Client } from '../client/client.ts';
import { ClientError } from '../client/errors.ts';
import { keysUnder } from '../client/keys.ts';
import { EventType } from '../proto/gen/kv.ts';

/** How often keys that begin so were changed. */
export interface PrefixHeat {
  /** latin-1. */
  readonly prefix: string;
  readonly putsPerSecond: number;
  readonly deletesPerSecond: number;
}

/** What was seen of the changes for a while, or why nothing was. */
export type HeatSample = readonly PrefixHeat[] | string;

/** More prefixes than this are no hot ones any more. */
const prefixesMax = 10_000;

export interface HeatOptions {
  readonly prefix: string;
  /** A prefix ends with so many slashes, one at the beginning not counted. */
  readonly depth: number;
  readonly sampleMs: number;
  readonly signal: AbortSignal;
}

/** Follows everything that changes for a while; the hottest first. */
export async function sampleHeat(client: Client, options: HeatOptions): Promise<HeatSample> {
  const { prefix, depth, sampleMs, signal } = options;
  const watch = client.watch(keysUnder(prefix), { signal });
  const counts = new Map<string, { puts: number; deletes: number }>();
  let timer: NodeJS.Timeout | undefined;
  try {
    const starting = setTimeout(() => watch.cancel(), client.endpoints.length * 2_000 + sampleMs);
    await watch.started().finally(() => clearTimeout(starting));
    const startMs = performance.now();
    timer = setTimeout(() => watch.cancel(), sampleMs);
    for await (const { events } of watch) {
      for (const { type, kv } of events) {
        const name = prefixOf(latin1(kv.key), depth);
        const count = counts.get(name) ?? { puts: 0, deletes: 0 };
        count[type === EventType.PUT ? 'puts' : 'deletes']++;
        if (counts.size < prefixesMax) counts.set(name, count);
      }
    }
    const seconds = (performance.now() - startMs) / 1_000;
    return hottestFirst(counts, seconds);
  } catch (error) {
    if (error instanceof ClientError) return error.text;
    if (error instanceof Error && error.name === 'AbortError') return 'no member answers';
    throw error;
  } finally {
    clearTimeout(timer);
    watch.cancel();
  }
}

/** `/registry/pods/` of `/registry/pods/default/a`, with depth 2. Empty where there is no slash. */
export function prefixOf(key: string, depth: number): string {
  let end = key.startsWith('/') ? 1 : 0;
  for (let slashes = 0; slashes < depth; slashes++) {
    const at = key.indexOf('/', end);
    if (at < 0) break;
    end = at + 1;
  }
  return key.slice(0, end);
}

function hottestFirst(
  counts: ReadonlyMap<string, { puts: number; deletes: number }>,
  seconds: number,
): PrefixHeat[] {
  const heat = Array.from(counts, ([prefix, { puts, deletes }]) => ({
    prefix,
    putsPerSecond: puts / seconds,
    deletesPerSecond: deletes / seconds,
  }));
  const rate = (each: PrefixHeat) => each.putsPerSecond + each.deletesPerSecond;
  return heat.sort((a, b) => rate(b) - rate(a));
}
