import type { Program } from '../../support/server-process.ts';

/** What clients can ask and this store does not serve yet. */
const missing: readonly Feature[] = ['tls', 'urlAuthority'];

/** `urlAuthority`: an `:authority` that is a whole URL, which node:http2 refuses. */
export type Feature =
  | 'urlAuthority'
  | 'auth'
  | 'tls'
  | 'hash'
  | 'hashKV'
  | 'defragment'
  | 'snapshot';

export function serves(program: Program, feature: Feature): boolean {
  return program === 'etcd' || !missing.includes(feature);
}

/** Options of a test: it is skipped, with a reason, where the store has not what it asks. */
export function requires(program: Program, ...features: readonly Feature[]) {
  const lacking = features.filter((feature) => !serves(program, feature));
  return { skip: lacking.length === 0 ? false : `this store has no ${lacking.join(', ')} yet` };
}
