import { fromLatin1 } from '../../server/base/bytes.ts';
import type { Access, AuthAdmin } from '../../server/client/auth-admin.ts';
import type { AuthChange, Permission } from './store-admin.ts';

const accessNames = { Read: 'read', Write: 'write', ReadWrite: 'readwrite' } as const;

/** One call of the etcd API. */
export function changeAuth(
  auth: AuthAdmin,
  change: AuthChange,
  password: string | undefined,
): Promise<void> {
  switch (change.kind) {
    case 'addUser':
      return auth.userAdd(change.user, needed(password));
    case 'setPassword':
      return auth.userChangePassword({ name: change.user, password: needed(password) });
    case 'deleteUser':
      return auth.userDelete(change.user);
    case 'grantRole':
      return auth.userGrantRole(change);
    case 'revokeRole':
      return auth.userRevokeRole(change);
    case 'addRole':
      return auth.roleAdd(change.role);
    case 'deleteRole':
      return auth.roleDelete(change.role);
    case 'grantPermission':
      return auth.roleGrantPermission(change.role, grantOf(change.permission));
    case 'revokePermission':
      return auth.roleRevokePermission(change.role, grantOf(change.permission).keys);
    case 'enable':
      return auth.enable();
    case 'disable':
      return auth.disable();
  }
}

function grantOf({ access, key, rangeEnd }: Permission) {
  const keys = { key: fromLatin1(key), rangeEnd: fromLatin1(rangeEnd) };
  const name: Access = accessNames[access];
  return { access: name, keys };
}

function needed(password: string | undefined): string {
  if (password === undefined) throw new Error('a change of password without one');
  return password;
}
