import { Buffer, isUtf8 } from 'node:buffer';
import { GrpcCode, type Status } from '../api/errors.ts';
import { asBuffer } from '../base/bytes.ts';
import { auditKeyBytesMax, auditRangesMax } from '../config/limits.ts';
import type { AuditedRange, Subject } from './subject.ts';

/** Who has called, from where, and what became of it. */
export interface AuditedCall {
  readonly subject: Subject;
  /** Service and method. */
  readonly call: string;
  /** Undefined where nobody was asked, or where nobody said. */
  readonly user: string | undefined;
  /** `address:port`. */
  readonly from: string;
  /** The common name of the certificate of the connection. */
  readonly certificate: string | undefined;
  readonly via: 'grpc' | 'gateway';
  readonly status: Status;
  readonly durationMs: number;
}

const codeNames = new Map<number, string>(
  Object.entries(GrpcCode).map(([name, code]) => [code, name]),
);

/** What stands in a line before what the call is. */
export interface LineHead {
  readonly timeMs: number;
  readonly sequence: number;
  /** Hexadecimal. */
  readonly member: string;
}

/** One line of JSON, with its end. */
export function auditLine(head: LineHead, audited: AuditedCall): string {
  const { subject, call, user, from, certificate, via, status, durationMs } = audited;
  const { kind, facts = {}, ranges = [] } = subject;
  const more = ranges.length - auditRangesMax;
  return line(head, {
    kind,
    call,
    user: user === undefined ? undefined : cutText(user),
    from,
    certificate: certificate === undefined || certificate === '' ? undefined : cutText(certificate),
    via,
    outcome: codeNames.get(status.code),
    error: status.code === GrpcCode.OK ? undefined : status.message,
    ms: Math.round(10 * durationMs) / 10,
    ...Object.fromEntries(Object.entries(facts).map(([name, fact]) => [name, cutFact(fact)])),
    ranges: ranges.length === 0 ? undefined : ranges.slice(0, auditRangesMax).map(shownRange),
    moreRanges: more > 0 ? more : undefined,
  });
}

/** The log itself was begun or ended. */
export function logLine(head: LineHead, call: 'begin' | 'end', facts: object): string {
  return line(head, { kind: 'audit', call, ...facts });
}

function line({ timeMs, sequence, member }: LineHead, fields: object): string {
  const time = new Date(timeMs).toISOString();
  return `${JSON.stringify({ time, seq: sequence, member, ...fields })}\n`;
}

/** Clients choose them, those too whom nobody knows. */
function cutFact(fact: NonNullable<Subject['facts']>[string]): unknown {
  if (typeof fact === 'string') return cutText(fact);
  return typeof fact === 'object' ? fact.slice(0, auditRangesMax).map(cutText) : fact;
}

function cutText(text: string): string {
  return text.length > auditKeyBytesMax ? `${text.slice(0, auditKeyBytesMax)}…` : text;
}

/** As text where it is UTF-8, else in hexadecimal; of a long key the beginning and its length. */
function shownRange({ op, key, rangeEnd }: AuditedRange): object {
  return {
    op,
    ...shownKey('key', key),
    ...(rangeEnd.length === 0 ? {} : shownKey('end', rangeEnd)),
  };
}

function shownKey(name: 'key' | 'end', bytes: Uint8Array): object {
  const cut = asBuffer(bytes).subarray(0, auditKeyBytesMax);
  const isCut = cut.length < bytes.length;
  return {
    ...(isUtf8(bytes) && !isCut
      ? { [name]: Buffer.from(cut).toString() }
      : { [`${name}Hex`]: Buffer.from(cut).toString('hex') }),
    ...(isCut ? { [`${name}Bytes`]: bytes.length } : {}),
  };
}
