import type { Program } from '../../support/server-process.ts';

/** What clients do and this store does not take yet. */
export type Feature = 'urlAuthority';

/** `urlAuthority`: an `:authority` that is a whole URL, which node:http2 refuses. */
const missing: readonly Feature[] = ['urlAuthority'];

/** Options of a test: it is skipped, with a reason, where the store has not what it asks. */
export function requires(program: Program, ...features: readonly Feature[]) {
  const lacking = features.filter((each) => program === 'mainstay' && missing.includes(each));
  return { skip: lacking.length === 0 ? false : `this store has no ${lacking.join(', ')} yet` };
}
