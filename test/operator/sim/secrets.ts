import type { Secret } from '../../../operator/api/objects.ts';
import { objectPath } from '../../../operator/kube/paths.ts';
import { entriesOf, factsOf } from '../../../operator/resources/secret-facts.ts';
import type { FakeKube, Stored } from '../support/fake-kube.ts';
import { key } from './children.ts';

function pathOf(name: string): string {
  return objectPath('Secret', { namespace: key.namespace, name });
}

/** A Secret of a person's, or new contents of it. */
export function putSecret(
  kube: FakeKube,
  name: string,
  texts: Readonly<Record<string, string>>,
): void {
  const data = Object.fromEntries(
    Object.entries(texts).map(([entry, text]) => [entry, Buffer.from(text).toString('base64')]),
  );
  if (kube.read(pathOf(name)) !== undefined) kube.set(pathOf(name), () => ({ data }));
  else
    kube.put(pathOf(name), {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name },
      data,
    } as Stored);
}

/** The entries of a Secret; undefined when it is not there. */
export function secretOf(kube: FakeKube, name: string): ReadonlyMap<string, Buffer> | undefined {
  const found = kube.read(pathOf(name)) as unknown as Secret | undefined;
  return found && entriesOf(found);
}

export function removeSecret(kube: FakeKube, name: string): void {
  kube.startDeletion(pathOf(name));
}

/** What a member says of its certificates: those of the Secrets, since its node has brought them. */
export function tlsMetrics(kube: FakeKube): string {
  const lines = (['client', 'peer'] as const).flatMap((side) => {
    const secret = kube.read(pathOf(`${key.name}-${side}-tls`)) as unknown as Secret | undefined;
    const { certificate, trust } = secret === undefined ? {} : factsOf(secret, undefined);
    return [
      `mainstay_tls_certificate_expiry_seconds{listener="${side}",serial="${certificate?.serial}"} 1`,
      `mainstay_tls_trust_bundle_info{listener="${side}",sha256="${trust?.sha256}"} 1`,
    ];
  });
  return lines.join('\n');
}
