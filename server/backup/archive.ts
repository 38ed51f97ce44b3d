import { setTimeout as sleep } from 'node:timers/promises';
import type { EncryptionKey } from '../base/encryption-key.ts';
import { hexId } from '../base/ids.ts';
import type { Client } from '../client/client.ts';
import { ClientError, CompactedError } from '../client/errors.ts';
import { keysUnder, oneKey } from '../client/keys.ts';
import type { Watch, WatchBatch } from '../client/watch.ts';
import { chainFrom, changeObjects } from './change-chain.ts';
import { changesHead, encodeChanges, type RevisionChanges, recordOf } from './changes.ts';
import { encrypted } from './encryption.ts';
import { BackupError } from './failure.ts';
import { leaderTimes, noChanges, type StampedChanges, stamped } from './leader-clock.ts';
import { changesFolder, changesName } from './names.ts';
import { inventoryOf, manifestOrFailure } from './repository.ts';
import { randomWord } from './s3-target.ts';
import { unreachable } from './source-member.ts';
import type { Target } from './target.ts';

export interface ArchiveOptions {
  /** For people; the UID by default. */
  readonly cluster?: string | undefined;
  /** By default the store's own id. */
  readonly clusterUid?: string | undefined;
  readonly key?: EncryptionKey | undefined;
  /** What has changed is written so often, or when it is much. */
  readonly intervalMs: number;
  /** How often it is written that nothing has changed. */
  readonly silenceMs: number;
  /** Ends when everything is archived that had happened before. */
  readonly isOnce: boolean;
  /** Ends it, once what is held is written. */
  readonly signal: AbortSignal;
  /** It has begun, behind that revision: what changes from now on is not missed. */
  readonly onFollowing: (revision: number) => void;
  readonly onWritten: (archived: Archived) => void;
}

export interface Archived {
  /** Of the object that was written last. */
  readonly from: number;
  /** Everything up to here is in the archive. */
  readonly to: number;
  /** RFC 3339: nothing later had happened then. */
  readonly archivedAt: string;
}

export interface ArchiveModules {
  readonly client: Client;
  readonly target: Target;
  readonly wallMs: () => number;
}

/** Changes of one object; a single revision may be more. */
const objectBytesMax = 4 * 1024 * 1024;

/**
 * Follows everything that changes and writes it down, from where the archive or, behind it, the newest backup ends. When
 * compaction has taken what comes next it fails with `Gap`: nothing is left out in silence.
 */
export async function archiveChanges(
  modules: ArchiveModules,
  options: ArchiveOptions,
): Promise<Archived> {
  const { client, target } = modules;
  try {
    const { header } = await client.range(oneKey('\0'), { limit: 1 });
    const clusterId = hexId(header.clusterId);
    const uid = options.clusterUid ?? clusterId;
    const start = await archiveEnd(target, { uid, clusterId });
    const of = { uid, clusterId, start, present: header.revision };
    return await new Archive(modules, options, of).run();
  } catch (error) {
    throw error instanceof ClientError ? unreachable(error.message, error) : error;
  }
}

/** The last revision that needs no archiving any more. Fails with `NotFound` where there is no backup to begin from. */
async function archiveEnd(
  target: Target,
  { uid, clusterId }: { readonly uid: string; readonly clusterId: string },
): Promise<number> {
  const { backups } = await inventoryOf(target, uid);
  for (const found of backups.toReversed()) {
    const manifest = await manifestOrFailure(target, found);
    if (manifest instanceof BackupError || manifest.clusterId !== clusterId) continue;
    const objects = await changeObjects(target, changesFolder(uid, clusterId));
    return chainFrom(objects, { revision: found.revision, pinnedMs: 0 }).to;
  }
  throw new BackupError(
    'NotFound',
    `${target.place} has no backup of store ${clusterId} that changes could follow: take one first (mainstayctl backup save)`,
  );
}

class Archive {
  readonly #modules: ArchiveModules;
  readonly #options: ArchiveOptions;
  readonly #uid: string;
  readonly #clusterId: string;
  /** Up to here what comes is history: it happened before it was watched. */
  readonly #present: number;
  readonly #stop = new AbortController();
  #held: RevisionChanges[] = [];
  #heldBytes = 0;
  /** The last revision that has come. */
  #seen: number;
  #written: Archived;
  #silentName: string | undefined;
  #silentMs = performance.now();
  #writing: Promise<void> = Promise.resolve();

  constructor(
    modules: ArchiveModules,
    options: ArchiveOptions,
    of: { uid: string; clusterId: string; start: number; present: number },
  ) {
    this.#modules = modules;
    this.#options = options;
    this.#uid = of.uid;
    this.#clusterId = of.clusterId;
    this.#present = of.present;
    this.#seen = of.start;
    const archivedAt = new Date(modules.wallMs()).toISOString();
    this.#written = { from: of.start + 1, to: of.start, archivedAt };
  }

  async run(): Promise<Archived> {
    const { signal } = this.#options;
    const stop = () => this.#stop.abort();
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    const watch = this.#modules.client.watch(keysUnder(''), {
      startRevision: this.#seen + 1,
      signal: this.#stop.signal,
    });
    try {
      await allOrFirstFailure([this.#follow(watch), this.#writeNowAndThen()], stop);
      await this.#write();
      if (this.#isDone) await this.#writeSilence();
      return this.#written;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  get #isDone(): boolean {
    return this.#options.isOnce && this.#seen >= this.#present;
  }

  async #follow(watch: Watch): Promise<void> {
    try {
      if (this.#isDone) return;
      await watch.started();
      this.#options.onFollowing(this.#seen);
      for await (const batch of watch) {
        this.#take(batch);
        if (this.#heldBytes >= objectBytesMax) await this.#write();
        if (this.#isDone) return;
      }
    } catch (error) {
      if (!(error instanceof CompactedError)) throw error;
      await this.#write();
      throw this.#gap(error.compactRevision, error);
    } finally {
      this.#stop.abort();
    }
  }

  #gap(compactRevision: number, cause: unknown): BackupError {
    const { to } = this.#written;
    return new BackupError(
      'Gap',
      `the changes from revision ${to + 1} on were compacted (up to ${compactRevision}) before they were archived: the window ends at revision ${to}; take a new backup, from which the archive then goes on, and archive more often or compact later`,
      { cause },
    );
  }

  #take({ events }: WatchBatch): void {
    const stampMs = this.#modules.wallMs();
    for (let at = 0; at < events.length; ) {
      const revision = events[at]?.kv.modRevision ?? 0;
      const records: Uint8Array[] = [];
      for (; events[at]?.kv.modRevision === revision; at++) {
        const event = events[at];
        if (event === undefined) break;
        const record = recordOf(event);
        records.push(record);
      }
      this.#heldBytes += bytesOf(records);
      if (revision !== this.#seen + 1) throw this.#missing(revision);
      this.#seen = revision;
      this.#held.push({ revision, stampMs, records });
    }
  }

  #missing(revision: number): BackupError {
    return new BackupError(
      'Gap',
      `after revision ${this.#seen} the cluster tells of ${revision}: may the user read every key?`,
    );
  }

  async #writeNowAndThen(): Promise<void> {
    const { intervalMs, silenceMs } = this.#options;
    while (await this.#passed(intervalMs)) {
      try {
        if (this.#held.length > 0) await this.#write();
        else if (performance.now() - this.#silentMs >= silenceMs) await this.#writeSilence();
      } catch (error) {
        // No majority just now: what is held waits, and the watch as well.
        if (!(error instanceof ClientError)) throw error;
      }
    }
  }

  /** False when it is to end. */
  async #passed(ms: number): Promise<boolean> {
    try {
      await sleep(ms, undefined, { signal: this.#stop.signal });
      return true;
    } catch {
      return false;
    }
  }

  /** One object at a time, in order. */
  #write(): Promise<void> {
    const written = this.#writing.then(() => this.#writeHeld());
    this.#writing = written.catch(() => {});
    return written;
  }

  async #writeHeld(): Promise<void> {
    if (this.#held.length === 0) return;
    await this.#checkCluster();
    const held = [...this.#held];
    const [first, last] = [held[0], held.at(-1)];
    if (first === undefined || last === undefined) return;
    const span = { from: first.revision, to: last.revision };
    const times = await leaderTimes(this.#modules, { after: span.from - 1, to: span.to });
    // Only now: what cannot be stamped waits.
    this.#release(held);
    await this.#create(span, stamped(held, { times, present: this.#present }));
    this.#silentMs = performance.now();
    await this.#forgetSilence(undefined);
  }

  /** What comes while these are written waits for the next object. */
  #release(taken: readonly RevisionChanges[]): void {
    this.#held = this.#held.slice(taken.length);
    this.#heldBytes = 0;
    for (const { records } of this.#held) this.#heldBytes += bytesOf(records);
  }

  /** A time without changes can be restored as well: the archive says that there were none. */
  async #writeSilence(): Promise<void> {
    const ownMs = this.#modules.wallMs();
    const seen = this.#seen;
    const revision = await this.#checkCluster();
    const times = await leaderTimes(this.#modules, { after: seen, to: seen });
    // What happened since comes by the watch, and is written soon.
    if ((times?.revision ?? revision) !== this.#seen || this.#held.length > 0) return;
    const span = { from: this.#seen + 1, to: this.#seen };
    const name = await this.#create(span, noChanges(times?.askedMs ?? ownMs));
    this.#silentMs = performance.now();
    await this.#forgetSilence(name);
  }

  /** The word that nothing had happened is replaced by a later one. */
  async #forgetSilence(by: string | undefined): Promise<void> {
    const former = this.#silentName;
    this.#silentName = by;
    if (former !== undefined) await this.#modules.target.delete(former);
  }

  /** Another store at the same place, such as one that was restored, has another history. Its revision now. */
  async #checkCluster(): Promise<number> {
    const { header } = await this.#modules.client.range(oneKey('\0'), { limit: 1 });
    if (hexId(header.clusterId) === this.#clusterId) return header.revision;
    throw new BackupError(
      'Gap',
      `the endpoints now lead to store ${hexId(header.clusterId)}, and the archive is of ${this.#clusterId}: take a backup of the new one first`,
    );
  }

  async #create(
    { from, to }: { readonly from: number; readonly to: number },
    { revisions, lateTo, minStampMs, maxStampMs }: StampedChanges,
  ): Promise<string> {
    const { target } = this.#modules;
    const { cluster = this.#uid, key, onWritten } = this.#options;
    const clusterId = this.#clusterId;
    const of = { cluster, clusterUid: this.#uid, clusterId };
    const head = changesHead({ ...of, from, to, lateTo });
    const content = encodeChanges(head, revisions);
    const name = changesName(this.#uid, {
      from,
      to,
      minStampMs,
      maxStampMs,
      clusterId,
      word: randomWord(),
      isEncrypted: key !== undefined,
    });
    await target.create(name, key === undefined ? content : await sealed(content, key), clusterId);
    this.#written = { from, to, archivedAt: new Date(maxStampMs).toISOString() };
    onWritten(this.#written);
    return name;
  }
}

function bytesOf(records: readonly Uint8Array[]): number {
  return records.reduce((sum, { length }) => sum + length, 0);
}

async function sealed(content: Buffer, key: EncryptionKey): Promise<Buffer> {
  const whole = async function* () {
    yield content;
  };
  const chunks: Uint8Array[] = [];
  for await (const chunk of encrypted(whole(), key)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** All of them, ended; what failed first is thrown. */
async function allOrFirstFailure(parts: readonly Promise<void>[], stop: () => void): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  const watched = parts.map((part) =>
    part.catch((error: unknown) => {
      failure ??= { error };
      stop();
    }),
  );
  await Promise.all(watched);
  if (failure !== undefined) throw failure.error;
}
