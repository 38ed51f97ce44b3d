import { randomBytes } from 'node:crypto';
import { asBuffer, equalBytes } from '../base/bytes.ts';
import type { Client } from '../client/client.ts';
import { modRevisionOf } from '../client/compare.ts';
import { lineOf } from '../client/ctl/text.ts';
import { ClientError } from '../client/errors.ts';
import { etcdTexts } from '../client/etcd-texts.ts';
import type { Headed } from '../client/key-space.ts';
import { bytesOf, type Keys } from '../client/keys.ts';
import { deleteOp, kvsAt, putOp, rangeOp } from '../client/txn.ts';
import type { KeyValue } from '../proto/gen/kv.ts';
import { KV, type RequestOp, type TxnResponse } from '../proto/gen/rpc.ts';
import { LeaseLostError, MirrorError, OvertakenError, TooLargeError } from './failure.ts';
import type { Patience } from './patience.ts';

/** What a checkpoint says; JSON. */
export type State = Readonly<Record<string, unknown>>;

/** gRPC's code for a message that is larger than the member reads. */
const resourceExhausted = 8;

/**
 * Writes to the destination, each write in one transaction with what it says of how far the work is then: the checkpoint,
 * one key. Every transaction is done only as long as the checkpoint is what this writer knows, so that a request that was
 * sent twice takes effect once, and a second writer is noticed before it does harm.
 */
export class GuardedWriter {
  readonly #client: Client;
  readonly #patience: Patience;
  readonly #key: Uint8Array;
  /** Tells what this process has written from what another one has. */
  readonly #writer = randomBytes(8).toString('hex');
  #sequence = 0;
  /** Of the checkpoint; 0: it is not there. */
  #modRevision = 0;

  constructor(client: Client, patience: Patience, key: string) {
    this.#client = client;
    this.#patience = patience;
    this.#key = bytesOf(key);
  }

  /** What the last writer left; undefined when nobody has written yet. */
  async load(): Promise<State | undefined> {
    const kv = await this.#patience.until(() => this.#client.get(this.#key));
    this.#modRevision = kv?.modRevision ?? 0;
    if (kv === undefined) return undefined;
    return parsedState(kv);
  }

  /**
   * Does the operations, and with `state` also writes the checkpoint. Throws {@link TooLargeError} when the destination
   * takes no such request, and {@link LeaseLostError} when a lease of a put is not there.
   */
  async write(operations: readonly RequestOp[], state?: State): Promise<void> {
    const value = state && bytesOf(JSON.stringify({ ...state, ...this.#nextStamp() }));
    const checkpoint = value === undefined ? [] : [putOp(this.#key, value)];
    const answer = await this.#guarded([...operations, ...checkpoint]);
    if (answer.succeeded) {
      if (value !== undefined) this.#modRevision = answer.header.revision;
      return;
    }
    const [kv] = kvsAt(answer, 0);
    // It took effect before, and the answer was lost.
    if (kv === undefined || value === undefined || !equalBytes(kv.value, value)) {
      throw this.#somebodyElse();
    }
    this.#modRevision = kv.modRevision;
  }

  /** The same; what the destination does not take in one request goes in one for each operation. */
  async writeInParts(operations: readonly RequestOp[], state?: State): Promise<void> {
    try {
      await this.write(operations, state);
    } catch (error) {
      if (!(error instanceof TooLargeError)) throw error;
      for (const operation of operations) await this.#writeAlone(operation);
      if (state !== undefined) await this.write([], state);
    }
  }

  /** Deletes the checkpoint and all that is beside it. */
  async end(keys: Keys): Promise<void> {
    const answer = await this.#guarded([deleteOp(keys)]);
    if (!answer.succeeded && kvsAt(answer, 0).length > 0) throw this.#somebodyElse();
    this.#modRevision = 0;
  }

  #guarded(success: RequestOp[]): Promise<Headed<TxnResponse>> {
    const request = {
      compare: [modRevisionOf(this.#key).equals(this.#modRevision)],
      success,
      failure: [rangeOp(this.#key)],
    };
    return this.#sent(() => this.#client.txn(request, { mayRepeat: true }));
  }

  #somebodyElse(): OvertakenError {
    return new OvertakenError(
      `somebody else has written ${asBuffer(this.#key).toString()}: only one may write there at a time`,
    );
  }

  async #writeAlone(operation: RequestOp): Promise<void> {
    try {
      await this.writeApart([operation]);
    } catch (error) {
      if (!(error instanceof TooLargeError) || operation.request?.kind !== 'requestPut')
        throw error;
      const { key, value } = operation.request.value;
      throw tooLarge(key, key.length + value.length, error);
    }
  }

  /**
   * Does the operations in requests that are as small as can be, and then writes the checkpoint in one of its own. Not
   * guarded: they must be such that twice is as once.
   */
  async writeApart(operations: readonly RequestOp[], state?: State): Promise<void> {
    const [{ request } = { request: undefined }] = operations;
    await this.#sent(async () => {
      if (operations.length > 1 || request === undefined) {
        await this.#client.txn({ success: [...operations] }, { mayRepeat: true });
      } else if (request.kind === 'requestPut') {
        await this.#client.call(KV.methods.put, request.value, { repeat: 'harmless' });
      } else if (request.kind === 'requestDeleteRange') {
        await this.#client.call(KV.methods.deleteRange, request.value, { repeat: 'harmless' });
      }
    });
    if (state !== undefined) await this.write([], state);
  }

  async #sent<T>(send: () => Promise<T>): Promise<T> {
    try {
      return await this.#patience.until(send);
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      const { code, text } = error;
      if (text === etcdTexts.requestTooLarge || (code === resourceExhausted && /larger/.test(text)))
        throw new TooLargeError(text, { cause: error });
      if (text === etcdTexts.leaseNotFound) throw new LeaseLostError(text, { cause: error });
      if (text === etcdTexts.tooManyOps) {
        throw new MirrorError(
          'the destination takes fewer operations in a transaction: name its --max-txn-ops here too',
          { cause: error },
        );
      }
      throw error;
    }
  }

  #nextStamp(): State {
    this.#sequence++;
    return { writer: this.#writer, sequence: this.#sequence };
  }
}

/** What stands in a checkpoint. */
export function parsedState({ key, value }: KeyValue): State {
  try {
    return JSON.parse(asBuffer(value).toString()) as State;
  } catch (error) {
    throw new MirrorError(`${asBuffer(key).toString()} is no checkpoint`, { cause: error });
  }
}

export function tooLarge(key: Uint8Array, sizeBytes: number, cause: unknown): MirrorError {
  return new MirrorError(
    `the destination takes no request of the size of ${lineOf(key)} (${sizeBytes} bytes): start its members with a larger --max-request-bytes`,
    { cause },
  );
}
