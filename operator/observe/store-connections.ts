// [io] Connections to stores, kept from pass to pass.
import { createHash } from 'node:crypto';
import { Client } from '../../server/client/client.ts';
import { ClientError } from '../../server/client/errors.ts';
import { etcdTexts } from '../../server/client/etcd-texts.ts';
import { AccessRefused, type StoreAccess } from './store-admin.ts';

/**
 * Connections that were not used for so long are closed: their pods may be gone, and those of stores that are well would
 * take a megabyte for each of them. One that has logged in is kept over a pass: logging in costs the store a slow check.
 */
const idleMsMax = { anyone: 5_000, loggedIn: 60_000 };
/** A user that a store has refused is not tried there again before: each time costs the store a slow check. */
const refusedMs = 30_000;

interface Connection {
  readonly client: Client;
  readonly idleMsMax: number;
  usedAtMs: number;
}

interface Refusal {
  readonly error: AccessRefused;
  readonly atMs: number;
}

/** What a store says to somebody whom it does not know, or who may not what the operator has to. */
const refusals: ReadonlySet<string> = new Set([
  etcdTexts.authFailed,
  etcdTexts.permissionDenied,
  etcdTexts.userNameEmpty,
  'auth: user name is empty',
]);

export interface Question {
  readonly endpoints: readonly string[];
  readonly timeoutMs: number;
}

/** One client for each set of endpoints, time limit and user. */
export class StoreConnections {
  readonly #nowMs: () => number;
  readonly #connections = new Map<string, Connection>();
  readonly #refusals = new Map<string, Refusal>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Throws {@link AccessRefused} when the store does not know who asks, or has not known it a moment ago. */
  async ask<T>(
    access: StoreAccess,
    question: Question,
    ask: (client: Client) => Promise<T>,
  ): Promise<T> {
    const fingerprint = fingerprintOf(access);
    const refusalKey = `${fingerprint} ${question.endpoints.join(' ')}`;
    const refusal = this.#refusals.get(refusalKey);
    if (refusal !== undefined && this.#nowMs() - refusal.atMs < refusedMs) throw refusal.error;
    this.#refusals.delete(refusalKey);
    try {
      return await ask(this.#connect(access, question, fingerprint));
    } catch (error) {
      if (!(error instanceof ClientError) || !refusals.has(error.text)) throw error;
      const refused = new AccessRefused(error.message, { cause: error });
      this.#refusals.set(refusalKey, { error: refused, atMs: this.#nowMs() });
      throw refused;
    }
  }

  /** Users and passwords have changed. */
  forgetRefusals(): void {
    this.#refusals.clear();
  }

  close(): void {
    for (const { client } of this.#connections.values()) client.close();
    this.#connections.clear();
  }

  #connect(
    { tls, credentials }: StoreAccess,
    { endpoints, timeoutMs }: Question,
    fingerprint: string,
  ): Client {
    const nowMs = this.#nowMs();
    this.#closeIdle(nowMs);
    const key = `${timeoutMs} ${fingerprint} ${endpoints.join(' ')}`;
    const known = this.#connections.get(key);
    if (known !== undefined) {
      known.usedAtMs = nowMs;
      return known.client;
    }
    const client = new Client({ endpoints, timeoutMs, tls, credentials });
    const idle = credentials === undefined ? idleMsMax.anyone : idleMsMax.loggedIn;
    this.#connections.set(key, { client, idleMsMax: idle, usedAtMs: nowMs });
    return client;
  }

  #closeIdle(nowMs: number): void {
    for (const [key, { client, usedAtMs, ...connection }] of this.#connections) {
      if (nowMs - usedAtMs <= connection.idleMsMax) continue;
      client.close();
      this.#connections.delete(key);
    }
    for (const [key, { atMs }] of this.#refusals) {
      if (nowMs - atMs >= refusedMs) this.#refusals.delete(key);
    }
  }
}

/** A new certificate or password is a new connection. */
function fingerprintOf({ tls, credentials }: StoreAccess): string {
  if (tls === undefined && credentials === undefined) return '';
  const hash = createHash('sha256');
  for (const part of [tls?.ca, tls?.cert, tls?.key, tls?.serverName]) hash.update(`${part}\n`);
  hash.update(JSON.stringify(credentials ?? null));
  return hash.digest('hex');
}
