import { latin1 } from '../../server/base/bytes.ts';
import { keysBetween, keysUnder, oneKey } from '../../server/client/keys.ts';
import type { StoreClusterSpec } from '../api/types.ts';
import type { Permission } from '../observe/store-admin.ts';

type Role = NonNullable<NonNullable<StoreClusterSpec['auth']>['roles']>[number];
type Declared = NonNullable<Role['permissions']>[number];

/** What a role is to have, as the store keeps it: one permission for each range of keys. */
export function permissionsOf({ permissions = [] }: Role): readonly Permission[] {
  const byRange = new Map<string, Permission>();
  for (const permission of permissions.map(permissionOf)) {
    const before = byRange.get(rangeOf(permission));
    const isMore = before !== undefined && before.access !== permission.access;
    const access = isMore ? 'ReadWrite' : permission.access;
    byRange.set(rangeOf(permission), { ...permission, access });
  }
  return [...byRange.values()];
}

/** Tells one range of keys from another. */
export function rangeOf({ key, rangeEnd }: Permission): string {
  return JSON.stringify([key, rangeEnd]);
}

function permissionOf({ access, key, rangeEnd, prefix }: Declared): Permission {
  const keys =
    key === undefined
      ? keysUnder(prefix ?? '')
      : rangeEnd === undefined
        ? oneKey(key)
        : keysBetween(key, rangeEnd);
  return { access, key: latin1(keys.key), rangeEnd: latin1(keys.rangeEnd) };
}
