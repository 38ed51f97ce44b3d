import type { Caller } from './access.ts';

/** How a member makes tokens and tells whose they are. */
export interface Tokens {
  /** What an entry of authentication carries; empty where applying it makes no token. */
  newPrefix(): string;
  /** The token for the client; `applied` is what applying the entry has made. Throws where tokens can only be verified. */
  issue(caller: Caller, applied: string): string;
  /** The entry that has to be applied before {@link callerOf} can know the token; undefined when it is no token. */
  madeAt(token: string): bigint | undefined;
  /** Undefined when the token is not, or no longer, good. */
  callerOf(token: string, authRevision: number): Caller | undefined;
}

/** `--auth-token=''`: there are no tokens; only the certificate of a client tells who it is. */
export const noTokens: Tokens = {
  newPrefix: () => '',
  issue: () => {
    throw new TokenError('authentication failed, invalid user ID or password');
  },
  madeAt: () => undefined,
  callerOf: () => undefined,
};

/** Why a member makes no token. */
export class TokenError extends Error {
  override name = 'TokenError';
}
