import type { Event, KeyValue } from '../proto/gen/kv.ts';
import type { WatchResponse } from '../proto/gen/rpc.ts';

/** A response cut between events into parts smaller than `bytesMax`; a single event is never cut. */
export function* fragments(response: WatchResponse, bytesMax: number): Generator<WatchResponse> {
  let events: Event[] = [];
  let bytes = 0;
  for (const event of response.events) {
    const eventBytes = sizeOf(event);
    if (events.length > 0 && bytes + eventBytes >= bytesMax) {
      yield { ...response, events, fragment: true };
      events = [];
      bytes = 0;
    }
    events.push(event);
    bytes += eventBytes;
  }
  yield { ...response, events, fragment: false };
}

/** Tags, lengths and numbers of a KeyValue and of the messages around it take less. */
const overheadBytes = 80;

/** At least the event's bytes on the wire. */
function sizeOf({ kv, prevKv }: Event): number {
  return sizeOfKv(kv) + sizeOfKv(prevKv);
}

function sizeOfKv(kv: KeyValue | undefined): number {
  return kv === undefined ? 0 : kv.key.length + kv.value.length + overheadBytes;
}
