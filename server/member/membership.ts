import type { Backend } from '../backend/backend.ts';
import type { StatePart } from '../backend/restore.ts';
import { bucketIdNumber, bucketKey, prefix } from '../backend/schema.ts';
import { assert } from '../base/assert.ts';
import { compareBytes } from '../base/bytes.ts';
import { type ErrorName, EtcdError } from '../base/errors.ts';
import type { MemberId } from '../base/ids.ts';
import { learnersMaxDefault } from '../config/limits.ts';
import {
  ConfChange,
  ConfChangeKind,
  Member,
  type MemberAttributes,
} from '../proto/gen/internal.ts';
import type { ConfState } from '../raft/entry.ts';

const versionKey = bucketKey(prefix.cluster, 'version');
const downgradeKey = bucketKey(prefix.cluster, 'downgrade');

interface Restored {
  readonly members: Map<MemberId, Member>;
  readonly removed: Set<MemberId>;
  version: string;
  downgradeTarget: string;
}

/**
 * Who belongs to the cluster, as of the last applied entry: part of the replicated state, and the only truth about it.
 * Removed ids are kept for ever, so that none comes back.
 */
export class Membership implements StatePart {
  readonly prefixes = [prefix.member, prefix.removedMember, prefix.cluster];
  readonly #backend: Backend;
  #members = new Map<MemberId, Member>();
  #removed = new Set<MemberId>();
  /** The lowest version of all members, as last agreed; empty before that. */
  #version = '';
  #downgradeTarget = '';
  #restored: Restored | undefined;

  constructor(modules: { backend: Backend }) {
    this.#backend = modules.backend;
  }

  /** Sorted by id. */
  members(): Member[] {
    return [...this.#members.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  member(id: MemberId): Member | undefined {
    return this.#members.get(id);
  }

  isRemoved(id: MemberId): boolean {
    return this.#removed.has(id);
  }

  get confState(): ConfState {
    const members = this.members();
    return {
      voters: members.filter((member) => !member.isLearner).map(({ id }) => id),
      learners: members.filter((member) => member.isLearner).map(({ id }) => id),
    };
  }

  /** Why the change cannot be; the same on every member, since it is asked again at apply. */
  validate(change: ConfChange): ErrorName | undefined {
    const member = change.member ?? Member.create();
    const existing = this.#members.get(member.id);
    switch (change.kind) {
      case ConfChangeKind.ADD_VOTER:
      case ConfChangeKind.ADD_LEARNER:
        return this.#validateAdd(member, change);
      case ConfChangeKind.PROMOTE:
        if (existing === undefined) return 'MemberNotFound';
        return existing.isLearner ? undefined : 'MemberNotLearner';
      case ConfChangeKind.UPDATE:
        if (existing === undefined) return 'MemberNotFound';
        return this.#isUrlTaken(member) ? 'PeerUrlExists' : undefined;
      default:
        return existing === undefined ? 'MemberNotFound' : undefined;
    }
  }

  #validateAdd(member: Member, change: ConfChange): ErrorName | undefined {
    const isLearner = change.kind === ConfChangeKind.ADD_LEARNER;
    const asked = change.learnersMaxPlusOne;
    const learnersMax = asked === 0 ? learnersMaxDefault : asked - 1;
    if (this.#removed.has(member.id)) return 'MemberNotFound';
    if (this.#members.has(member.id)) return 'MemberExists';
    if (this.#isUrlTaken(member)) return 'PeerUrlExists';
    const learners = this.confState.learners.length;
    return isLearner && learners >= learnersMax ? 'TooManyLearners' : undefined;
  }

  #isUrlTaken(member: Member): boolean {
    return this.members().some(
      ({ id, peerUrls }) =>
        id !== member.id && peerUrls.some((url) => member.peerUrls.includes(url)),
    );
  }

  /** Applies a committed change; an error means that it changed nothing. */
  apply(change: ConfChange): EtcdError | undefined {
    const refusal = this.validate(change);
    if (refusal !== undefined) return new EtcdError(refusal);
    const member = change.member ?? Member.create();
    const existing = this.#members.get(member.id) ?? member;
    switch (change.kind) {
      case ConfChangeKind.ADD_VOTER:
        this.#put({ ...member, isLearner: false, isObserver: false });
        break;
      case ConfChangeKind.ADD_LEARNER:
        this.#put({ ...member, isLearner: true });
        break;
      case ConfChangeKind.PROMOTE:
        this.#put({ ...existing, isLearner: false, isObserver: false });
        break;
      case ConfChangeKind.UPDATE:
        this.#put({ ...existing, peerUrls: member.peerUrls });
        break;
      default:
        this.#remove(member.id);
    }
    return undefined;
  }

  /** What a member tells about itself once it has started. Of one that is gone: ignored. */
  setAttributes(attributes: MemberAttributes): void {
    const member = this.#members.get(attributes.memberId);
    if (member === undefined) return;
    const { name, clientUrls, version, incarnation } = attributes;
    this.#put({ ...member, name, clientUrls, version, incarnation, started: true });
  }

  get version(): string {
    return this.#version;
  }

  setVersion(version: string): void {
    this.#version = version;
    this.#backend.put(versionKey, new TextEncoder().encode(version));
  }

  /** The version that the cluster is to go back to; empty: none. */
  get downgradeTarget(): string {
    return this.#downgradeTarget;
  }

  setDowngradeTarget(version: string): void {
    this.#downgradeTarget = version;
    this.#backend.put(downgradeKey, new TextEncoder().encode(version));
  }

  #put(member: Member): void {
    this.#members.set(member.id, member);
    this.#backend.put(bucketKey(prefix.member, member.id), Member.encode(member));
  }

  #remove(id: MemberId): void {
    this.#members.delete(id);
    this.#removed.add(id);
    this.#backend.delete(bucketKey(prefix.member, id));
    this.#backend.put(bucketKey(prefix.removedMember, id), new Uint8Array(0));
  }

  restoreBegin(): void {
    const texts = { version: '', downgradeTarget: '' };
    this.#restored = { members: new Map(), removed: new Set(), ...texts };
  }

  restoreRecord(key: Uint8Array, value: Uint8Array): void {
    assert(this.#restored !== undefined, 'restoreBegin was called');
    if (key[0] === prefix.cluster) {
      const text = new TextDecoder().decode(value);
      if (compareBytes(key, downgradeKey) === 0) this.#restored.downgradeTarget = text;
      else this.#restored.version = text;
    } else if (key[0] === prefix.removedMember) this.#restored.removed.add(bucketIdNumber(key));
    else this.#restored.members.set(bucketIdNumber(key), Member.decode(value));
  }

  restoreEnd(): void {
    assert(this.#restored !== undefined, 'restoreBegin was called');
    this.#members = this.#restored.members;
    this.#removed = this.#restored.removed;
    this.#version = this.#restored.version;
    this.#downgradeTarget = this.#restored.downgradeTarget;
    this.#restored = undefined;
  }
}
