import { hexId, type LeaseId, type Revision, type Term } from '../base/ids.ts';
import type { Client } from '../client/client.ts';
import { ClientError } from '../client/errors.ts';
import { etcdTexts } from '../client/etcd-texts.ts';
import type { Keys } from '../client/keys.ts';
import { KV, Lease, RangeRequest } from '../proto/gen/rpc.ts';
import { MirrorError, SourceRestoredError } from './failure.ts';
import type { Patience } from './patience.ts';

/** Which leases a cluster had: every one that it had at `since` and that is not among them has ended by `until`. */
export interface LeaseList {
  readonly ids: ReadonlySet<LeaseId>;
  readonly since: Revision;
  readonly until: Revision;
}

/** The cluster that is copied. */
export class Source {
  readonly client: Client;
  readonly patience: Patience;
  readonly keys: Keys;
  #newest: Revision = 0;
  #term: Term = 0;
  /** Which endpoint has answered last. */
  #place = 0;
  #list: LeaseList | undefined;

  constructor(modules: { client: Client; patience: Patience }, keys: Keys) {
    this.client = modules.client;
    this.patience = modules.patience;
    this.keys = keys;
  }

  /** The newest revision that was heard of. */
  get newest(): Revision {
    return this.#newest;
  }

  /** Raft's. */
  get term(): Term {
    return this.#term;
  }

  heardOf(revision: Revision): void {
    this.#newest = Math.max(this.#newest, revision);
  }

  /** Who it is, and its newest revision. Does not wait for one that is away. */
  async identity(): Promise<{ clusterId: string; revision: Revision }> {
    const { header } = await this.client.range(this.#oneKey);
    this.heardOf(header.revision);
    this.#term = Math.max(this.#term, header.raftTerm);
    return { clusterId: hexId(header.clusterId), revision: header.revision };
  }

  async revision(): Promise<Revision> {
    return (await this.patience.until(() => this.identity())).revision;
  }

  /** What was heard of it may be of another life. */
  forget(): void {
    this.#newest = 0;
    this.#list = undefined;
  }

  /** Throws {@link SourceRestoredError} when it has not come so far: then it is not what it was. */
  async requireHistory(reached: Revision): Promise<void> {
    const revision = await this.revision();
    if (revision < reached) throw new SourceRestoredError(`revision ${revision} after ${reached}`);
  }

  /**
   * One member is made to catch up with the cluster first: a member that lags behind knows nothing of the newest leases,
   * and what is only unknown to it has not ended.
   */
  async leases(): Promise<LeaseList> {
    const list = await this.patience.until(async () => {
      const { endpoints } = this.client;
      const endpoint = endpoints[this.#place % endpoints.length] ?? '';
      try {
        return await this.#leasesAt(endpoint);
      } catch (error) {
        if (error instanceof ClientError && error.text === etcdTexts.permissionDenied) {
          throw leasesDenied(error);
        }
        this.#place++;
        throw error;
      }
    });
    this.heardOf(list.until);
    this.#list = list;
    return list;
  }

  async #leasesAt(endpoint: string): Promise<LeaseList> {
    const how = { endpoint, repeat: 'harmless' } as const;
    const range = RangeRequest.create({ ...this.#oneKey, limit: 1 });
    const { header } = await this.client.call(KV.methods.range, range, how);
    const answer = await this.client.call(Lease.methods.leaseLeases, {}, how);
    const ids = new Set(answer.leases.map(({ ID }) => ID));
    const since = header?.revision ?? 0;
    return { ids, since, until: Math.max(since, answer.header?.revision ?? 0) };
  }

  /** What a lease was granted for, which a key had at a revision; undefined when it has ended since. */
  async ttlOf(id: LeaseId, usedAt: Revision): Promise<number | undefined> {
    for (;;) {
      const known = this.#list;
      if (known !== undefined && known.since >= usedAt && !known.ids.has(id)) return undefined;
      try {
        const { grantedTTL } = await this.patience.until(() => this.client.leaseTimeToLive(id));
        if (grantedTTL > 0) return grantedTTL;
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
        if (error.text === etcdTexts.permissionDenied) throw leasesDenied(error);
        if (error.text !== etcdTexts.leaseNotFound) throw error;
      }
      const { ids, since } = await this.leases();
      if (since >= usedAt && !ids.has(id)) return undefined;
      // A member that lags behind has said so: another one is asked.
      await this.patience.pause();
    }
  }

  get #oneKey(): Keys {
    return { key: this.keys.key, rangeEnd: new Uint8Array() };
  }
}

function leasesDenied(cause: unknown): MirrorError {
  return new MirrorError(
    'the user of the source may not look at its leases: it needs to read every key that lives with one',
    { cause },
  );
}
