import { type Child, fill, h, notice } from './dom.ts';
import { type Gateway, GatewayError, textOf } from './gateway.ts';
import { type Permission, type PermittedRange, permittedRange, rangeText } from './permissions.ts';
import type { Surroundings, View } from './view.ts';

interface Listed<T> {
  readonly name: string;
  /** What is known of it, or why nothing is. */
  readonly found: T | Error;
}

const namesAtOnce = 8;

/** Users, roles, and what they allow: all of it for root, the own for everyone else. */
export class Users implements View {
  readonly element = h('div', { class: 'users' });
  readonly #gateway: Gateway;

  constructor({ gateway }: Surroundings) {
    this.#gateway = gateway;
    void this.#read();
  }

  refresh(): void {
    void this.#read();
  }

  async #read(): Promise<void> {
    const [state, users, roles] = await Promise.all([
      this.#state(),
      this.#part(() => this.#users()),
      this.#part(() => this.#roles()),
    ]);
    fill(this.element, [
      state,
      h('div', { class: 'charts' }, section('Users', users), section('Roles', roles)),
    ]);
  }

  async #state(): Promise<HTMLElement> {
    const { user } = this.#gateway;
    try {
      const { enabled } = await this.#gateway.call<{ enabled?: boolean }>('auth/status');
      if (enabled === true)
        return notice('info', `Authentication is on; you are ${user ?? 'not logged in'}.`);
      return notice(
        'info',
        'Authentication is off: everyone who reaches the store may do everything.',
      );
    } catch (error) {
      if (user !== undefined)
        return notice('info', `You are ${user}: what your roles do not allow is not shown.`);
      return notice('error', textOf(error));
    }
  }

  async #part(read: () => Promise<readonly Child[]>): Promise<readonly Child[]> {
    try {
      return await read();
    } catch (error) {
      return [notice('error', textOf(error))];
    }
  }

  async #users(): Promise<readonly Child[]> {
    const { names, isOwn } = await this.#names('auth/user/list', async () => {
      const { user } = this.#gateway;
      return user === undefined ? [] : [user];
    });
    const users = await each(names, async (name) => {
      const { roles = [] } = await this.#gateway.call<{ roles?: string[] }>('auth/user/get', {
        name,
      });
      return roles;
    });
    const rows = users.map(({ name, found }) =>
      row(
        name,
        found instanceof Error
          ? failed(found)
          : found.map((role) => h('span', { class: 'badge' }, role)),
      ),
    );
    return [
      isOwn ? ownOnly() : undefined,
      rows.length === 0 ? notice('info', 'There is no user.') : list(rows),
    ];
  }

  async #roles(): Promise<readonly Child[]> {
    const { names, isOwn } = await this.#names('auth/role/list', async () => {
      const { user } = this.#gateway;
      if (user === undefined) return [];
      const { roles = [] } = await this.#gateway.call<{ roles?: string[] }>('auth/user/get', {
        name: user,
      });
      return roles;
    });
    const roles = await each(names, async (role) => {
      const { perm = [] } = await this.#gateway.call<{ perm?: Permission[] }>('auth/role/get', {
        role,
      });
      return perm.map(permittedRange);
    });
    const rows = roles.map(({ name, found }) =>
      row(name, found instanceof Error ? failed(found) : permissions(name, found)),
    );
    return [
      isOwn ? ownOnly() : undefined,
      rows.length === 0 ? notice('info', 'There is no role.') : list(rows),
    ];
  }

  /** All names, or the own ones where the list is for root alone. */
  async #names(
    path: string,
    own: () => Promise<string[]>,
  ): Promise<{ names: string[]; isOwn: boolean }> {
    try {
      const answer = await this.#gateway.call<{ users?: string[]; roles?: string[] }>(path);
      return { names: answer.users ?? answer.roles ?? [], isOwn: false };
    } catch (error) {
      if (!(error instanceof GatewayError) || !error.isDenied) throw error;
      return { names: await own(), isOwn: true };
    }
  }
}

/** A few at a time, in order. */
async function each<T>(
  names: readonly string[],
  read: (name: string) => Promise<T>,
): Promise<Listed<T>[]> {
  const found: Listed<T>[] = [];
  for (let at = 0; at < names.length; at += namesAtOnce) {
    const some = names.slice(at, at + namesAtOnce).map(async (name): Promise<Listed<T>> => {
      try {
        return { name, found: await read(name) };
      } catch (error) {
        return { name, found: error instanceof Error ? error : new Error(String(error)) };
      }
    });
    found.push(...(await Promise.all(some)));
  }
  return found;
}

function section(title: string, children: readonly Child[]): HTMLElement {
  return h('section', { class: 'card', 'aria-label': title }, h('h3', {}, title), ...children);
}

function ownOnly(): HTMLElement {
  return h('p', { class: 'quiet' }, 'The list is for root alone; these are yours.');
}

function list(rows: readonly Child[]): HTMLElement {
  return h('dl', { class: 'grants' }, ...rows);
}

function row(name: string, children: readonly Child[]): HTMLElement {
  const none = children.length === 0 ? h('span', { class: 'quiet' }, 'none') : undefined;
  return h('div', {}, h('dt', { class: 'mono' }, name), h('dd', {}, ...children, none));
}

function failed(error: Error): Child[] {
  return [h('span', { class: 'bad-text' }, textOf(error))];
}

const access = { READ: 'read', WRITE: 'write', READWRITE: 'read and write' };

function permissions(role: string, ranges: readonly PermittedRange[]): Child[] {
  if (role === 'root') return [h('span', { class: 'quiet' }, 'everything')];
  return ranges.map((range) =>
    h(
      'div',
      { class: 'grant' },
      h('span', { class: `badge ${range.permType.toLowerCase()}` }, access[range.permType]),
      h('span', { class: 'mono' }, rangeText(range)),
    ),
  );
}
