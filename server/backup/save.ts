import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { equalBytes } from '../base/bytes.ts';
import type { EncryptionKey } from '../base/encryption-key.ts';
import type { Client } from '../client/client.ts';
import { ClientError } from '../client/errors.ts';
import { contentOf, withoutTail } from './content.ts';
import { encrypted, encryptedBytes } from './encryption.ts';
import { BackupError } from './failure.ts';
import { type KvFacts, needsEarlyTable } from './kv-facts.ts';
import { leaderTimes } from './leader-clock.ts';
import { encodeManifest, formatVersion, type Manifest } from './manifest.ts';
import {
  type BackupStem,
  dataName,
  manifestName,
  parseTimeName,
  stemName,
  timeName,
} from './names.ts';
import { inventoryOf, manifestOf } from './repository.ts';
import { randomWord } from './s3-target.ts';
import { SnapshotHash, SnapshotReading } from './snapshot-facts.ts';
import { type SourceMember, sourceMember, unreachable } from './source-member.ts';
import type { Target } from './target.ts';

export interface SaveOptions {
  /** A retry with the same one finds what was done before. */
  readonly id: string;
  /** For people; the UID by default. */
  readonly cluster?: string | undefined;
  /** Of Kubernetes: tells stores of one name apart. */
  readonly namespace?: string | undefined;
  /** Under which the backup is kept; by default the store's own id. */
  readonly clusterUid?: string | undefined;
  readonly key?: EncryptionKey | undefined;
  readonly onProgress: (
    step: 'saving' | 'comparing',
    doneBytes: number,
    totalBytes: number,
  ) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface SavedBackup {
  /** What the backup is called. */
  readonly name: string;
  readonly manifest: Manifest;
  /** Whether an earlier run had made it already. */
  readonly wasThere: boolean;
}

export interface SaveModules {
  readonly client: Client;
  readonly target: Target;
  readonly wallMs: () => number;
}

const attemptsMax = 3;
/** Longer after each attempt. */
const pauseMs = 2_000;
const checksumBytes = 32;

/**
 * Takes a snapshot from a member, stores it, reads it back, and writes the manifest when all is as it should be. Whatever
 * stops it before leaves no backup. Rejects with a {@link BackupError}.
 */
export async function saveBackup(modules: SaveModules, options: SaveOptions): Promise<SavedBackup> {
  const { client, target } = modules;
  for (let attempt = 1; ; attempt++) {
    const member = await sourceMember(client);
    const uid = options.clusterUid ?? member.clusterId;
    const done = await earlier(target, uid, options.id);
    if (done !== undefined) return done;
    try {
      return await new Saving(modules, options, { member, uid }).run();
    } catch (error) {
      const mayHelp = error instanceof BackupError && error.failure === 'ClusterUnreachable';
      if (!mayHelp || attempt === attemptsMax || options.signal?.aborted === true) throw error;
      // A member that gives as many snapshots as it can has one less to give soon.
      // An interruption is noticed by the next attempt.
      await sleep(attempt * pauseMs, undefined, { signal: options.signal }).catch(() => {});
    }
  }
}

/** What an earlier run with the same id has left, if it came to its end. */
async function earlier(target: Target, uid: string, id: string): Promise<SavedBackup | undefined> {
  const { backups } = await inventoryOf(target, uid);
  const found = backups.findLast(({ stem }) => stem.id === id);
  if (found === undefined) return undefined;
  const manifest = await manifestOf(target, found);
  const data = await target.stat(manifest.data);
  if (data?.sizeBytes !== manifest.storedBytes) {
    const message = `${manifest.data} is not what the manifest ${found.manifestName} says: delete both, and try again`;
    throw new BackupError('Damaged', message);
  }
  return { name: found.name, manifest, wasThere: true };
}

interface Sums {
  readonly sizeBytes: number;
  readonly storedBytes: number;
  readonly sha256: string;
  readonly storedSha256: string;
}

class Saving {
  readonly #modules: SaveModules;
  readonly #options: SaveOptions;
  readonly #member: SourceMember;
  readonly #uid: string;
  readonly #reading = new SnapshotReading();
  #totalBytes = 0;
  #version = '';
  #pinnedMs = 0;
  /** From then on it may be whole although something has failed. */
  #manifestName: string | undefined;

  constructor(
    modules: SaveModules,
    options: SaveOptions,
    source: { readonly member: SourceMember; readonly uid: string },
  ) {
    this.#modules = modules;
    this.#options = options;
    this.#member = source.member;
    this.#uid = source.uid;
  }

  async run(): Promise<SavedBackup> {
    const { target, wallMs } = this.#modules;
    const { key, id, namespace } = this.#options;
    const startedMs = wallMs();
    const stem = await this.#newStem(startedMs);
    const data = dataName(this.#uid, stem, key !== undefined);
    try {
      const sums = await this.#store(data);
      const facts = this.#reading.end();
      this.#checkRevision(facts);
      const encryption = key && ({ algorithm: 'AES-256-GCM', keyId: key.id } as const);
      const stored = { ...sums, data, ...(encryption && { encryption }) };
      const hash = await this.#compared(facts, stored);
      const memberHash = await this.#memberHash(facts, hash);
      const manifest: Manifest = {
        format: formatVersion,
        kind: 'mainstay-backup',
        id,
        cluster: this.#options.cluster ?? this.#uid,
        ...(namespace === undefined ? {} : { namespace }),
        clusterUid: this.#uid,
        clusterId: this.#member.clusterId,
        ...facts,
        hash,
        memberHash,
        ...stored,
        storageVersion: this.#version,
        startedAt: new Date(startedMs).toISOString(),
        pinnedAt: new Date(this.#pinnedMs).toISOString(),
        finishedAt: new Date(wallMs()).toISOString(),
        member: { endpoint: this.#member.endpoint, id: this.#member.id, role: this.#member.role },
      };
      this.#throwIfAborted();
      const name = manifestName(this.#uid, stem, facts.revision);
      this.#manifestName = name;
      await target.create(name, encodeManifest(manifest), id);
      await this.#checkThere(data);
      return { name: stemName(stem), manifest, wasThere: false };
    } catch (error) {
      await this.#forget(data);
      throw error;
    }
  }

  /** Behind all that are there, also when the clock was set back since: names keep the order in which backups came. */
  async #newStem(startedMs: number): Promise<BackupStem> {
    const { backups } = await inventoryOf(this.#modules.target, this.#uid);
    const newestMs = parseTimeName(backups.at(-1)?.stem.time ?? timeName(0));
    const time = timeName(Math.max(startedMs, newestMs + 1));
    return { time, id: this.#options.id, attempt: randomWord() };
  }

  async #store(data: string): Promise<Sums> {
    const plain = createHash('sha256');
    const stored = createHash('sha256');
    const { key, id } = this.#options;
    let sizeBytes = 0;
    let storedBytes = 0;
    const { content, close } = await this.#opened();
    const counted = async function* () {
      for await (const chunk of content) {
        plain.update(chunk);
        sizeBytes += chunk.length;
        yield chunk;
      }
    };
    const object = async function* () {
      for await (const chunk of key === undefined ? counted() : encrypted(counted(), key)) {
        stored.update(chunk);
        storedBytes += chunk.length;
        yield chunk;
      }
    };
    const totalBytes = key === undefined ? this.#totalBytes : encryptedBytes(this.#totalBytes);
    try {
      await this.#modules.target.createFrom(data, object(), { sizeBytes: totalBytes, owner: id });
    } finally {
      await close();
    }
    return {
      sizeBytes,
      storedBytes,
      sha256: plain.digest('hex'),
      storedSha256: stored.digest('hex'),
    };
  }

  /** The snapshot has begun: how large it will be is known, and what comes is of this moment or before. */
  async #opened(): Promise<{ content: AsyncIterable<Uint8Array>; close: () => Promise<void> }> {
    const { client } = this.#modules;
    const { endpoint } = this.#member;
    const parts = client.snapshotParts({ endpoint, signal: this.#options.signal });
    const first = await parts.next().catch((error: unknown) => this.#failed(error));
    if (first.done === true) throw unreachable(`${endpoint} sends nothing`);
    this.#version = first.value.version;
    this.#totalBytes = first.value.blob.length + first.value.remainingBytes + checksumBytes;
    // Where the content is never asked for, the member must not wait for that.
    const close = async () => void (await parts.return());
    try {
      this.#pinnedMs = await this.#leaderMs();
    } catch (error) {
      await close();
      throw error;
    }
    return { content: this.#checked(first.value.blob, parts), close };
  }

  /** As the leader's clock has it, which stamps what is archived; by the own one where no leader tells. */
  async #leaderMs(): Promise<number> {
    const newest = Number.MAX_SAFE_INTEGER;
    const asked = leaderTimes(this.#modules, { after: newest, to: newest });
    const times = await asked.catch((error: unknown) => this.#failed(error));
    return times?.nowMs ?? this.#modules.wallMs();
  }

  /** The database, and its checksum in the end, which was compared. */
  async *#checked(
    first: Uint8Array,
    rest: AsyncGenerator<{ blob: Uint8Array }, void, void>,
  ): AsyncGenerator<Uint8Array, void, void> {
    const hash = createHash('sha256');
    let former = first;
    let doneBytes = 0;
    for (;;) {
      const next = await rest.next().catch((error: unknown) => this.#failed(error));
      if (next.done === true) break;
      hash.update(former);
      this.#reading.add(former);
      doneBytes += former.length;
      this.#options.onProgress('saving', doneBytes, this.#totalBytes);
      yield former;
      former = next.value.blob;
      this.#throwIfAborted();
    }
    if (!equalBytes(former, hash.digest())) {
      throw unreachable('what came does not match the checksum at its end');
    }
    yield former;
  }

  #failed(error: unknown): never {
    this.#throwIfAborted();
    throw error instanceof ClientError ? unreachable(error.message, error) : error;
  }

  #checkRevision({ revision }: KvFacts): void {
    if (revision >= this.#member.revision) return;
    throw unreachable(
      `${this.#member.endpoint} has sent revision ${revision}, and ${this.#member.revision} was acknowledged before`,
    );
  }

  /** Reads what was written, compares it, and computes its HashKV. */
  async #compared(facts: KvFacts, stored: Sums & { readonly data: string }): Promise<number> {
    let { table } = this.#reading;
    if (needsEarlyTable(facts)) {
      const reading = new SnapshotReading(facts.compactRevision);
      await this.#passBy(stored, (chunk) => reading.add(chunk));
      table = reading.table;
    }
    const hash = new SnapshotHash(facts, table);
    await this.#passBy(stored, (chunk) => hash.add(chunk));
    return hash.end();
  }

  async #passBy(
    stored: Sums & { readonly data: string },
    add: (chunk: Uint8Array) => void,
  ): Promise<void> {
    const { key, onProgress } = this.#options;
    let doneBytes = 0;
    const onBytes = (bytes: number) => {
      doneBytes += bytes;
      onProgress('comparing', doneBytes, stored.sizeBytes);
    };
    const keys = key === undefined ? [] : [key];
    const content = contentOf(this.#modules.target, stored, { keys, onBytes });
    for await (const chunk of withoutTail(content, checksumBytes)) {
      this.#throwIfAborted();
      add(chunk);
    }
  }

  /** Asks the member for the same hash, which was computed from its own state. */
  async #memberHash(facts: KvFacts, hash: number): Promise<string> {
    const { endpoint } = this.#member;
    const { revision, compactRevision } = facts;
    try {
      const told = await this.#modules.client.hashKV(endpoint, { revision, timeoutMs: 60_000 });
      if (told.compactRevision !== compactRevision)
        return 'not compared: it was compacted meanwhile';
      if (told.hash === hash) return 'equal';
      throw new BackupError(
        'Damaged',
        `what was written has hash ${hash} at revision ${revision}, and ${endpoint} says ${told.hash}: compare the members (etcdctl endpoint hashkv --cluster), and back up another one`,
      );
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      return `not compared: ${error.text}`;
    }
  }

  /** Until it had a manifest, whoever clears away what nobody finishes might take it for that. */
  async #checkThere(data: string): Promise<void> {
    if ((await this.#modules.target.stat(data)) !== undefined) return;
    throw new BackupError(
      'Damaged',
      `${data} was written, and is gone again: who else deletes below ${this.#modules.target.place}, or prunes with a clock that is a day ahead?`,
    );
  }

  /** What was written until something failed, the manifest first. Where even that fails, prune does the rest later. */
  async #forget(data: string): Promise<void> {
    const { target } = this.#modules;
    try {
      if (this.#manifestName !== undefined) await target.delete(this.#manifestName);
      await target.delete(data);
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
    }
  }

  #throwIfAborted(): void {
    if (this.#options.signal?.aborted === true) throw new BackupError('Interrupted', 'interrupted');
  }
}
