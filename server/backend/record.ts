import { Buffer } from 'node:buffer';
import { asBuffer } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';

/** A record is stored sealed: its value, then the CRC-32C over key and value, little-endian. */
const sealSizeBytes = 4;

export function seal(key: Uint8Array, value: Uint8Array): Buffer {
  const sealed = Buffer.allocUnsafe(value.length + sealSizeBytes);
  sealed.set(value);
  sealed.writeInt32LE(crc32c(value, crc32c(key)) | 0, value.length);
  return sealed;
}

/** The value of a sealed record, a view; undefined when the seal is broken. */
export function unseal(key: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  if (sealed.length < sealSizeBytes) return undefined;
  const value = sealed.subarray(0, sealed.length - sealSizeBytes);
  return crc32c(value, crc32c(key)) === checksumOf(sealed) ? value : undefined;
}

/** The value of a record that we sealed ourselves, or that was verified. */
export function valueOf(sealed: Uint8Array): Uint8Array {
  return sealed.subarray(0, sealed.length - sealSizeBytes);
}

/** The checksum that the record carries, unsigned. */
export function checksumOf(sealed: Uint8Array): number {
  return asBuffer(sealed).readUInt32LE(sealed.length - sealSizeBytes);
}
