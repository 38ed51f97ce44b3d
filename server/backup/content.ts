import { createHash } from 'node:crypto';
import type { EncryptionKey } from '../base/encryption-key.ts';
import { decrypted } from './encryption.ts';
import { BackupError } from './failure.ts';
import type { Manifest } from './manifest.ts';
import type { Target } from './target.ts';

/** Told how many bytes of the content have passed. */
export type OnBytes = (sizeBytes: number) => void;

/**
 * The content of a backup, decrypted, compared with what its manifest says of it. It fails with `Damaged` at the end when
 * it is not that, so nothing may be done with it before it has come to its end.
 */
export async function* contentOf(
  target: Target,
  manifest: Pick<
    Manifest,
    'data' | 'sizeBytes' | 'storedBytes' | 'sha256' | 'storedSha256' | 'encryption'
  >,
  { keys, onBytes = () => {} }: { keys: readonly EncryptionKey[]; onBytes?: OnBytes },
): AsyncGenerator<Uint8Array, void, void> {
  const { data, encryption } = manifest;
  const stored = createHash('sha256');
  const plain = createHash('sha256');
  let storedBytes = 0;
  let sizeBytes = 0;
  const object = async function* () {
    for await (const chunk of target.get(data)) {
      stored.update(chunk);
      storedBytes += chunk.length;
      yield chunk;
    }
  };
  const content = encryption === undefined ? object() : decrypted(object(), keys);
  for await (const chunk of content) {
    plain.update(chunk);
    sizeBytes += chunk.length;
    onBytes(chunk.length);
    yield chunk;
  }
  const isSame =
    storedBytes === manifest.storedBytes &&
    sizeBytes === manifest.sizeBytes &&
    stored.digest('hex') === manifest.storedSha256 &&
    plain.digest('hex') === manifest.sha256;
  if (isSame) return;
  throw new BackupError(
    'Damaged',
    `${target.place}/${data} is not what was written: ${storedBytes} bytes of ${manifest.storedBytes}, or other ones`,
  );
}

/** All but the last so many bytes of what comes, and those in the end by themselves. */
export async function* withoutTail(
  chunks: AsyncIterable<Uint8Array>,
  tailBytes: number,
): AsyncGenerator<Uint8Array, Uint8Array, void> {
  let tail = Buffer.of();
  for await (const chunk of chunks) {
    if (tail.length + chunk.length <= tailBytes) {
      tail = Buffer.concat([tail, chunk]);
      continue;
    }
    const all = tail.length === 0 ? chunk : Buffer.concat([tail, chunk]);
    yield all.subarray(0, all.length - tailBytes);
    tail = Buffer.from(all.subarray(all.length - tailBytes));
  }
  return tail;
}
