import type { Backend } from '../backend/backend.ts';
import type { StatePart } from '../backend/restore.ts';
import { bucketKey, prefix } from '../backend/schema.ts';
import { asBuffer, emptyBytes } from '../base/bytes.ts';
import type { MemberId } from '../base/ids.ts';
import { type AlarmMember, AlarmType } from '../proto/gen/rpc.ts';

/** The alarms that are raised: replicated state, kept until they are disarmed. */
export class Alarms implements StatePart {
  readonly prefixes = [prefix.alarm];
  readonly #backend: Pick<Backend, 'put' | 'delete'>;
  /** By record key, as latin-1 would sort them: by member, then by type. */
  #raised = new Map<string, AlarmMember>();
  #restoring = new Map<string, AlarmMember>();

  constructor(modules: { readonly backend: Pick<Backend, 'put' | 'delete'> }) {
    this.#backend = modules.backend;
  }

  /** Those of the type, or all for NONE; by member id. */
  list(type: AlarmType): AlarmMember[] {
    const all = [...this.#raised.values()];
    const asked = all.filter(({ alarm }) => type === AlarmType.NONE || alarm === type);
    return asked.sort((a, b) => (a.memberID < b.memberID ? -1 : 1));
  }

  has(type: AlarmType): boolean {
    for (const { alarm } of this.#raised.values()) if (alarm === type) return true;
    return false;
  }

  isRaised(alarm: AlarmMember): boolean {
    return this.#raised.has(nameOf(alarm));
  }

  /** Nothing happens when it is raised already. */
  raise(alarm: AlarmMember): void {
    const name = nameOf(alarm);
    if (this.#raised.has(name)) return;
    this.#raised.set(name, alarm);
    this.#backend.put(recordKey(alarm), emptyBytes);
  }

  /** False when it was not raised. */
  disarm(alarm: AlarmMember): boolean {
    if (!this.#raised.delete(nameOf(alarm))) return false;
    this.#backend.delete(recordKey(alarm));
    return true;
  }

  restoreBegin(): void {
    this.#restoring = new Map();
  }

  restoreRecord(key: Uint8Array): void {
    const bytes = asBuffer(key);
    const alarm = { memberID: memberOf(bytes), alarm: bytes.readUInt8(9) as AlarmType };
    this.#restoring.set(nameOf(alarm), alarm);
  }

  restoreEnd(): void {
    this.#raised = this.#restoring;
    this.#restoring = new Map();
  }
}

function nameOf({ memberID, alarm }: AlarmMember): string {
  return `${memberID}:${alarm}`;
}

/** Prefix, member id (8 bytes), type (1 byte). */
function recordKey({ memberID, alarm }: AlarmMember): Uint8Array {
  const id = new Uint8Array(9);
  asBuffer(id).writeBigUInt64BE(memberID);
  id[8] = alarm;
  return bucketKey(prefix.alarm, id);
}

function memberOf(key: Buffer): MemberId {
  return key.readBigUInt64BE(1);
}
