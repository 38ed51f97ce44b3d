// [io] The Secrets of a store, each by its name: others are not looked at.
import type { Secret } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import type { KubeClient } from '../kube/client.ts';
import { objectPath } from '../kube/paths.ts';
import { type Applied, appliedOf } from '../resources/applied.ts';
import { isOurs } from '../resources/labels.ts';
import { mirrorSecrets } from '../resources/mirror.ts';
import { namespaceOf, operatorAuthSecretName } from '../resources/names.ts';
import { entriesOf, factsOf, type SecretFacts } from '../resources/secret-facts.ts';
import { givenSecrets, ownSecretNames } from '../resources/secrets.ts';

export interface ObservedSecrets {
  /** By name; one that is not there is absent. */
  readonly facts: ReadonlyMap<string, SecretFacts>;
  /** The same with their keys and passwords: for the connection to the store alone. */
  readonly contents: ReadonlyMap<string, ReadonlyMap<string, Buffer>>;
}

export async function observeSecrets(
  kube: KubeClient,
  cluster: StoreCluster,
): Promise<ObservedSecrets> {
  const read = (name: string) =>
    kube.get<Secret>(objectPath('Secret', { namespace: namespaceOf(cluster), name }));
  const own = await read(operatorAuthSecretName(cluster));
  const isKnown = own !== undefined && isOurs(cluster, own);
  const salt = isKnown ? entriesOf(own).get('salt') : undefined;
  const names = new Set([
    ...ownSecretNames(cluster, removedUsers(cluster, isKnown ? factsOf(own, salt) : undefined)),
    ...[...givenSecrets(cluster), ...mirrorSecrets(cluster.spec)].map(({ name }) => name),
  ]);
  names.delete(operatorAuthSecretName(cluster));
  const others = await Promise.all([...names].map(read));
  const found = [own, ...others].filter((secret) => secret !== undefined);
  return {
    facts: new Map(found.map((secret) => [secret.metadata.name, factsOf(secret, salt)])),
    contents: new Map(found.map((secret) => [secret.metadata.name, entriesOf(secret)])),
  };
}

/** Users that were declared once, and are not now. */
function removedUsers(cluster: StoreCluster, own: SecretFacts | undefined): readonly string[] {
  const applied: Applied = appliedOf(own);
  const declared = new Set((cluster.spec.auth?.users ?? []).map(({ name }) => name));
  return Object.keys(applied.users).filter((user) => !declared.has(user));
}
