import type { SecretFacts } from './secret-facts.ts';

/** What the operator has done in a store's authentication; kept in the Secret with its own user. */
export interface Applied {
  /** Digest of the password that each user was given last, by the user's name. */
  readonly users: Readonly<Record<string, string>>;
  readonly roles: readonly string[];
}

const nothing: Applied = { users: {}, roles: [] };

export function appliedOf(own: SecretFacts | undefined): Applied {
  return parseApplied(own?.texts['applied']);
}

/** What somebody has spoilt counts for nothing: passwords are then set once more. */
export function parseApplied(text: string | undefined): Applied {
  if (text === undefined) return nothing;
  try {
    return { ...nothing, ...(JSON.parse(text) as Partial<Applied>) };
  } catch (error) {
    if (error instanceof SyntaxError) return nothing;
    throw error;
  }
}
