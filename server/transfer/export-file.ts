import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, openSync, readSync, statSync } from 'node:fs';
import { asBuffer } from '../base/bytes.ts';
import { hexId, type LeaseId, leaseIdOf } from '../base/ids.ts';
import { writeAll } from '../snapshot/whole-file.ts';
import { type Content, type Entry, type OnBytes, TransferError } from './content.ts';

// An export: lines of JSON. The first one is the head, then leases and keys, a lease before the keys that live with it;
// the last one says how many they are, and what their hash is. docs/CTL.md has the format.

const formatVersion = 1;
const writeBytes = 256 * 1024;
/** A value of the largest request that a store can be made to take, in base64. */
const lineBytesMax = 1024 * 1024 * 1024;

/** What stands in an export. */
export interface ExportFacts {
  readonly revision: number;
  readonly clusterId: string | undefined;
  readonly keys: number;
  readonly leases: number;
  /** Over every byte before the last line, hex. */
  readonly sha256: string;
}

/** Writes an export into an open file. */
export async function writeExport(descriptor: number, content: Content): Promise<ExportFacts> {
  const hash = createHash('sha256');
  const { revision, clusterId } = content;
  const counts = { keys: 0, leases: 0 };
  let lines: string[] = [];
  let bytes = 0;
  const flush = () => {
    const chunk = Buffer.from(lines.join(''));
    hash.update(chunk);
    writeAll(descriptor, chunk);
    lines = [];
    bytes = 0;
  };
  const add = (fields: object) => {
    const line = `${JSON.stringify(fields)}\n`;
    lines.push(line);
    bytes += line.length;
    if (bytes >= writeBytes) flush();
  };
  add({ mainstay: 'export', version: formatVersion, revision, clusterId });
  for await (const entry of content.entries()) {
    counts[entry.kind === 'key' ? 'keys' : 'leases']++;
    add(fieldsOf(entry));
  }
  flush();
  const sha256 = hash.digest('hex');
  writeAll(descriptor, Buffer.from(`${JSON.stringify({ end: true, ...counts, sha256 })}\n`));
  return { revision, clusterId, ...counts, sha256 };
}

function fieldsOf(entry: Entry): object {
  if (entry.kind === 'lease') return { lease: hexId(entry.id), ttl: entry.ttlSeconds };
  const { key, value, lease, createRevision, modRevision, version } = entry;
  return {
    key: asBuffer(key).toString('base64'),
    value: asBuffer(value).toString('base64'),
    ...(lease === 0n ? {} : { lease: hexId(lease) }),
    createRevision,
    modRevision,
    version,
  };
}

/** Whether it begins as an export does, and no snapshot. */
export function looksLikeExport(path: string): boolean {
  const descriptor = openSync(path, 'r');
  try {
    const first = Buffer.alloc(1);
    return readSync(descriptor, first, 0, 1, 0) === 0 || first.toString() === '{';
  } finally {
    closeSync(descriptor);
  }
}

/** An export in a file. */
export class ExportFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  get sizeBytes(): number {
    return statSync(this.#path).size;
  }

  /** Reads all of it, and compares it with what its last line says. Throws {@link TransferError}. */
  async verify(onBytes: OnBytes): Promise<ExportFacts> {
    const reading = new Reading(this.#path);
    for await (const _ of reading.entries(onBytes));
    return reading.facts();
  }

  /** Of one that was verified. */
  content({ revision, clusterId }: ExportFacts, onBytes: OnBytes): Content {
    const entries = () => new Reading(this.#path).entries(onBytes);
    return { revision, clusterId, entries };
  }
}

/** One pass over the lines. */
class Reading {
  readonly #path: string;
  readonly #hash = createHash('sha256');
  readonly #leases = new Set<LeaseId>();
  #line = 0;
  #keys = 0;
  #head: { revision: number; clusterId: string | undefined } | undefined;
  #sha256: string | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  facts(): ExportFacts {
    if (this.#head === undefined || this.#sha256 === undefined) throw this.#damaged(cutOff);
    return { ...this.#head, keys: this.#keys, leases: this.#leases.size, sha256: this.#sha256 };
  }

  /** Fails in the end where the last line is not there, or says something else. */
  async *entries(onBytes: OnBytes): AsyncGenerator<Entry, void, void> {
    for await (const line of linesOf(this.#path, (what) => this.#damaged(what))) {
      this.#line++;
      onBytes(line.length + 1);
      if (this.#sha256 !== undefined) throw this.#damaged('something stands behind the end');
      const fields = this.#parsed(line);
      if (fields['end'] === true) {
        this.#end(fields);
        continue;
      }
      this.#hash.update(line).update('\n');
      if (this.#head === undefined) this.#head = this.#headOf(fields);
      else yield this.#entryOf(fields);
    }
    this.facts();
  }

  #parsed(line: Buffer): Record<string, unknown> {
    try {
      const fields: unknown = JSON.parse(line.toString());
      if (typeof fields === 'object' && fields !== null) return fields as Record<string, unknown>;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    throw this.#damaged('no JSON object');
  }

  #headOf(fields: Record<string, unknown>): { revision: number; clusterId: string | undefined } {
    const { revision, clusterId } = fields;
    if (fields['mainstay'] !== 'export') throw this.#damaged('this is no export of mainstayctl');
    if (fields['version'] !== formatVersion) {
      throw this.#damaged(
        `the format's version is ${String(fields['version'])}; this mainstayctl reads ${formatVersion}`,
      );
    }
    if (!isCount(revision)) throw this.#damaged('the head has no revision');
    return { revision, clusterId: typeof clusterId === 'string' ? clusterId : undefined };
  }

  #entryOf(fields: Record<string, unknown>): Entry {
    const { key, value, ttl, createRevision, modRevision, version } = fields;
    const lease = this.#leaseOf(fields['lease']);
    if (key === undefined) {
      if (!isCount(ttl) || ttl === 0 || lease === 0n || this.#leases.has(lease)) {
        throw this.#damaged('neither a key nor a lease');
      }
      this.#leases.add(lease);
      return { kind: 'lease', id: lease, ttlSeconds: ttl };
    }
    const isKey = typeof key === 'string' && key !== '' && typeof value === 'string';
    if (!isKey || !isCount(createRevision) || !isCount(modRevision) || !isCount(version)) {
      throw this.#damaged('a key that makes no sense');
    }
    if (lease !== 0n && !this.#leases.has(lease)) {
      throw this.#damaged(`lease ${hexId(lease)} does not stand before its key`);
    }
    this.#keys++;
    const bytes = { key: Buffer.from(key, 'base64'), value: Buffer.from(value, 'base64') };
    return { kind: 'key', ...bytes, lease, createRevision, modRevision, version };
  }

  #leaseOf(text: unknown): LeaseId {
    if (text === undefined) return 0n;
    if (typeof text === 'string' && /^[0-9a-f]{1,16}$/.test(text)) {
      return leaseIdOf(text);
    }
    throw this.#damaged('a lease that is no id');
  }

  #end({ keys, leases, sha256 }: Record<string, unknown>): void {
    const actual = this.#hash.digest('hex');
    if (sha256 !== actual) throw this.#damaged('what stands before has another hash');
    if (keys !== this.#keys || leases !== this.#leases.size) {
      throw this.#damaged('there are not so many keys and leases before');
    }
    this.#sha256 = actual;
  }

  #damaged(what: string): TransferError {
    return new TransferError(`${this.#path}: line ${Math.max(1, this.#line)}: ${what}`);
  }
}

const cutOff = 'the file is cut off: its last line is missing';

async function* linesOf(
  path: string,
  damaged: (what: string) => TransferError,
): AsyncGenerator<Buffer, void, void> {
  let parts: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: writeBytes })) {
    let rest = chunk as Buffer;
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
      yield Buffer.concat([...parts, rest.subarray(0, end)]);
      parts = [];
      bytes = 0;
      rest = rest.subarray(end + 1);
    }
    parts.push(rest);
    bytes += rest.length;
    if (bytes > lineBytesMax) throw damaged('a line that is too long');
  }
  if (bytes > 0) throw damaged(cutOff);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
