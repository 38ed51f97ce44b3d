import { Buffer } from 'node:buffer';
import { latin1 } from '../base/bytes.ts';
import type { PrefixQuota } from '../config/request-limits.ts';
import type { PutRequest, RequestOp, TxnRequest } from '../proto/gen/rpc.ts';
import { StatusError } from './errors.ts';
import type { MemberPort } from './member-port.ts';

/** By prefix, how many bytes more its keys would take. */
type Growth = Map<string, number>;

/**
 * Refuses puts that would make the keys with a prefix take more than its quota. As etcd's check for space it looks at what
 * this member has applied before it proposes, and so decides nothing about what an entry does: members whose quotas differ stay
 * alike. What is proposed here counts until it is applied; what other members propose at that moment may come on top.
 */
export class PrefixQuotas {
  /** Puts and transactions refused since the process began, by prefix. */
  readonly refused: Map<string, number>;
  readonly #port: Pick<MemberPort, 'prefixUsage' | 'liveValueBytes'>;
  readonly #quotas: ReadonlyMap<string, number>;
  readonly #pending: Growth = new Map();

  constructor(
    { port }: { readonly port: Pick<MemberPort, 'prefixUsage' | 'liveValueBytes'> },
    quotas: readonly PrefixQuota[],
  ) {
    this.#port = port;
    this.#quotas = new Map(quotas.map(({ prefix, sizeBytes }) => [prefix, sizeBytes]));
    this.refused = new Map(quotas.map(({ prefix }) => [prefix, 0]));
  }

  /** For the metrics. */
  *usage(): Generator<{ prefix: string; usedBytes: number; quotaBytes: number }> {
    for (const [prefix, quotaBytes] of this.#quotas) {
      yield { prefix, quotaBytes, usedBytes: this.#port.prefixUsage()?.bytesOf(prefix) ?? 0 };
    }
  }

  /** Runs what puts, unless a prefix has no room for it: then throws RESOURCE_EXHAUSTED. */
  put<T>(request: PutRequest, run: () => Promise<T>): Promise<T> {
    const growth: Growth = new Map();
    this.#addPut(growth, request);
    return this.#run(growth, run);
  }

  /** The same, for the branch that puts more there. What a transaction deletes makes no room for what it puts. */
  txn<T>(request: TxnRequest, run: () => Promise<T>): Promise<T> {
    return this.#run(this.#ofTxn(request), run);
  }

  #ofTxn({ success, failure }: TxnRequest): Growth {
    const growth = this.#ofBranch(success);
    for (const [prefix, bytes] of this.#ofBranch(failure)) {
      growth.set(prefix, Math.max(bytes, growth.get(prefix) ?? 0));
    }
    return growth;
  }

  #ofBranch(ops: readonly RequestOp[]): Growth {
    const growth: Growth = new Map();
    for (const { request } of ops) {
      if (request?.kind === 'requestPut') this.#addPut(growth, request.value);
      if (request?.kind !== 'requestTxn') continue;
      for (const [prefix, bytes] of this.#ofTxn(request.value)) add(growth, prefix, bytes);
    }
    return growth;
  }

  #addPut(growth: Growth, { key, value, ignoreValue }: PutRequest): void {
    const name = latin1(key);
    const prefixes = this.#port.prefixUsage()?.prefixesOf(name) ?? [];
    if (prefixes.length === 0) return;
    const before = this.#port.liveValueBytes(name);
    const after = ignoreValue ? (before ?? 0) : value.length;
    const bytes = after - (before ?? -key.length);
    for (const prefix of prefixes) add(growth, prefix, bytes);
  }

  #run<T>(growth: Growth, run: () => Promise<T>): Promise<T> {
    const grown = [...growth].filter(([, bytes]) => bytes > 0);
    if (grown.length === 0) return run();
    for (const [prefix, bytes] of grown) this.#needRoom(prefix, bytes);
    for (const [prefix, bytes] of grown) add(this.#pending, prefix, bytes);
    return (async () => run())().finally(() => {
      for (const [prefix, bytes] of grown) add(this.#pending, prefix, -bytes);
    });
  }

  #needRoom(prefix: string, bytes: number): void {
    const quotaBytes = this.#quotas.get(prefix) ?? Infinity;
    const usedBytes = this.#port.prefixUsage()?.bytesOf(prefix) ?? 0;
    if (usedBytes + (this.#pending.get(prefix) ?? 0) + bytes <= quotaBytes) return;
    add(this.refused, prefix, 1);
    const shown = JSON.stringify(Buffer.from(prefix, 'latin1').toString());
    throw new StatusError(
      'RESOURCE_EXHAUSTED',
      `mainstay: the keys with prefix ${shown} have a quota of ${quotaBytes} bytes and take ${usedBytes}: there is no room for ${bytes} more`,
    );
  }
}

function add(growth: Map<string, number>, prefix: string, bytes: number): void {
  growth.set(prefix, (growth.get(prefix) ?? 0) + bytes);
}
