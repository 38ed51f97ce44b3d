import { Buffer } from 'node:buffer';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { PinnedState } from '../backend/backend.ts';
import { assert } from '../base/assert.ts';
import { EtcdError } from '../base/errors.ts';
import { clientSnapshotsMax, snapshotBlobBytes, snapshotStallMsMax } from '../config/limits.ts';
import { clusterVersion } from '../config/version.ts';
import { Maintenance, type SnapshotRequest, type SnapshotResponse } from '../proto/gen/rpc.ts';
import { clientSnapshotOf } from '../snapshot/client-snapshot.ts';
import type { Call, Requests, Responses } from './call.ts';
import { StatusError } from './errors.ts';
import type { Gate } from './gate.ts';
import type { MemberPort } from './member-port.ts';

interface SnapshotModules {
  readonly port: MemberPort;
  readonly gate: Gate;
}

/** Maintenance.Snapshot: the whole state as etcd's database file, in blobs, and its SHA-256 as the last of them. */
export function snapshotCall(modules: SnapshotModules): Call {
  const underWay = new Set<SnapshotStream>();
  return modules.gate.stream(
    Maintenance.methods.snapshot,
    'serves',
    (responses) => new SnapshotStream(modules, { responses, underWay }),
  );
}

interface SnapshotStreamCall {
  readonly responses: Responses<SnapshotResponse>;
  /** All of this member. */
  readonly underWay: Set<SnapshotStream>;
}

class SnapshotStream implements Requests<SnapshotRequest> {
  readonly #modules: SnapshotModules;
  readonly #call: SnapshotStreamCall;
  readonly #abort = new AbortController();
  #isBegun = false;
  #goOn: (() => void) | undefined;

  constructor(modules: SnapshotModules, call: SnapshotStreamCall) {
    this.#modules = modules;
    this.#call = call;
  }

  next(): void {
    if (this.#isBegun) return;
    const { underWay } = this.#call;
    if (underWay.size >= clientSnapshotsMax) throw new EtcdError('TooManyRequests');
    const state = this.#modules.port.pinState();
    this.#isBegun = true;
    underWay.add(this);
    void this.#run(state);
  }

  halfClosed(): void {
    if (!this.#isBegun) throw new StatusError('INTERNAL', 'no request message');
  }

  drained(): void {
    const goOn = this.#goOn;
    this.#goOn = undefined;
    goOn?.();
  }

  /** Nobody takes it any more: the view is released. */
  closed(): void {
    this.#abort.abort(new EtcdError('RequestCanceled'));
    this.drained();
  }

  async #run(state: PinnedState): Promise<void> {
    const { responses, underWay } = this.#call;
    try {
      const { sizeBytes, chunks } = await clientSnapshotOf(state, this.#abort.signal);
      let remainingBytes = sizeBytes;
      for await (const blob of blobsOf(chunks())) {
        remainingBytes = Math.max(0, remainingBytes - blob.length);
        await this.#send({ header: undefined, remainingBytes, blob, version: clusterVersion });
        // Others have their turn between two blobs: what is read at once makes many of them.
        await nextTurn();
      }
      responses.end();
    } catch (error) {
      responses.fail(error);
    } finally {
      state.release();
      underWay.delete(this);
    }
  }

  async #send(response: SnapshotResponse): Promise<void> {
    this.#abort.signal.throwIfAborted();
    if (this.#call.responses.send(response)) return;
    const stall = setTimeout(() => {
      this.#abort.abort(new EtcdError('Timeout'));
      this.drained();
    }, snapshotStallMsMax);
    await new Promise<void>((resolve) => {
      this.#goOn = resolve;
    });
    clearTimeout(stall);
    this.#abort.signal.throwIfAborted();
  }
}

/** The chunks in pieces of the size that etcd sends; the last chunk, the checksum, in one of its own. */
async function* blobsOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let gathered: Uint8Array[] = [];
  let gatheredBytes = 0;
  let former: Uint8Array | undefined;
  const flush = (): Buffer => {
    const blob = Buffer.concat(gathered);
    gathered = [];
    gatheredBytes = 0;
    return blob;
  };
  for await (const chunk of chunks) {
    for (let rest = former; rest !== undefined && rest.length > 0; ) {
      const part = rest.subarray(0, snapshotBlobBytes - gatheredBytes);
      gathered.push(part);
      gatheredBytes += part.length;
      rest = rest.subarray(part.length);
      if (gatheredBytes === snapshotBlobBytes) yield flush();
    }
    former = chunk;
  }
  if (gatheredBytes > 0) yield flush();
  assert(former !== undefined, 'a snapshot ends with its checksum');
  yield former;
}
