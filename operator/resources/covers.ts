/**
 * Whether `observed` has every field of `desired` with its value. Fields that the API server or another manager added
 * do not matter; lists must have the same length.
 */
export function covers(observed: unknown, desired: unknown): boolean {
  if (Array.isArray(desired)) {
    return (
      Array.isArray(observed) &&
      observed.length === desired.length &&
      desired.every((item, position) => covers(observed[position], item))
    );
  }
  if (!isRecord(desired)) return observed === desired;
  if (!isRecord(observed)) return false;
  return Object.entries(desired).every(([key, value]) => covers(observed[key], value));
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
