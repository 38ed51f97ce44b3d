/** What a member asks another one. Most questions only the leader can answer. Ids as decimal text. */
export type PeerQuestion =
  | { readonly kind: 'renewLease' | 'leaseTimeToLive'; readonly leaseId: string }
  | { readonly kind: 'promote'; readonly memberId: string }
  /** To let another one lead. */
  | { readonly kind: 'handOver' }
  /** Whether its release knows what an observer is; everybody answers, and one of a release before refuses. */
  | { readonly kind: 'knowsObservers' }
  /** Of its own data; everybody answers. 0: at its current revision. */
  | { readonly kind: 'hash'; readonly revision: number }
  /** When it applied the revisions behind one. */
  | { readonly kind: 'stamps'; readonly revision: number };

/** From JSON. Undefined when it is no question of this version. */
export function readQuestion(text: string): PeerQuestion | undefined {
  const { kind, leaseId, memberId, revision } = fieldsOf(text);
  switch (kind) {
    case 'renewLease':
    case 'leaseTimeToLive':
      return isId(leaseId) ? { kind, leaseId } : undefined;
    case 'promote':
      return isId(memberId) ? { kind, memberId } : undefined;
    case 'handOver':
    case 'knowsObservers':
      return { kind };
    case 'hash':
    case 'stamps':
      return isRevision(revision) ? { kind, revision } : undefined;
    default:
      return undefined;
  }
}

function fieldsOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return {};
  }
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && /^-?\d{1,20}$/.test(value);
}

function isRevision(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
