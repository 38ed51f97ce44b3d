import type { CompleteSpec } from '../api/defaults.ts';
import { encryptionKeyDefault, formerKeyDefault } from '../api/spec/encryption.ts';
import type { StoreClusterSpec } from '../api/types.ts';
import { tagOf } from '../api/versions.ts';
import type { GivenSecret } from './secrets.ts';

// Encryption at rest: the Secret of a person's, mounted whole, so that new contents reach members that run.

const mountPath = '/etc/mainstay/encryption';

interface Encryption {
  readonly secretName: string;
  readonly key: string;
  readonly formerKey: string;
}

/** With its defaults. */
export function encryptionOf({ encryption }: StoreClusterSpec): Encryption | undefined {
  if (encryption === undefined) return undefined;
  const { secretName, key = encryptionKeyDefault, formerKey = formerKeyDefault } = encryption;
  return { secretName, key, formerKey };
}

export function encryptionSecret(spec: StoreClusterSpec): GivenSecret | undefined {
  const encryption = encryptionOf(spec);
  if (encryption === undefined) return undefined;
  const { secretName: name, key, formerKey } = encryption;
  return { name, keys: [key], formerKey, purpose: 'with the key that encrypts the volumes' };
}

/**
 * Also for an image that does not know the flag: such a member would begin in clear, or take what is encrypted for damaged.
 * With the flag it does not start.
 */
export function encryptionFlags(spec: StoreClusterSpec): string[] {
  const encryption = encryptionOf(spec);
  if (encryption === undefined) return [];
  const files = [encryption.key, encryption.formerKey].map((entry) => `${mountPath}/${entry}`);
  return [`--data-encryption-key-file=${files.join(',')}`];
}

export function encryptionMount(spec: StoreClusterSpec) {
  if (spec.encryption === undefined) return [];
  return [{ name: 'encryption', secretName: spec.encryption.secretName, mountPath }];
}

/** Whether members of the image that is wanted can encrypt. */
export function canEncrypt({ image }: CompleteSpec): boolean {
  return !tagOf(image).startsWith('0.1.');
}
