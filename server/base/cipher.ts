/** Encrypts what goes to disk, where a member has keys for that. */
export interface Cipher {
  /** Of the key that encrypts now; a newer key has a higher one. */
  readonly keyNumber: number;
  /** Of the key that a value was encrypted with. */
  keyNumberOf(encrypted: Uint8Array): number;
  /** `place`: what the value belongs to; it decrypts nowhere else. */
  encrypt(content: Uint8Array, place: Uint8Array): Uint8Array;
  /** Undefined when no key decrypts it here: damage, or another directory's data. */
  decrypt(encrypted: Uint8Array, place: Uint8Array): Uint8Array | undefined;
}
