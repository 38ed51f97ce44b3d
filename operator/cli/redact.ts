// What of an object goes into a report.

const redacted = '(left out)';
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

/** A Secret has its name, its type and its labels; its annotations may hold a copy of it. */
export function redactedSecret(secret: Readonly<Record<string, unknown>>): unknown {
  const { name, namespace, uid, creationTimestamp, labels, ownerReferences } = (secret[
    'metadata'
  ] ?? {}) as Record<string, unknown>;
  const metadata = { name, namespace, uid, creationTimestamp, labels, ownerReferences };
  return { kind: 'Secret', metadata, data: redacted };
}

/** Any other object, without who manages its fields and without the values of environment variables. */
export function redactedObject(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redactedObject);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(
    ([key]) => key !== 'managedFields' && key !== lastApplied,
  );
  return Object.fromEntries(
    kept.map(([key, item]) => [
      key,
      key === 'env' && Array.isArray(item) ? item.map(redactedVariable) : redactedObject(item),
    ]),
  );
}

function redactedVariable(variable: unknown): unknown {
  if (typeof variable !== 'object' || variable === null || !('value' in variable)) return variable;
  return { ...variable, value: redacted };
}
