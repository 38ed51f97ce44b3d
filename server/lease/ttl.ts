/** The shortest lease in seconds, so that one survives an election: etcd's rule. */
export function leaseTtlMin(electionTimeoutMs: number): number {
  return Math.ceil((1.5 * electionTimeoutMs) / 1000);
}

/**
 * The TTL in seconds that a client gets. Called before a grant is proposed and not while it is applied: the election
 * timeout is a flag that may differ between members, and what is applied may not.
 */
export function effectiveTtl(ttl: number, electionTimeoutMs: number): number {
  return Math.max(ttl, leaseTtlMin(electionTimeoutMs));
}
