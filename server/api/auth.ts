import { Buffer } from 'node:buffer';
import type { Caller } from '../auth/access.ts';
import { passwordBytesMax } from '../auth/passwords.ts';
import { TokenError } from '../auth/tokens.ts';
import { EtcdError } from '../base/errors.ts';
import { passwordAttemptsMax } from '../config/limits.ts';
import type { InternalRequestRequest } from '../proto/gen/internal.ts';
import {
  Auth,
  type AuthenticateRequest,
  type AuthenticateResponse,
  type AuthRoleGetRequest,
  type AuthRoleGetResponse,
  type AuthRoleListResponse,
  type AuthStatusResponse,
  type AuthUserAddRequest,
  type AuthUserAddResponse,
  type AuthUserChangePasswordRequest,
  type AuthUserChangePasswordResponse,
  type AuthUserGetRequest,
  type AuthUserGetResponse,
  type AuthUserListResponse,
  type ResponseHeader,
} from '../proto/gen/rpc.ts';
import type { Method } from '../proto/wire.ts';
import type { Authenticator } from './authenticator.ts';
import type { Call } from './call.ts';
import { StatusError } from './errors.ts';
import type { Gate } from './gate.ts';
import { answered, header } from './header.ts';
import type { MemberPort } from './member-port.ts';

interface Modules {
  readonly port: MemberPort;
  readonly gate: Gate;
  readonly authenticator: Authenticator;
}

export function authCalls(modules: Modules): Call[] {
  return [...stateCalls(modules), ...changeCalls(modules)];
}

/** What is answered from the state, once it is up to date; etcd sends these through raft. */
function stateCalls({ port, gate }: Modules): Call[] {
  const { methods } = Auth;
  const first = (): Promise<void> => port.linearizableRead();
  return [
    gate.unary(methods.authStatus, 'observes', async () => authStatus(port), { first }),
    gate.unary(methods.userGet, 'observes', async (request) => userGet(port, request), { first }),
    gate.unary(methods.userList, 'observes', async () => userList(port), { first }),
    gate.unary(methods.roleGet, 'observes', async (request) => roleGet(port, request), { first }),
    gate.unary(methods.roleList, 'observes', async () => roleList(port), { first }),
  ];
}

function changeCalls(modules: Modules): Call[] {
  const { port, gate } = modules;
  const { methods } = Auth;
  const kinds = [
    [methods.authEnable, 'authEnable'],
    [methods.authDisable, 'authDisable'],
    [methods.userDelete, 'authUserDelete'],
    [methods.userGrantRole, 'authUserGrantRole'],
    [methods.userRevokeRole, 'authUserRevokeRole'],
    [methods.roleAdd, 'authRoleAdd'],
    [methods.roleDelete, 'authRoleDelete'],
    [methods.roleGrantPermission, 'authRoleGrantPermission'],
    [methods.roleRevokePermission, 'authRoleRevokePermission'],
  ] as const;
  const changes = kinds.map(([method, kind]) =>
    // Each kind of request is that of its method; the pairs above are too many types for the compiler to see it.
    gate.unary(method as Method<object, Headed>, 'refuses', (value, _, caller) =>
      propose<Headed>(port, { kind, value } as InternalRequestRequest, caller),
    ),
  );
  // Whether the caller may is asked before the work of hashing: of a state that is up to date.
  const first = (): Promise<void> | undefined =>
    port.auth.isEnabled ? port.linearizableRead() : undefined;
  return [
    ...changes,
    // An observer gives tokens too: its reads need them.
    gate.unary(methods.authenticate, 'observes', (request) => authenticate(modules, request), {
      first: () => port.linearizableRead(),
    }),
    gate.unary(
      methods.userAdd,
      'refuses',
      (request, _, caller) => userAdd(modules, request, caller),
      { first },
    ),
    gate.unary(
      methods.userChangePassword,
      'refuses',
      (request, _, caller) => userChangePassword(modules, request, caller),
      { first },
    ),
  ];
}

interface Headed {
  header: ResponseHeader | undefined;
}

async function propose<Response extends Headed>(
  port: MemberPort,
  request: InternalRequestRequest,
  caller?: Caller,
): Promise<Response> {
  return answered<Response>(port, await port.propose(request, caller));
}

function authStatus(port: MemberPort): AuthStatusResponse {
  const { isEnabled, revision } = port.auth;
  return { header: currentHeader(port), enabled: isEnabled, authRevision: revision };
}

function userGet(port: MemberPort, { name }: AuthUserGetRequest): AuthUserGetResponse {
  const user = port.auth.user(name);
  if (user === undefined) throw new EtcdError('UserNotFound');
  return { header: currentHeader(port), roles: user.roles };
}

function userList(port: MemberPort): AuthUserListResponse {
  return { header: currentHeader(port), users: port.auth.userNames() };
}

function roleGet(port: MemberPort, { role: name }: AuthRoleGetRequest): AuthRoleGetResponse {
  const role = port.auth.role(name);
  if (role === undefined) throw new EtcdError('RoleNotFound');
  return { header: currentHeader(port), perm: role.keyPermission };
}

function roleList(port: MemberPort): AuthRoleListResponse {
  return { header: currentHeader(port), roles: port.auth.roleNames() };
}

function currentHeader(port: MemberPort): ResponseHeader {
  return header(port, port.revision());
}

/**
 * The password is checked here, not where the entry is applied: it stands in no entry. When users or roles have changed
 * between the two, the token is thrown away and the password is checked again.
 */
async function authenticate(
  { port, authenticator }: Modules,
  { name, password }: AuthenticateRequest,
): Promise<AuthenticateResponse> {
  const { tokens } = authenticator;
  for (let attempt = 0; attempt < passwordAttemptsMax; attempt++) {
    const checkedRevision = await authenticator.checkPassword(name, password);
    const value = { name, simpleToken: tokens.newPrefix() };
    const response = await propose<AuthenticateResponse>(port, { kind: 'authenticate', value });
    if (checkedRevision !== port.auth.revision) continue;
    const caller = { username: name, authRevision: checkedRevision };
    return { ...response, token: issued(() => tokens.issue(caller, response.token)) };
  }
  throw new EtcdError('AuthOldRevision');
}

function issued(issue: () => string): string {
  try {
    return issue();
  } catch (error) {
    if (error instanceof TokenError) throw new StatusError('UNKNOWN', `auth: ${error.message}`);
    throw error;
  }
}

/** A hash that the client sends is not looked at, and a password that the user shall not have goes nowhere. */
async function userAdd(
  { port, authenticator }: Modules,
  request: AuthUserAddRequest,
  caller: Caller,
): Promise<AuthUserAddResponse> {
  const isWithout = request.options?.noPassword === true;
  const hashedPassword = isWithout ? '' : await hashed(authenticator, request.password);
  const value = { ...request, password: '', hashedPassword };
  return propose(port, { kind: 'authUserAdd', value }, caller);
}

/** Without a password the client's own hash is taken. */
async function userChangePassword(
  { port, authenticator }: Modules,
  request: AuthUserChangePasswordRequest,
  caller: Caller,
): Promise<AuthUserChangePasswordResponse> {
  const hashedPassword =
    request.password === ''
      ? request.hashedPassword
      : await hashed(authenticator, request.password);
  const value = { ...request, password: '', hashedPassword };
  return propose(port, { kind: 'authUserChangePassword', value }, caller);
}

/** As it is stored, in base64. */
async function hashed({ passwords }: Authenticator, password: string): Promise<string> {
  if (Buffer.byteLength(password) > passwordBytesMax) {
    throw new StatusError('UNKNOWN', 'bcrypt: password length exceeds 72 bytes');
  }
  return Buffer.from(await passwords.hash(password)).toString('base64');
}
