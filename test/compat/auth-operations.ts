import { fromLatin1 } from '../../server/base/bytes.ts';
import type { PermissionType } from '../../server/proto/gen/auth.ts';
import { Auth } from '../../server/proto/gen/rpc.ts';
import type { Headers, Outcome } from '../support/grpc.ts';
import { type Operation, perform } from './operations.ts';
import type { StoreUnderTest } from './store-under-test.ts';

// Operations of users, as plain data. A token differs from store to store, so each has a slot, by which the operations
// name it; the slot of nobody is empty.

export type Slot = 'root' | 'u' | 'v' | 'nobody' | 'garbage';

export type AuthOperation =
  | {
      readonly kind: 'login';
      readonly user: string;
      readonly password: string;
      readonly slot: Slot;
    }
  | { readonly kind: 'as'; readonly slot: Slot; readonly operation: Operation | RuleOp };

/** What root does. */
export type RuleOp =
  | { readonly kind: 'enable' | 'disable' | 'status' | 'users' | 'roles' }
  | { readonly kind: 'addUser'; readonly user: string; readonly password?: string }
  | { readonly kind: 'deleteUser' | 'getUser'; readonly user: string }
  | { readonly kind: 'passwd'; readonly user: string; readonly password: string }
  | { readonly kind: 'grantRole' | 'revokeRole'; readonly user: string; readonly role: string }
  | { readonly kind: 'addRole' | 'deleteRole' | 'getRole'; readonly role: string }
  | {
      readonly kind: 'permit' | 'forbid';
      readonly role: string;
      readonly key: string;
      readonly rangeEnd?: string;
      readonly right?: number;
    };

const { methods } = Auth;

/** Every password that a sequence gives to root. */
const rootPasswords = ['p', 'q'];

/** One store and the tokens that it has given. */
export class Session {
  readonly #store: StoreUnderTest;
  readonly #base: number;
  readonly #authBase: number;
  readonly #tokens = new Map<Slot, string>([['garbage', 'garbage.1']]);

  /** Of a store without keys, leases, users and roles. */
  static async open(store: StoreUnderTest): Promise<Session> {
    await forgetUsers(store);
    const base = await store.clear();
    const status = await store.channel.call(methods.authStatus, {});
    if (status.kind === 'error') throw new Error(status.message);
    return new Session(store, { base, authBase: status.response.authRevision });
  }

  private constructor(store: StoreUnderTest, bases: { base: number; authBase: number }) {
    this.#store = store;
    this.#base = bases.base;
    this.#authBase = bases.authBase;
  }

  get base(): number {
    return this.#base;
  }

  async perform(step: AuthOperation): Promise<Outcome<unknown>> {
    if (step.kind === 'login') return this.#login(step);
    const { operation, slot } = step;
    const headers = this.#headersOf(slot);
    if (!isRule(operation)) return perform(this.#store.channel, operation, this.#base, headers);
    const outcome = await rule(this.#store, operation, headers);
    return outcome.kind === 'ok'
      ? { kind: 'ok', response: this.#since(outcome.response) }
      : outcome;
  }

  async #login({ user, password, slot }: Extract<AuthOperation, { kind: 'login' }>) {
    const request = { name: user, password };
    const outcome = await this.#store.channel.call(methods.authenticate, request);
    if (outcome.kind === 'error') return outcome;
    const { token, ...rest } = outcome.response;
    if (slot !== 'nobody' && slot !== 'garbage') this.#tokens.set(slot, token);
    const form = token.replace(/^[a-zA-Z]{16}\.\d+$/, '<token>');
    return { kind: 'ok' as const, response: { ...rest, token: form } };
  }

  #headersOf(slot: Slot): Headers {
    const token = this.#tokens.get(slot);
    if (slot === 'nobody') return {};
    return { token: token ?? 'none.0' };
  }

  #since(response: object): object {
    if (!('authRevision' in response)) return response;
    return { ...response, authRevision: Number(response.authRevision) - this.#authBase };
  }
}

const ruleKinds: ReadonlySet<string> = new Set<RuleOp['kind']>([
  'enable',
  'disable',
  'status',
  'users',
  'roles',
  'addUser',
  'deleteUser',
  'getUser',
  'passwd',
  'grantRole',
  'revokeRole',
  'addRole',
  'deleteRole',
  'getRole',
  'permit',
  'forbid',
]);

function isRule(operation: Operation | RuleOp): operation is RuleOp {
  return ruleKinds.has(operation.kind);
}

function rule(
  { channel }: StoreUnderTest,
  operation: RuleOp,
  headers: Headers,
): Promise<Outcome<object>> {
  switch (operation.kind) {
    case 'enable':
      return channel.call(methods.authEnable, {}, headers);
    case 'disable':
      return channel.call(methods.authDisable, {}, headers);
    case 'status':
      return channel.call(methods.authStatus, {}, headers);
    case 'users':
      return channel.call(methods.userList, {}, headers);
    case 'roles':
      return channel.call(methods.roleList, {}, headers);
    case 'addUser': {
      const { user: name, password } = operation;
      const options = { noPassword: password === undefined };
      return channel.call(methods.userAdd, { name, password: password ?? '', options }, headers);
    }
    case 'deleteUser':
      return channel.call(methods.userDelete, { name: operation.user }, headers);
    case 'getUser':
      return channel.call(methods.userGet, { name: operation.user }, headers);
    case 'passwd': {
      const { user: name, password } = operation;
      return channel.call(methods.userChangePassword, { name, password }, headers);
    }
    case 'grantRole':
      return channel.call(methods.userGrantRole, operation, headers);
    case 'revokeRole': {
      const { user: name, role } = operation;
      return channel.call(methods.userRevokeRole, { name, role }, headers);
    }
    case 'addRole':
      return channel.call(methods.roleAdd, { name: operation.role }, headers);
    case 'deleteRole':
      return channel.call(methods.roleDelete, { role: operation.role }, headers);
    case 'getRole':
      return channel.call(methods.roleGet, { role: operation.role }, headers);
    case 'permit': {
      const permType = (operation.right ?? 0) as PermissionType;
      const perm = { permType, ...rangeOf(operation) };
      return channel.call(methods.roleGrantPermission, { name: operation.role, perm }, headers);
    }
    case 'forbid':
      return channel.call(
        methods.roleRevokePermission,
        { role: operation.role, ...rangeOf(operation) },
        headers,
      );
  }
}

function rangeOf({ key, rangeEnd }: { readonly key: string; readonly rangeEnd?: string }) {
  return { key: fromLatin1(key), rangeEnd: fromLatin1(rangeEnd ?? '') };
}

/** Authentication off, and nobody there any more. */
async function forgetUsers({ channel }: StoreUnderTest): Promise<void> {
  for (const password of rootPasswords) {
    const login = await channel.call(methods.authenticate, { name: 'root', password });
    if (login.kind === 'error') continue;
    await channel.call(methods.authDisable, {}, { token: login.response.token });
  }
  const users = await channel.call(methods.userList, {});
  if (users.kind === 'error') throw new Error(`root is locked out: ${users.message}`);
  for (const name of users.response.users) await channel.call(methods.userDelete, { name });
  const roles = await channel.call(methods.roleList, {});
  if (roles.kind === 'error') throw new Error(roles.message);
  for (const role of roles.response.roles) await channel.call(methods.roleDelete, { role });
}
