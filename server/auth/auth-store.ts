import { Buffer } from 'node:buffer';
import type { Backend } from '../backend/backend.ts';
import { StateDamagedError } from '../backend/damage.ts';
import type { StatePart } from '../backend/restore.ts';
import { bucketKey, prefix } from '../backend/schema.ts';
import { asBuffer, compareBytes, copyBytes, equalBytes, latin1 } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import type { LogIndex } from '../base/ids.ts';
import { keyRange } from '../mvcc/key-range.ts';
import { type Permission, PermissionType, Role, User } from '../proto/gen/auth.ts';
import type {
  AuthRoleGrantPermissionRequest,
  AuthRoleRevokePermissionRequest,
  AuthUserAddRequest,
  AuthUserChangePasswordRequest,
} from '../proto/gen/rpc.ts';
import { KeyCoverage } from './key-coverage.ts';

/** The user that has to be there before authentication is enabled, and the role that it has to have. */
export const rootName = 'root';

/** What a user's roles allow, merged. */
export interface Coverage {
  readonly read: KeyCoverage;
  readonly write: KeyCoverage;
}

/** Who keeps the tokens of a member: told of what makes one, and of what makes some worthless. */
export interface AuthObserver {
  authenticated(username: string, token: string): void;
  /** The user is gone or has another password. */
  userChanged(username: string): void;
  /** Authentication was disabled, or the whole state was replaced. */
  reset(): void;
}

const enabledKey = bucketKey(prefix.auth, 'authEnabled');
const revisionKey = bucketKey(prefix.auth, 'authRevision');

interface State {
  readonly users: Map<string, User>;
  readonly roles: Map<string, Role>;
  isEnabled: boolean;
  /** Of users, roles and permissions: every change counts, as in etcd. It starts at 1. */
  revision: number;
}

/**
 * Users, roles, permissions and whether they count: replicated state. Its rules, their order and what bumps the revision
 * are etcd's (server/auth/store.go).
 */
export class AuthStore implements StatePart {
  readonly prefixes = [prefix.user, prefix.role, prefix.auth];
  readonly #backend: Pick<Backend, 'put' | 'delete'>;
  #state = emptyState();
  #restoring = emptyState();
  /** By user, made when first asked for, thrown away with every change. */
  #coverages = new Map<string, Coverage>();
  #observer: AuthObserver | undefined;

  constructor(modules: { readonly backend: Pick<Backend, 'put' | 'delete'> }) {
    this.#backend = modules.backend;
  }

  /** There is one; it sees what is applied from now on. */
  observe(observer: AuthObserver): void {
    this.#observer = observer;
  }

  get isEnabled(): boolean {
    return this.#state.isEnabled;
  }

  get revision(): number {
    return this.#state.revision;
  }

  user(name: string): User | undefined {
    return this.#state.users.get(name);
  }

  role(name: string): Role | undefined {
    return this.#state.roles.get(name);
  }

  /** Bytewise. */
  userNames(): string[] {
    return sortedNames(this.#state.users.keys());
  }

  /** Bytewise. */
  roleNames(): string[] {
    return sortedNames(this.#state.roles.keys());
  }

  /** Nothing for a user that is not there. */
  coverageOf(username: string): Coverage {
    let coverage = this.#coverages.get(username);
    if (coverage === undefined) {
      coverage = this.#makeCoverage(this.user(username)?.roles ?? []);
      if (this.user(username) !== undefined) this.#coverages.set(username, coverage);
    }
    return coverage;
  }

  #makeCoverage(roleNames: readonly string[]): Coverage {
    const permissions = roleNames.flatMap((name) => this.role(name)?.keyPermission ?? []);
    const rangesOf = (type: PermissionType): KeyCoverage =>
      new KeyCoverage(
        permissions
          .filter(({ permType }) => permType === type || permType === PermissionType.READWRITE)
          .map(({ key, rangeEnd }) => keyRange(key, rangeEnd)),
      );
    return { read: rangesOf(PermissionType.READ), write: rangesOf(PermissionType.WRITE) };
  }

  // --- on and off ------------------------------------------------------------------------------

  /** Throws RootUserNotExist, RootRoleNotExist. */
  enable(): void {
    if (this.#state.isEnabled) return;
    const root = this.user(rootName);
    if (root === undefined) throw new EtcdError('RootUserNotExist');
    if (!isRoot(root)) throw new EtcdError('RootRoleNotExist');
    this.#setEnabled(true);
  }

  disable(): void {
    if (!this.#state.isEnabled) return;
    this.#setEnabled(false);
    this.#changed();
    this.#observer?.reset();
  }

  #setEnabled(isEnabled: boolean): void {
    this.#state.isEnabled = isEnabled;
    this.#backend.put(enabledKey, Uint8Array.of(isEnabled ? 1 : 0));
  }

  /**
   * The member that proposed has checked the password, and that nothing has changed since. Returns the token, which is
   * good on every member: `prefix` made unique by the entry's index. Without a prefix there is none.
   * Throws AuthNotEnabled, AuthFailed.
   */
  authenticate(name: string, tokenPrefix: string, index: LogIndex): string {
    if (!this.#state.isEnabled) throw new EtcdError('AuthNotEnabled');
    const user = this.user(name);
    if (user === undefined || isWithoutPassword(user)) throw new EtcdError('AuthFailed');
    if (tokenPrefix === '') return '';
    const token = `${tokenPrefix}.${index}`;
    this.#observer?.authenticated(name, token);
    return token;
  }

  // --- users -----------------------------------------------------------------------------------

  /** Throws UserEmpty, UserAlreadyExist, NoPasswordUser (the hash is not base64). */
  addUser({ name, options, hashedPassword }: AuthUserAddRequest): void {
    if (name === '') throw new EtcdError('UserEmpty');
    if (this.user(name) !== undefined) throw new EtcdError('UserAlreadyExist');
    const noPassword = options?.noPassword ?? false;
    const password = noPassword ? new Uint8Array(0) : passwordOf(hashedPassword);
    this.#putUser(
      User.create({ name: Buffer.from(name), password, options: { noPassword }, roles: [] }),
    );
    this.#changed();
  }

  /** Throws InvalidAuthMgmt, UserNotFound. */
  deleteUser(name: string): void {
    if (this.#state.isEnabled && name === rootName) throw new EtcdError('InvalidAuthMgmt');
    this.#existingUser(name);
    this.#state.users.delete(name);
    this.#backend.delete(bucketKey(prefix.user, name));
    this.#changed();
    this.#observer?.userChanged(name);
  }

  /** Throws UserNotFound, NoPasswordUser (the hash is not base64). A user without password stays so. */
  changePassword({ name, hashedPassword }: AuthUserChangePasswordRequest): void {
    const user = this.#existingUser(name);
    const password = isWithoutPassword(user) ? new Uint8Array(0) : passwordOf(hashedPassword);
    this.#putUser({ ...user, password });
    this.#changed();
    this.#observer?.userChanged(name);
  }

  /** Throws UserNotFound, RoleNotFound. The role root need not exist. */
  grantRole(name: string, role: string): void {
    const user = this.#existingUser(name);
    if (role !== rootName) this.#existingRole(role);
    if (user.roles.includes(role)) return;
    this.#putUser({ ...user, roles: sortedNames([...user.roles, role]) });
    this.#changed();
  }

  /** Throws InvalidAuthMgmt, UserNotFound, RoleNotGranted. */
  revokeRole(name: string, role: string): void {
    const isRootsOwn = name === rootName && role === rootName;
    if (this.#state.isEnabled && isRootsOwn) throw new EtcdError('InvalidAuthMgmt');
    const user = this.#existingUser(name);
    if (!user.roles.includes(role)) throw new EtcdError('RoleNotGranted');
    this.#putUser({ ...user, roles: user.roles.filter((each) => each !== role) });
    this.#changed();
  }

  // --- roles -----------------------------------------------------------------------------------

  /** Throws RoleEmpty, RoleAlreadyExist. */
  addRole(name: string): void {
    if (name === '') throw new EtcdError('RoleEmpty');
    if (this.role(name) !== undefined) throw new EtcdError('RoleAlreadyExist');
    this.#putRole(Role.create({ name: Buffer.from(name) }));
    this.#changed();
  }

  /** Takes it from every user that has it. Throws InvalidAuthMgmt, RoleNotFound. */
  deleteRole(name: string): void {
    if (this.#state.isEnabled && name === rootName) throw new EtcdError('InvalidAuthMgmt');
    this.#existingRole(name);
    this.#state.roles.delete(name);
    this.#backend.delete(bucketKey(prefix.role, name));
    for (const user of this.#state.users.values()) {
      if (!user.roles.includes(name)) continue;
      this.#putUser({ ...user, roles: user.roles.filter((each) => each !== name) });
    }
    this.#changed();
  }

  /** Throws PermissionNotGiven, InvalidAuthMgmt (the range holds no key), RoleNotFound. */
  grantPermission({ name, perm }: AuthRoleGrantPermissionRequest): void {
    if (perm === undefined) throw new EtcdError('PermissionNotGiven');
    if (!isGrantable(perm)) throw new EtcdError('InvalidAuthMgmt');
    const role = this.#existingRole(name);
    this.#putRole({ ...role, keyPermission: withPermission(role.keyPermission, perm) });
    this.#changed();
  }

  /** Exactly what was granted. Throws RoleNotFound, PermissionNotGranted. */
  revokePermission({ role: name, key, rangeEnd }: AuthRoleRevokePermissionRequest): void {
    const role = this.#existingRole(name);
    const keyPermission = role.keyPermission.filter((each) => !isOf(each, { key, rangeEnd }));
    if (keyPermission.length === role.keyPermission.length) {
      throw new EtcdError('PermissionNotGranted');
    }
    this.#putRole({ ...role, keyPermission });
    this.#changed();
  }

  // ---------------------------------------------------------------------------------------------

  #existingUser(name: string): User {
    const user = this.user(name);
    if (user === undefined) throw new EtcdError('UserNotFound');
    return user;
  }

  #existingRole(name: string): Role {
    const role = this.role(name);
    if (role === undefined) throw new EtcdError('RoleNotFound');
    return role;
  }

  #putUser(user: User): void {
    const name = nameOf(user);
    this.#state.users.set(name, user);
    this.#backend.put(bucketKey(prefix.user, name), User.encode(user));
  }

  #putRole(role: Role): void {
    const name = nameOf(role);
    this.#state.roles.set(name, role);
    this.#backend.put(bucketKey(prefix.role, name), Role.encode(role));
  }

  #changed(): void {
    this.#state.revision += 1;
    this.#coverages.clear();
    this.#backend.put(revisionKey, encodeRevision(this.#state.revision));
  }

  restoreBegin(): void {
    this.#restoring = emptyState();
  }

  restoreRecord(key: Uint8Array, value: Uint8Array): void {
    const restoring = this.#restoring;
    switch (key[0]) {
      case prefix.user: {
        const user = User.decode(value);
        restoring.users.set(nameOf(user), user);
        return;
      }
      case prefix.role: {
        const role = Role.decode(value);
        restoring.roles.set(nameOf(role), role);
        return;
      }
      default:
        if (equalBytes(key, enabledKey)) restoring.isEnabled = value[0] === 1;
        else if (equalBytes(key, revisionKey)) restoring.revision = decodeRevision(value);
        else throw new StateDamagedError(`a record of authentication named ${latin1(key)}`);
    }
  }

  /** The tokens given by entries that came as part of a whole state are not known: all have to be asked for again. */
  restoreEnd(): void {
    this.#state = this.#restoring;
    this.#restoring = emptyState();
    this.#coverages.clear();
    this.#observer?.reset();
  }
}

function emptyState(): State {
  return { users: new Map(), roles: new Map(), isEnabled: false, revision: 1 };
}

/** Whether a user may do everything. */
export function isRoot(user: User): boolean {
  return user.roles.includes(rootName);
}

export function isWithoutPassword(user: User): boolean {
  return user.options?.noPassword === true;
}

function nameOf({ name }: User | Role): string {
  return asBuffer(name).toString('utf8');
}

function sortedNames(names: Iterable<string>): string[] {
  const sorted = [...names];
  // Code units sort as the bytes of UTF-8 do, and far faster, but for surrogates.
  if (!sorted.some((name) => /[\ud800-\uffff]/.test(name))) return sorted.sort();
  return sorted.sort((a, b) => compareBytes(Buffer.from(a), Buffer.from(b)));
}

/** As Go's decoder of base64, which skips line ends. */
function passwordOf(hashedPassword: string): Uint8Array {
  const text = hashedPassword.replace(/[\r\n]/g, '');
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
    throw new EtcdError('NoPasswordUser');
  }
  return Buffer.from(text, 'base64');
}

function isGrantable({ key, rangeEnd }: Permission): boolean {
  if (key.length === 0) return false;
  const isOpenEnded = rangeEnd.length === 1 && rangeEnd[0] === 0;
  return rangeEnd.length === 0 || isOpenEnded || compareBytes(key, rangeEnd) < 0;
}

/** By key. Like etcd, this looks only at the first permission of the key when it looks for one to replace. */
function withPermission(former: readonly Permission[], { permType, key, rangeEnd }: Permission) {
  const at = former.findIndex((each) => compareBytes(each.key, key) >= 0);
  const first = former[at];
  if (first !== undefined && isOf(first, { key, rangeEnd })) {
    return former.with(at, { ...first, permType });
  }
  // The bytes of a request are views into all of it.
  const added = { permType, key: copyBytes(key), rangeEnd: copyBytes(rangeEnd) };
  return [...former, added].sort((a, b) => compareBytes(a.key, b.key));
}

function isOf(permission: Permission, range: Pick<Permission, 'key' | 'rangeEnd'>): boolean {
  return equalBytes(permission.key, range.key) && equalBytes(permission.rangeEnd, range.rangeEnd);
}

function encodeRevision(revision: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(revision));
  return bytes;
}

function decodeRevision(value: Uint8Array): number {
  if (value.length !== 8)
    throw new StateDamagedError('the revision of authentication is no number');
  return Number(asBuffer(value).readBigUInt64BE());
}
