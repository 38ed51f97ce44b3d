/** Thrown when an invariant of our own code does not hold. Never caught: the process ends. */
export class AssertionError extends Error {
  override name = 'AssertionError';
}

/** Crashes (by throwing {@link AssertionError}) when an invariant does not hold. Stays on in production. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** The default branch of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`);
}

/** The value, asserted to be there. */
export function defined<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new AssertionError(`${what} is missing`);
  return value;
}
