/** A broken promise, found by a checker. The message starts with the invariant's number where it has one. */
export class Violation extends Error {
  override name = 'Violation';
}

export function demand(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Violation(message());
}
