import type { Access, Caller } from '../auth/access.ts';
import type { AuthStore } from '../auth/auth-store.ts';
import type { LogIndex } from '../base/ids.ts';
import type { InternalRequestRequest } from '../proto/gen/internal.ts';
import type { ResponseHeader } from '../proto/gen/rpc.ts';

/** Requests that change users, roles and permissions, and the one that makes a token. */
export type AuthRequest = Extract<InternalRequestRequest, { kind: `auth${string}` }>;

export function isAuthRequest(request: InternalRequestRequest): request is AuthRequest {
  return request.kind.startsWith('auth');
}

/** What only root may have applied. Throws UserEmpty, UserNotFound, PermissionDenied. */
export function checkRoot(access: Access, caller: Caller, request: InternalRequestRequest): void {
  if (isAuthRequest(request) && request.kind !== 'authenticate') access.root(caller);
}

/**
 * Whether who proposed the request may have it applied now, whatever was so when it was proposed. What a member proposes
 * on its own account is not asked for: those kinds are not here, and a lease that has expired tells the leader's term.
 */
export function checkKeys(access: Access, caller: Caller, request: InternalRequestRequest): void {
  switch (request.kind) {
    case 'put':
      return access.put(caller, request.value);
    case 'deleteRange':
      return access.deleteRange(caller, request.value);
    case 'txn':
      return access.txn(caller, request.value);
    case 'leaseRevoke':
      if (request.value.term === 0) access.leaseWrite(caller, request.value.id);
      return;
    default:
  }
}

/** Throws what {@link AuthStore} throws. */
export function applyAuth(
  auth: AuthStore,
  request: AuthRequest,
  entry: { readonly index: LogIndex; readonly header: ResponseHeader },
): object {
  const { header } = entry;
  switch (request.kind) {
    case 'authEnable':
      auth.enable();
      return { header };
    case 'authDisable':
      auth.disable();
      return { header };
    case 'authenticate': {
      const { name, simpleToken } = request.value;
      return { header, token: auth.authenticate(name, simpleToken, entry.index) };
    }
    case 'authUserAdd':
      auth.addUser(request.value);
      return { header };
    case 'authUserDelete':
      auth.deleteUser(request.value.name);
      return { header };
    case 'authUserChangePassword':
      auth.changePassword(request.value);
      return { header };
    case 'authUserGrantRole':
      auth.grantRole(request.value.user, request.value.role);
      return { header };
    case 'authUserRevokeRole':
      auth.revokeRole(request.value.name, request.value.role);
      return { header };
    case 'authRoleAdd':
      auth.addRole(request.value.name);
      return { header };
    case 'authRoleDelete':
      auth.deleteRole(request.value.role);
      return { header };
    case 'authRoleGrantPermission':
      auth.grantPermission(request.value);
      return { header };
    case 'authRoleRevokePermission':
      auth.revokePermission(request.value);
      return { header };
  }
}
