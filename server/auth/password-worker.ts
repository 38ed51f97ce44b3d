import { randomBytes } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { compareSync, encodeBase64, hashSync } from 'bcryptjs';

// The thread that hashes and verifies passwords: tens of milliseconds of computing each, which must not hold up others.

export type PasswordTask =
  | { readonly kind: 'hash'; readonly password: string; readonly cost: number }
  | { readonly kind: 'verify'; readonly password: string; readonly hash: string };

/** A hash, or whether the password is the one that was hashed. */
export type PasswordAnswer = string | boolean;

/** As Go's bcrypt writes it, for etcd to read: `$2a$`, the cost, 22 characters of salt, 31 of hash. */
function run(task: PasswordTask): PasswordAnswer {
  if (task.kind === 'verify') return isPassword(task);
  const cost = String(task.cost).padStart(2, '0');
  return hashSync(task.password, `$2a$${cost}$${encodeBase64(randomBytes(16), 16)}`);
}

/** What is no hash is the hash of nothing. */
function isPassword({ password, hash }: { readonly password: string; readonly hash: string }) {
  try {
    return compareSync(password, hash);
  } catch {
    return false;
  }
}

parentPort?.on('message', (task: PasswordTask) => {
  parentPort?.postMessage(run(task));
});
