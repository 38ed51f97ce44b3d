import { Buffer } from 'node:buffer';
import { crc32c } from '../base/crc32c.ts';

/** A record is stored sealed: its value, then the CRC-32C over key and value, little-endian. */
const sealSizeBytes = 4;

/** What has to be free behind a value for {@link sealInPlace}. */
export const roomForSeal = sealSizeBytes;

/** The record, its value copied. */
export function seal(key: Uint8Array, value: Uint8Array): Buffer {
  const sealed = Buffer.allocUnsafe(value.length + sealSizeBytes);
  sealed.set(value);
  sealInPlace(key, sealed);
  return sealed;
}

/** Seals a value with room behind it; returns the checksum. */
export function sealInPlace(key: Uint8Array, roomy: Buffer): number {
  const end = roomy.length - sealSizeBytes;
  const checksum = crc32c(roomy, crc32c(key), end);
  roomy[end] = checksum;
  roomy[end + 1] = checksum >>> 8;
  roomy[end + 2] = checksum >>> 16;
  roomy[end + 3] = checksum >>> 24;
  return checksum;
}

/** The value of a sealed record, a view; undefined when the seal is broken. */
export function unseal(key: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  if (sealed.length < sealSizeBytes) return undefined;
  const end = sealed.length - sealSizeBytes;
  const isWhole = crc32c(sealed, crc32c(key), end) === checksumOf(sealed);
  return isWhole ? sealed.subarray(0, end) : undefined;
}

/** The value of a record that we sealed ourselves, or that was verified. */
export function valueOf(sealed: Uint8Array): Uint8Array {
  return sealed.subarray(0, sealed.length - sealSizeBytes);
}

/** The checksum that the record carries, unsigned. */
export function checksumOf(sealed: Uint8Array): number {
  const at = sealed.length - sealSizeBytes;
  const low =
    (sealed[at] as number) | ((sealed[at + 1] as number) << 8) | ((sealed[at + 2] as number) << 16);
  return (low | ((sealed[at + 3] as number) << 24)) >>> 0;
}
