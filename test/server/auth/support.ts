import { AuthStore } from '../../../server/auth/auth-store.ts';
import type { Backend } from '../../../server/backend/backend.ts';
import { fromLatin1, latin1 } from '../../../server/base/bytes.ts';
import { Permission, PermissionType } from '../../../server/proto/gen/auth.ts';

/** A backend that is a map. */
export class Records implements Pick<Backend, 'put' | 'delete'> {
  readonly byKey = new Map<string, Uint8Array>();

  put(key: Uint8Array, value: Uint8Array): void {
    this.byKey.set(latin1(key), value);
  }

  delete(key: Uint8Array): void {
    this.byKey.delete(latin1(key));
  }

  /** What a store that is opened on these records holds. */
  reopen(): AuthStore {
    const store = new AuthStore({ backend: this });
    store.restoreBegin();
    const sorted = [...this.byKey].toSorted(([a], [b]) => (a < b ? -1 : 1));
    for (const [key, value] of sorted) {
      if (store.prefixes.some((prefix) => prefix === key.charCodeAt(0))) {
        store.restoreRecord(fromLatin1(key), value);
      }
    }
    store.restoreEnd();
    return store;
  }
}

export type Right = keyof typeof PermissionType;

export function permission(right: Right, key: string, rangeEnd = ''): Permission {
  return Permission.create({
    permType: PermissionType[right],
    key: fromLatin1(key),
    rangeEnd: fromLatin1(rangeEnd),
  });
}

/** `hash` in base64, as a password stands in a request. */
export const hashed = Buffer.from('hash').toString('base64');

/** Adds a user with a role of its own, which has the permissions. */
export function addUser(store: AuthStore, name: string, ...perms: readonly Permission[]): void {
  store.addUser({ name, password: '', hashedPassword: hashed, options: undefined });
  store.addRole(`of ${name}`);
  store.grantRole(name, `of ${name}`);
  for (const perm of perms) store.grantPermission({ name: `of ${name}`, perm });
}

/** Root, with its role, and authentication on. */
export function enable(store: AuthStore): void {
  store.addUser({ name: 'root', password: '', hashedPassword: hashed, options: undefined });
  store.grantRole('root', 'root');
  store.enable();
}
