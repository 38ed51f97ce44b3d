import { isUtf8 } from 'node:buffer';
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

/** One line of JSON, with its end. Put together by hand: every write may cost one. */
export function auditLine(head: LineHead, audited: AuditedCall): string {
  const { subject, call, user, from, certificate, via, status, durationMs } = audited;
  let line = `${headText(head)},"kind":"${subject.kind}","call":"${call}"`;
  if (user !== undefined) line += `,"user":${cutText(user)}`;
  line += `,"from":"${from}"`;
  if (certificate !== undefined && certificate !== '') {
    line += `,"certificate":${cutText(certificate)}`;
  }
  line += `,"via":"${via}","outcome":"${codeNames.get(status.code)}"`;
  if (status.code !== GrpcCode.OK) line += `,"error":${cutText(status.message)}`;
  line += `,"ms":${Math.round(10 * durationMs) / 10}`;
  for (const name in subject.facts) line += `,"${name}":${factText(subject.facts[name] ?? '')}`;
  return `${line}${rangesText(subject.ranges ?? [])}}\n`;
}

/** The log itself was begun or ended. */
export function logLine(head: LineHead, call: 'begin' | 'end', facts: object): string {
  const rest = JSON.stringify({ kind: 'audit', call, ...facts });
  return `${headText(head)},${rest.slice(1)}\n`;
}

function headText({ timeMs, sequence, member }: LineHead): string {
  return `{"time":"${timeText(timeMs)}","seq":${sequence},"member":"${member}"`;
}

const lastTime = { ms: Number.NaN, text: '' };

function timeText(ms: number): string {
  if (ms !== lastTime.ms) {
    lastTime.ms = ms;
    lastTime.text = new Date(ms).toISOString();
  }
  return lastTime.text;
}

/** Clients choose them, those too whom nobody knows. */
function factText(fact: NonNullable<Subject['facts']>[string]): string {
  if (typeof fact === 'string') return cutText(fact);
  if (typeof fact !== 'object') return String(fact);
  return `[${fact.slice(0, auditRangesMax).map(cutText).join()}]`;
}

function cutText(text: string): string {
  const isLong = text.length > auditKeyBytesMax;
  return quoted(isLong ? `${text.slice(0, auditKeyBytesMax)}…` : text);
}

/**
 * What JSON allows as it is, and what ends a line, drives a terminal or turns text about for whoever reads the log: the
 * controls above ASCII, the separators of lines and paragraphs, the marks of direction.
 */
const misleading = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

function quoted(text: string): string {
  return JSON.stringify(text).replace(
    misleading,
    (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function rangesText(ranges: readonly AuditedRange[]): string {
  if (ranges.length === 0) return '';
  const shown = ranges.length > auditRangesMax ? ranges.slice(0, auditRangesMax) : ranges;
  const more = ranges.length - shown.length;
  const text = `,"ranges":[${shown.map(rangeText).join()}]`;
  return more > 0 ? `${text},"moreRanges":${more}` : text;
}

function rangeText({ op, key, rangeEnd }: AuditedRange): string {
  const end = rangeEnd.length === 0 ? '' : keyText('end', rangeEnd);
  return `{"op":"${op}"${keyText('key', key)}${end}}`;
}

/** As text where it is UTF-8, else in hexadecimal; of a long key the beginning and its length. */
function keyText(name: 'key' | 'end', bytes: Uint8Array): string {
  const isCut = bytes.length > auditKeyBytesMax;
  const shown = isCut ? asBuffer(bytes).subarray(0, auditKeyBytesMax) : asBuffer(bytes);
  if (isCut) return `,"${name}Hex":"${shown.toString('hex')}","${name}Bytes":${bytes.length}`;
  if (!isUtf8(bytes)) return `,"${name}Hex":"${shown.toString('hex')}"`;
  return `,"${name}":${quoted(shown.toString())}`;
}
