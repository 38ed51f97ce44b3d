import type { Alarms } from '../apply/alarms.ts';
import type { Backend } from '../backend/backend.ts';
import type { MemberId } from '../base/ids.ts';
import type { ProposalDone } from '../propose/proposer.ts';
import type { InternalRequestRequest } from '../proto/gen/internal.ts';
import { AlarmAction, AlarmType } from '../proto/gen/rpc.ts';

export interface QuotaModules {
  readonly backend: Pick<Backend, 'sizeBytes'>;
  readonly alarms: Pick<Alarms, 'isRaised'>;
  readonly propose: (request: InternalRequestRequest, done: ProposalDone) => void;
  /** False while this member's disk is of no account to the others. */
  readonly isCounted: () => boolean;
}

/**
 * Watches what this member's state takes on disk while entries are applied, and raises NOSPACE for it through raft, so
 * that all members refuse what takes space from the same entry on. Applying itself knows nothing of sizes.
 */
export class Quota {
  readonly #modules: QuotaModules;
  readonly #memberId: MemberId;
  readonly #quotaBytes: number;
  #isRaising = false;

  /** A negative quota is none. */
  constructor(modules: QuotaModules, options: { memberId: MemberId; quotaBytes: number }) {
    this.#modules = modules;
    this.#memberId = options.memberId;
    this.#quotaBytes = options.quotaBytes;
  }

  /** An entry was applied that may have added so much. */
  applied(costBytes: number): void {
    if (costBytes === 0 || this.#quotaBytes < 0 || this.#isRaising) return;
    const { backend, alarms, propose, isCounted } = this.#modules;
    if (backend.sizeBytes + costBytes < this.#quotaBytes || !isCounted()) return;
    const subject = { memberID: this.#memberId, alarm: AlarmType.NOSPACE };
    if (alarms.isRaised(subject)) return;
    this.#isRaising = true;
    // Where it fails, the next entry that takes space asks again.
    propose({ kind: 'alarm', value: { action: AlarmAction.ACTIVATE, ...subject } }, () => {
      this.#isRaising = false;
    });
  }
}
