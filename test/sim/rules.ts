import type { Caller } from '../../server/auth/access.ts';
import type { Applied } from '../../server/propose/proposer.ts';
import { PermissionType } from '../../server/proto/gen/auth.ts';
import type { InternalRequestRequest } from '../../server/proto/gen/internal.ts';
import { everyKey, spanBytes } from './wire.ts';

/** What became of a proposal, as far as a client was told. */
type Outcome = Applied | 'refused' | 'unknown';
type Propose = (request: InternalRequestRequest) => Promise<Outcome>;

/** Rejections that say that it is so already. */
const already: readonly string[] = ['UserAlreadyExist', 'RoleAlreadyExist'];

/** As a password is stored; nobody logs in here. */
const user = { password: '', hashedPassword: 'aGFzaA==', options: undefined };

/**
 * A user of one client, whose rights nobody else changes: so the client knows whether it may write. Everybody sees to it
 * that authentication is on; it is never switched off again.
 */
export class SimUser {
  readonly #name: string;
  /** A user whose rights are not known, because an answer did not come, is given up for a new one. */
  #serial = 0;
  #steps: InternalRequestRequest[];
  #mayWrite = false;
  #isChanging = false;
  #changes = 0;

  constructor(name: string) {
    this.#name = name;
    this.#steps = this.#setUp();
  }

  /** How often a change was begun: what was found out before one may not hold after it. */
  get changes(): number {
    return this.#changes;
  }

  /** Undefined until the user is there, with authentication on, and while a change has no answer. */
  get mayWrite(): boolean | undefined {
    return this.#steps.length === 0 && !this.#isChanging ? this.#mayWrite : undefined;
  }

  callerAt(authRevision: number): Caller {
    return { username: this.#own, authRevision };
  }

  /** Brings the user a step further, or turns its right to write round. Resolves to whether there was an answer. */
  async change(propose: Propose): Promise<boolean> {
    // A client that has lost its patience comes here before the answer does.
    if (this.#isChanging) return true;
    this.#isChanging = true;
    this.#changes += 1;
    const [step] = this.#steps;
    try {
      const outcome = await propose(step ?? this.#turn());
      if (step !== undefined) this.#stepped(outcome);
      else this.#turned(outcome);
      return typeof outcome === 'object';
    } finally {
      this.#isChanging = false;
    }
  }

  #stepped(outcome: Outcome): void {
    if (typeof outcome !== 'object') return;
    if (outcome.error === undefined || already.includes(outcome.error.error)) this.#steps.shift();
  }

  #turned(outcome: Outcome): void {
    if (outcome === 'unknown') {
      this.#serial += 1;
      this.#mayWrite = false;
      this.#steps = this.#setUp();
    } else if (outcome !== 'refused' && outcome.error === undefined) {
      this.#mayWrite = !this.#mayWrite;
    }
  }

  #turn(): InternalRequestRequest {
    const range = spanBytes(everyKey);
    if (this.#mayWrite) {
      return { kind: 'authRoleRevokePermission', value: { role: this.#own, ...range } };
    }
    const perm = { permType: PermissionType.WRITE, ...range };
    return { kind: 'authRoleGrantPermission', value: { name: this.#own, perm } };
  }

  get #own(): string {
    return `${this.#name}-${this.#serial}`;
  }

  #setUp(): InternalRequestRequest[] {
    const own = this.#own;
    return [
      { kind: 'authUserAdd', value: { name: 'root', ...user } },
      { kind: 'authUserGrantRole', value: { user: 'root', role: 'root' } },
      { kind: 'authEnable', value: {} },
      { kind: 'authUserAdd', value: { name: own, ...user } },
      { kind: 'authRoleAdd', value: { name: own } },
      { kind: 'authUserGrantRole', value: { user: own, role: own } },
    ];
  }
}
