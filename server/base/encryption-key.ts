import { createHash } from 'node:crypto';

/** A secret key that people keep, and what it is called. */
export interface EncryptionKey {
  /** Sixteen hex digits that say which key it is and nothing else about it. */
  readonly id: string;
  /** 32 bytes. */
  readonly secret: Buffer;
}

/** It is no key: the message says what would be one. */
export class InvalidKeyError extends Error {
  override name = 'InvalidKeyError';
}

/** 32 bytes as they are, or in hex or base64. `name`: of the file, for the message. Throws {@link InvalidKeyError}. */
export function encryptionKeyOf(content: Buffer, name: string): EncryptionKey {
  const text = content.toString('latin1').trim();
  const secret = /^[0-9a-fA-F]{64}$/.test(text)
    ? Buffer.from(text, 'hex')
    : /^[A-Za-z0-9+/]{43}=$/.test(text)
      ? Buffer.from(text, 'base64')
      : content;
  if (secret.length !== 32) {
    const advice = 'make one with: openssl rand -base64 32';
    throw new InvalidKeyError(
      `${name} holds no key: it has to be 32 bytes, as they are, in hex or in base64; ${advice}`,
    );
  }
  const digest = createHash('sha256').update('mainstay backup key id').update(secret).digest('hex');
  return { id: digest.slice(0, 16), secret };
}
