import type {
  AuthChange,
  AuthQuestion,
  Permission,
  StoreAuth,
} from '../../../operator/observe/store-admin.ts';
import { rangeOf } from '../../../operator/resources/store-permissions.ts';

interface User {
  password: string;
  readonly roles: Set<string>;
}

/** A store's users and roles, with etcd's refusals. */
export class FakeAuth {
  enabled = false;
  readonly users = new Map<string, User>();
  readonly roles = new Map<string, Map<string, Permission>>();

  clone(): FakeAuth {
    const copy = new FakeAuth();
    copy.enabled = this.enabled;
    for (const [name, { password, roles }] of this.users) {
      copy.users.set(name, { password, roles: new Set(roles) });
    }
    for (const [name, permissions] of this.roles) copy.roles.set(name, new Map(permissions));
    return copy;
  }

  knows(login: { readonly username: string; readonly password: string } | undefined): boolean {
    if (!this.enabled) return true;
    return login !== undefined && this.users.get(login.username)?.password === login.password;
  }

  answer({ users, roles }: AuthQuestion): StoreAuth {
    return {
      enabled: this.enabled,
      users: new Map(
        users.flatMap((name) => {
          const user = this.users.get(name);
          return user === undefined ? [] : [[name, [...user.roles]] as const];
        }),
      ),
      roles: new Map(
        roles.flatMap((name) => {
          const role = this.roles.get(name);
          return role === undefined ? [] : [[name, [...role.values()]] as const];
        }),
      ),
    };
  }

  change(change: AuthChange, password = ''): void {
    switch (change.kind) {
      case 'addUser':
        if (this.users.has(change.user)) throw new Error('etcdserver: user name already exists');
        this.users.set(change.user, { password, roles: new Set() });
        return;
      case 'setPassword':
        this.#user(change.user).password = password;
        return;
      case 'deleteUser':
        this.#user(change.user);
        this.users.delete(change.user);
        return;
      case 'grantRole':
        if (change.role !== 'root') this.#role(change.role);
        this.#user(change.user).roles.add(change.role);
        return;
      case 'revokeRole':
        this.#user(change.user).roles.delete(change.role);
        return;
      case 'addRole':
        if (this.roles.has(change.role)) throw new Error('etcdserver: role name already exists');
        this.roles.set(change.role, new Map());
        return;
      case 'deleteRole':
        this.#role(change.role);
        this.roles.delete(change.role);
        for (const { roles } of this.users.values()) roles.delete(change.role);
        return;
      case 'grantPermission':
        this.#role(change.role).set(rangeOf(change.permission), change.permission);
        return;
      case 'revokePermission':
        this.#role(change.role).delete(rangeOf(change.permission));
        return;
      case 'enable':
        if (!this.#user('root').roles.has('root'))
          throw new Error('etcdserver: root user does not have root role');
        this.enabled = true;
        return;
      case 'disable':
        this.enabled = false;
    }
  }

  #user(name: string): User {
    const user = this.users.get(name);
    if (user === undefined) throw new Error('etcdserver: user name not found');
    return user;
  }

  #role(name: string): Map<string, Permission> {
    const role = this.roles.get(name);
    if (role === undefined) throw new Error('etcdserver: role name not found');
    return role;
  }
}
