import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { assert } from '../base/assert.ts';
import { BackupError } from './failure.ts';
import { isPassing, S3Connection, type S3Options } from './s3-connection.ts';
import { type Listing, listingIn, textIn, uploadsIn } from './s3-xml.ts';
import {
  type ListedObject,
  type NewObject,
  readObject,
  type StoredObject,
  type Target,
} from './target.ts';

export interface S3TargetOptions extends S3Options {
  /** Before every name, with a slash behind it; or nothing. */
  readonly prefix: string;
}

const partBytesMin = 8 * 1024 * 1024;
/** S3 has 10 000. */
const partsMax = 9_000;
const resumeWaitMsMin = 100;
const resumeWaitMsMax = 5_000;
const ownerHeader = 'x-amz-meta-mainstay-owner';

/**
 * A bucket of anything that speaks S3. Nothing is asked of a server that some do not have: bodies are whole and signed
 * (no checksum trailers), objects are deleted one by one, and where `If-None-Match` is not known a look before and one
 * behind stand in for it.
 */
export class S3Target implements Target {
  readonly place: string;
  readonly #connection: S3Connection;
  readonly #options: S3TargetOptions;
  /** Until a server says that it does not know them. */
  #hasConditions = true;

  constructor(options: S3TargetOptions) {
    this.#options = options;
    this.#connection = new S3Connection(options);
    this.place = `s3://${options.bucket}/${options.prefix}`.replace(/\/$/, '');
  }

  async *list(prefix: string): AsyncGenerator<ListedObject, void, void> {
    let token: string | undefined;
    do {
      const listing: Listing = await this.#listFrom(prefix, token);
      for (const object of listing.objects) {
        yield { ...object, name: object.name.slice(this.#options.prefix.length) };
      }
      token = listing.next;
    } while (token !== undefined);
  }

  async stat(name: string): Promise<StoredObject | undefined> {
    const { status, headers } = await this.#connection.send(
      { method: 'HEAD', key: this.#key(name) },
      [404],
    );
    if (status === 404) return undefined;
    const owner = headers[ownerHeader];
    return {
      name,
      sizeBytes: Number(headers['content-length'] ?? 0),
      modifiedMs: Date.parse(headers['last-modified'] ?? '') || 0,
      owner: typeof owner === 'string' ? owner : undefined,
    };
  }

  async *get(name: string, fromByte = 0): AsyncGenerator<Buffer, void, void> {
    let at = fromByte;
    let sizeBytes: number | undefined;
    let waitMs = resumeWaitMsMin;
    let deadline = performance.now() + this.#options.retryMs;
    while (sizeBytes === undefined || at < sizeBytes) {
      const opened = await this.#openAt(name, at);
      sizeBytes = opened.sizeBytes;
      try {
        for await (const chunk of opened.chunks) {
          at += chunk.length;
          yield chunk;
          waitMs = resumeWaitMsMin;
          deadline = performance.now() + this.#options.retryMs;
        }
        if (at >= sizeBytes || sizeBytes === Number.POSITIVE_INFINITY) return;
      } catch (error) {
        if (this.#options.signal?.aborted === true) {
          throw new BackupError('Interrupted', 'interrupted', { cause: error });
        }
        if (!isPassing(error) || performance.now() > deadline) throw cutOff(name, error);
      }
      await sleep(waitMs);
      waitMs = Math.min(2 * waitMs, resumeWaitMsMax);
    }
  }

  async create(name: string, body: Uint8Array, owner: string): Promise<void> {
    const found = await this.stat(name);
    if (found === undefined) await this.#put(name, body, owner);
    // Read back: of servers without conditions, and of those that only pretend to have them.
    if (Buffer.compare(await readObject(this, name), body) !== 0) throw this.#foreign(name);
  }

  async createFrom(
    name: string,
    chunks: AsyncIterable<Uint8Array>,
    { sizeBytes, owner }: NewObject,
  ): Promise<void> {
    if ((await this.stat(name)) !== undefined) throw this.#foreign(name);
    const partBytes = Math.max(partBytesMin, Math.ceil(sizeBytes / partsMax));
    const parts = partsOf(chunks, Math.min(partBytes, Math.max(1, sizeBytes)));
    try {
      const body = (await parts.next()).value ?? Buffer.of();
      if (sizeBytes > partBytes) {
        await this.#putParts({ name, owner, sizeBytes }, body, parts);
        return;
      }
      assert(
        (await parts.next()).value === undefined,
        'an object has the size that was said before',
      );
      if ((await this.#put(name, body, owner)) === 'taken') throw this.#foreign(name);
    } finally {
      await parts.return();
    }
  }

  async delete(name: string): Promise<void> {
    await this.#connection.send({ method: 'DELETE', key: this.#key(name) }, [404]);
  }

  async abortUnfinished(prefix: string, olderThanMs: number): Promise<number> {
    const answer = await this.#connection.send(
      { method: 'GET', query: { uploads: '', prefix: this.#key(prefix) } },
      [400, 404, 405, 501],
    );
    // A server that cannot tell has its own way of cleaning up.
    if (answer.status >= 400) return 0;
    const before = (await this.nowMs()) - olderThanMs;
    const old = uploadsIn(answer.body).filter(({ startedMs }) => startedMs < before);
    for (const { key, id } of old) await this.#abort(key, id);
    return old.length;
  }

  async nowMs(): Promise<number> {
    return Date.now() + this.#connection.serverAheadMs;
  }

  close(): void {
    this.#connection.close();
  }

  #key(name: string): string {
    return `${this.#options.prefix}${name}`;
  }

  async #listFrom(prefix: string, token: string | undefined): Promise<Listing> {
    const query = {
      'list-type': '2',
      prefix: this.#key(prefix),
      ...(token !== undefined && { 'continuation-token': token }),
    };
    const { body } = await this.#connection.send({ method: 'GET', query });
    return listingIn(body);
  }

  /** The rest of an object, whether the server knows ranges or not. */
  async #openAt(
    name: string,
    at: number,
  ): Promise<{ sizeBytes: number; chunks: AsyncIterable<Buffer> }> {
    const headers: Record<string, string> = at > 0 ? { range: `bytes=${at}-` } : {};
    const response = await this.#connection.open({ method: 'GET', key: this.#key(name), headers });
    const isRest = response.statusCode === 206;
    const length = Number(response.headers['content-length'] ?? Number.NaN);
    const chunks = skipping(response, isRest ? 0 : at);
    if (Number.isNaN(length)) return { sizeBytes: Number.POSITIVE_INFINITY, chunks };
    return { sizeBytes: isRest ? at + length : length, chunks };
  }

  /** One request. `taken`: the server has seen that the name is not free. */
  async #put(name: string, body: Uint8Array, owner: string): Promise<'written' | 'taken'> {
    for (;;) {
      const { status } = await this.#connection.send(
        { method: 'PUT', key: this.#key(name), headers: this.#newHeaders(owner), body },
        this.#hasConditions ? [409, 412, 501] : [],
      );
      if (status < 300) return 'written';
      if (status !== 501) return (await this.#isOurs(name, body, owner)) ? 'written' : 'taken';
      this.#hasConditions = false;
    }
  }

  /** Whether an earlier try of the same request was taken after all, though its answer did not come. */
  async #isOurs(name: string, body: Uint8Array, owner: string): Promise<boolean> {
    const found = await this.stat(name);
    return found?.owner === owner && found.sizeBytes === body.length;
  }

  async #putParts(
    object: NewObject & { readonly name: string },
    first: Buffer,
    rest: AsyncIterator<Buffer, void, void>,
  ): Promise<void> {
    const key = this.#key(object.name);
    const id = await this.#beginUpload(key, object.owner);
    try {
      const tags = await this.#sendParts({ key, id }, first, rest);
      await this.#complete({ key, id, tags }, object);
    } catch (error) {
      await this.#abort(key, id).catch((second: unknown) => {
        if (!(second instanceof BackupError)) throw second;
        // The bucket's own rules remove what is unfinished; prune does too.
      });
      throw error;
    }
  }

  async #beginUpload(key: string, owner: string): Promise<string> {
    const { 'if-none-match': _, ...headers } = this.#newHeaders(owner);
    const { body } = await this.#connection.send({
      method: 'POST',
      key,
      query: { uploads: '' },
      headers,
    });
    const id = textIn(body, 'UploadId');
    if (id === undefined) {
      throw new BackupError('StorageRefused', `${this.place}: an upload has no id`);
    }
    return id;
  }

  /** One part is on its way while the next one is read. */
  async #sendParts(
    { key, id }: { key: string; id: string },
    first: Buffer,
    rest: AsyncIterator<Buffer, void, void>,
  ): Promise<string[]> {
    const tags: string[] = [];
    let part: Buffer | undefined = first;
    while (part !== undefined) {
      const body: Buffer = part;
      const query = { partNumber: String(tags.length + 1), uploadId: id };
      const sending = this.#connection.send({ method: 'PUT', key, query, body });
      const [{ headers }, next] = await settled(sending, rest.next());
      tags.push(headers.etag ?? '');
      part = next.value ?? undefined;
    }
    return tags;
  }

  async #complete(
    { key, id, tags }: { key: string; id: string; tags: readonly string[] },
    object: NewObject & { readonly name: string },
  ): Promise<void> {
    const parts = tags.map(
      (tag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${tag}</ETag></Part>`,
    );
    const body = Buffer.from(
      `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`,
    );
    const headers = { 'content-type': 'application/xml' };
    const request = { method: 'POST', key, query: { uploadId: id }, headers, body } as const;
    const { status } = await this.#connection.send(request, [404]);
    if (status < 300) return;
    // A try before this one may have been taken, and the upload is gone therefore.
    const found = await this.stat(object.name);
    if (found?.sizeBytes === object.sizeBytes && found.owner === object.owner) return;
    throw new BackupError('StorageRefused', `${this.place}: the server has forgotten an upload`);
  }

  async #abort(key: string, id: string): Promise<void> {
    const request = { method: 'DELETE', key, query: { uploadId: id } } as const;
    await this.#connection.send(request, [404, 405, 501]);
  }

  #newHeaders(owner: string): Record<string, string> {
    const { encryption, kmsKeyId } = this.#options;
    const prefix = 'x-amz-server-side-encryption';
    return {
      [ownerHeader]: owner,
      'content-type': 'application/octet-stream',
      ...(this.#hasConditions && { 'if-none-match': '*' }),
      ...(encryption !== undefined && { [prefix]: encryption }),
      ...(kmsKeyId !== undefined && { [`${prefix}-aws-kms-key-id`]: kmsKeyId }),
    };
  }

  #foreign(name: string): BackupError {
    return new BackupError(
      'ForeignObject',
      `${this.place}/${name} is there already and is not ours: it is left as it is`,
    );
  }
}

/** A name that nobody else will choose. */
export function randomWord(): string {
  return randomBytes(8).toString('hex');
}

/** Both; when one fails the other is waited for. */
async function settled<A, B>(a: Promise<A>, b: Promise<B>): Promise<[A, B]> {
  const [first, second] = await Promise.allSettled([a, b]);
  if (first.status === 'rejected') throw first.reason;
  if (second.status === 'rejected') throw second.reason;
  return [first.value, second.value];
}

/** Pieces of exactly that size, but for the last. A piece may be changed once the one after the next is asked for. */
async function* partsOf(
  chunks: AsyncIterable<Uint8Array>,
  partBytes: number,
): AsyncGenerator<Buffer, void, void> {
  const buffers = [Buffer.allocUnsafe(partBytes), Buffer.of()];
  let turn = 0;
  let filled = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      if (filled === partBytes) {
        yield buffers[turn] as Buffer;
        turn = 1 - turn;
        if (buffers[turn]?.length === 0) buffers[turn] = Buffer.allocUnsafe(partBytes);
        filled = 0;
      }
      const piece = chunk.subarray(at, at + partBytes - filled);
      (buffers[turn] as Buffer).set(piece, filled);
      filled += piece.length;
      at += piece.length;
    }
  }
  if (filled > 0) yield (buffers[turn] as Buffer).subarray(0, filled);
}

async function* skipping(
  chunks: AsyncIterable<Buffer>,
  skippedBytes: number,
): AsyncGenerator<Buffer, void, void> {
  let left = skippedBytes;
  for await (const chunk of chunks) {
    const rest = chunk.subarray(Math.min(left, chunk.length));
    left -= chunk.length - rest.length;
    if (rest.length > 0) yield rest;
  }
}

function cutOff(name: string, error: unknown): Error {
  if (error instanceof BackupError || !isPassing(error)) return error as Error;
  const why = error instanceof Error ? error.message : String(error);
  return new BackupError('StorageUnreachable', `${name} is cut off again and again: ${why}`, {
    cause: error,
  });
}
