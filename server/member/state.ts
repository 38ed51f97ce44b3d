import { Alarms } from '../apply/alarms.ts';
import { Applier, type ApplyResult } from '../apply/applier.ts';
import { AuthStore } from '../auth/auth-store.ts';
import { Backend } from '../backend/backend.ts';
import type { OrderedStore } from '../backend/ordered-store.ts';
import type { StatePart } from '../backend/restore.ts';
import type { Clock } from '../base/clock.ts';
import { EtcdError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { Lessor } from '../lease/lessor.ts';
import { Store } from '../mvcc/store.ts';
import type { Applied } from '../propose/proposer.ts';
import { ConfChange } from '../proto/gen/internal.ts';
import type { Entry } from '../raft/entry.ts';
import { WatchHub } from '../watch/watch-hub.ts';
import { Membership } from './membership.ts';
import type { StateStores } from './replica.ts';

export interface MemberStateModules {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly defer: (callback: () => void) => void;
}

/** What applying one entry did. */
export interface Effect {
  /** Of the request, for who waits for it; 0n for an entry without one. */
  readonly id: bigint;
  readonly applied: Applied;
  readonly changesMembership: boolean;
  /** What the entry may have added to the state. */
  readonly costBytes: number;
  /** What was asked, where it was a request. */
  readonly kind?: ApplyResult['kind'];
}

/** Everything that committed entries make: keys, leases, alarms, users, membership, over one backend. */
export class MemberState {
  readonly backend: Backend;
  readonly store: Store;
  readonly lessor: Lessor;
  readonly alarms: Alarms;
  readonly auth: AuthStore;
  readonly membership: Membership;
  readonly watches: WatchHub;
  readonly #applier: Applier;
  readonly #parts: readonly StatePart[];
  #orderedStore: OrderedStore | undefined;

  constructor(modules: MemberStateModules) {
    const { clock, logger, defer } = modules;
    const backend = new Backend({ logger });
    this.backend = backend;
    this.store = new Store({ backend });
    this.lessor = new Lessor({ clock, backend });
    this.alarms = new Alarms({ backend });
    this.auth = new AuthStore({ backend });
    this.membership = new Membership({ backend });
    this.watches = new WatchHub({ store: this.store, schedule: defer });
    this.#applier = new Applier({
      backend,
      store: this.store,
      lessor: this.lessor,
      alarms: this.alarms,
      auth: this.auth,
      cluster: this.membership,
      watches: this.watches,
    });
    this.#parts = [this.store, this.lessor, this.alarms, this.auth, this.membership];
  }

  /** Takes over what the store holds. Throws StateDamagedError, and then nothing has changed. */
  async open(store: OrderedStore): Promise<void> {
    await this.backend.open(store, this.#parts);
    this.lessor.attachAll(this.store.takeRestoredLeases());
    this.watches.storeReplaced(this.store);
    this.#orderedStore = store;
  }

  /** The state that was received takes the place of this one, which is served until then; watchers go on where they were. */
  async replace(stores: Pick<StateStores, 'promoteStaged' | 'removeFormer'>): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.backend.flush((error) => (error === null ? resolve() : reject(error)));
    });
    const former = this.#orderedStore;
    await this.open(await stores.promoteStaged());
    await former?.close();
    await stores.removeFormer();
  }

  /** Applies the next committed entry. */
  apply(entry: Entry): Effect {
    if (entry.kind === 'normal') {
      const { id, kind, costBytes, ...applied } = this.#applier.apply(entry);
      return { id, applied, kind, changesMembership: false, costBytes };
    }
    const change = ConfChange.decode(entry.data);
    const error = this.#applyConfChange(entry, change);
    this.backend.setApplied({ index: entry.index, term: entry.term });
    const applied = { error, revision: this.store.revision };
    return { id: change.id, applied, changesMembership: error === undefined, costBytes: 0 };
  }

  #applyConfChange(entry: Entry, change: ConfChange): EtcdError | undefined {
    if (entry.kind === 'refusedConfChange') return new EtcdError('Unhealthy');
    return this.membership.apply(change);
  }
}
