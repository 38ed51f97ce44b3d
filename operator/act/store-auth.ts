// [io] Changes of users and roles, and the record of what the operator has done there.
import type { Secret } from '../api/objects.ts';
import type { StoreCluster } from '../api/types.ts';
import type { KubeClient } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import type { AuthChange, StoreAdmin } from '../observe/store-admin.ts';
import { type Applied, parseApplied } from '../resources/applied.ts';
import { operatorUser } from '../resources/certificates.ts';
import { connectionSecretName, operatorAuthSecretName } from '../resources/names.ts';
import { digestOf, entriesOf, passwordOf } from '../resources/secret-facts.ts';
import { passwordKey } from '../resources/secrets.ts';
import { pathTo, performOnSecret, readOwn, type SecretTask } from './secrets.ts';

/** The change, then its record: where the record fails, the change is made once more, which does no harm. */
export async function performAuth(
  { kube, store }: { readonly kube: KubeClient; readonly store: StoreAdmin },
  task: SecretTask & { readonly endpoints: readonly string[] },
  change: AuthChange,
): Promise<void> {
  const { cluster, endpoints } = task;
  const own = await readOwn(kube, cluster, operatorAuthSecretName(cluster));
  const password = await passwordFor(kube, cluster, change);
  const text = password && passwordOf(password);
  await (text === undefined
    ? store.changeAuth(endpoints, change)
    : store.changeAuth(endpoints, change, text));
  const entries = entriesOf(own);
  const before = parseApplied(entries.get('applied')?.toString());
  const salt = entries.get('salt') ?? Buffer.alloc(0);
  const digest = password === undefined ? '' : digestOf(salt, password);
  const applied = recorded(before, change, digest);
  if (applied === before) return;
  await performOnSecret(kube, task, { kind: 'recordApplied', applied, seen: own.metadata });
}

async function passwordFor(
  kube: KubeClient,
  cluster: StoreCluster,
  change: AuthChange,
): Promise<Buffer | undefined> {
  if (change.kind !== 'addUser' && change.kind !== 'setPassword') return undefined;
  const { name, key } = placeOf(cluster, change.user);
  const secret = await kube.get<Secret>(pathTo(cluster, name));
  const password = secret && entriesOf(secret).get(key);
  if (password !== undefined) return password;
  throw new KubeError(409, 'Conflict', `the Secret ${name} has no ${key} any more`);
}

/** Where a user's password is kept. */
function placeOf(cluster: StoreCluster, user: string): { name: string; key: string } {
  if (user === operatorUser) return { name: operatorAuthSecretName(cluster), key: 'password' };
  const root = cluster.spec.auth?.rootPassword;
  if (user === 'root' && root !== undefined) return { name: root.name, key: passwordKey(root) };
  return { name: connectionSecretName(cluster, user), key: 'password' };
}

/** The same object when there is nothing to write down. */
function recorded(before: Applied, change: AuthChange, digest: string): Applied {
  switch (change.kind) {
    case 'addUser':
    case 'setPassword':
      if (change.user === operatorUser) return before;
      return { ...before, users: { ...before.users, [change.user]: digest } };
    case 'deleteUser': {
      if (before.users[change.user] === undefined) return before;
      const { [change.user]: _gone, ...users } = before.users;
      return { ...before, users };
    }
    case 'addRole':
      return { ...before, roles: [...new Set([...before.roles, change.role])] };
    case 'deleteRole':
      return { ...before, roles: before.roles.filter((role) => role !== change.role) };
    default:
      return before;
  }
}
