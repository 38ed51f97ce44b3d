import { PermissionType } from '../proto/gen/auth.ts';
import { Auth, type AuthRoleGetResponse, type AuthStatusResponse } from '../proto/gen/rpc.ts';
import type { Method } from '../proto/wire.ts';
import { type CallOptions, type Calls, read, write } from './calls.ts';
import { type Bytes, type Keys, keysOf } from './keys.ts';

export type Access = 'read' | 'write' | 'readwrite';

const permTypes: Readonly<Record<Access, PermissionType>> = {
  read: PermissionType.READ,
  write: PermissionType.WRITE,
  readwrite: PermissionType.READWRITE,
};

export interface UserAddOptions extends CallOptions {
  /** A user who is known by the common name of a certificate only. */
  readonly noPassword?: boolean | undefined;
}

/** Users, roles and what they may do. While authentication is on, the root role is needed. */
export class AuthAdmin {
  readonly #calls: Calls;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  /** Needs a user `root` that has the role `root`. */
  async enable(options: CallOptions = {}): Promise<void> {
    await this.#write(Auth.methods.authEnable, {}, options);
  }

  async disable(options: CallOptions = {}): Promise<void> {
    await this.#write(Auth.methods.authDisable, {}, options);
  }

  status(options: CallOptions = {}): Promise<AuthStatusResponse> {
    return this.#calls.unary(Auth.methods.authStatus, {}, read, options);
  }

  async userAdd(name: string, password: string, options: UserAddOptions = {}): Promise<void> {
    const { noPassword = false } = options;
    const request = { name, password, options: { noPassword }, hashedPassword: '' };
    await this.#write(Auth.methods.userAdd, request, options);
  }

  /** The roles of the user. */
  async userGet(name: string, options: CallOptions = {}): Promise<string[]> {
    return (await this.#calls.unary(Auth.methods.userGet, { name }, read, options)).roles;
  }

  async userList(options: CallOptions = {}): Promise<string[]> {
    return (await this.#calls.unary(Auth.methods.userList, {}, read, options)).users;
  }

  async userDelete(name: string, options: CallOptions = {}): Promise<void> {
    await this.#write(Auth.methods.userDelete, { name }, options);
  }

  async userChangePassword(
    user: { name: string; password: string },
    options: CallOptions = {},
  ): Promise<void> {
    const request = { ...user, hashedPassword: '' };
    await this.#write(Auth.methods.userChangePassword, request, options);
  }

  async userGrantRole(
    grant: { user: string; role: string },
    options: CallOptions = {},
  ): Promise<void> {
    await this.#write(Auth.methods.userGrantRole, grant, options);
  }

  async userRevokeRole(
    { user, role }: { user: string; role: string },
    options: CallOptions = {},
  ): Promise<void> {
    await this.#write(Auth.methods.userRevokeRole, { name: user, role }, options);
  }

  async roleAdd(name: string, options: CallOptions = {}): Promise<void> {
    await this.#write(Auth.methods.roleAdd, { name }, options);
  }

  roleGet(role: string, options: CallOptions = {}): Promise<AuthRoleGetResponse> {
    return this.#calls.unary(Auth.methods.roleGet, { role }, read, options);
  }

  async roleList(options: CallOptions = {}): Promise<string[]> {
    return (await this.#calls.unary(Auth.methods.roleList, {}, read, options)).roles;
  }

  async roleDelete(role: string, options: CallOptions = {}): Promise<void> {
    await this.#write(Auth.methods.roleDelete, { role }, options);
  }

  async roleGrantPermission(
    role: string,
    { access, keys }: { access: Access; keys: Bytes | Keys },
    options: CallOptions = {},
  ): Promise<void> {
    const perm = { permType: permTypes[access], ...keysOf(keys) };
    await this.#write(Auth.methods.roleGrantPermission, { name: role, perm }, options);
  }

  async roleRevokePermission(
    role: string,
    keys: Bytes | Keys,
    options: CallOptions = {},
  ): Promise<void> {
    await this.#write(Auth.methods.roleRevokePermission, { role, ...keysOf(keys) }, options);
  }

  async #write<Request>(
    method: Method<Request, unknown>,
    request: Request,
    options: CallOptions,
  ): Promise<void> {
    await this.#calls.unary(method, request, write, options);
  }
}
