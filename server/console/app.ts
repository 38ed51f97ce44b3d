import { byId, fill, h, setText } from './dom.ts';
import { Gateway } from './gateway.ts';
import { KeyBrowser } from './key-browser.ts';
import { Leases } from './leases.ts';
import { loginForm } from './login.ts';
import { Observer, roleOf } from './observer.ts';
import { Overview } from './overview.ts';
import { Users } from './users.ts';
import type { Surroundings, View } from './view.ts';
import { Watcher } from './watcher.ts';

// The page: which view is shown, who is logged in, and what keys do.

const views: Readonly<Record<string, (surroundings: Surroundings) => View>> = {
  overview: (surroundings) => new Overview(surroundings),
  keys: (surroundings) => new KeyBrowser(surroundings),
  watch: (surroundings) => new Watcher(surroundings),
  leases: (surroundings) => new Leases(surroundings),
  users: (surroundings) => new Users(surroundings),
};
const names = Object.keys(views);

class App {
  readonly #gateway = new Gateway(new URL('../', document.baseURI));
  readonly #observer = new Observer(this.#gateway);
  readonly #main = byId('main');
  readonly #help = byId('help') as HTMLDialogElement;
  readonly #state = byId('state');
  readonly #user = byId('user-menu');
  #view: View | undefined;
  #shown: string | undefined;
  #isAsking = false;

  start(): void {
    this.#gateway.onLoginNeeded = (isOver) => this.#askWho(isOver);
    this.#observer.onLook = () => this.#looked();
    addEventListener('hashchange', () => this.#route());
    addEventListener('keydown', (event) => this.#pressed(event));
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden && this.#observer.isRunning) void this.#observer.look();
    });
    // As an address it would be that of a view.
    byId('skip').addEventListener('click', (event) => {
      event.preventDefault();
      this.#main.focus();
    });
    byId('help-button').addEventListener('click', () => this.#help.showModal());
    byId('help-close').addEventListener('click', () => this.#help.close());
    this.#route();
    this.#observer.start();
  }

  #route(): void {
    if (this.#isAsking) return;
    const [name = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?', 2);
    const shown = Object.hasOwn(views, name) ? name : 'overview';
    const isSame = this.#view !== undefined && shown === this.#shown;
    if (isSame && this.#view?.moved?.(new URLSearchParams(query)) === true) return;
    this.#shown = shown;
    this.#view?.closed?.();
    for (const link of document.querySelectorAll<HTMLElement>('#views a')) {
      if (link.dataset['view'] === shown) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    document.title = `${shown} – Mainstay console`;
    const make = views[shown];
    const surroundings = {
      gateway: this.#gateway,
      observer: this.#observer,
      query: new URLSearchParams(query),
    };
    this.#view = make?.(surroundings);
    fill(this.#main, [this.#view?.element]);
  }

  #looked(): void {
    // A look that was under way when the form came.
    if (this.#isAsking) return;
    const { failures, answering, status } = this.#observer;
    const failure = failures.get('status');
    const text =
      failure === undefined
        ? `${this.#observer.nameOf(answering)}, ${roleOf(status ?? {}, status?.leader === answering)}`
        : failure;
    this.#state.className = failure === undefined ? 'state good' : 'state bad';
    setText(this.#state, text);
    this.#showUser();
    this.#view?.looked?.();
  }

  #showUser(): void {
    const { user } = this.#gateway;
    if (this.#user.dataset['user'] === user) return;
    if (user === undefined) {
      delete this.#user.dataset['user'];
      fill(this.#user, []);
      return;
    }
    this.#user.dataset['user'] = user;
    const leave = (): void => {
      this.#gateway.logout();
      this.#askWho(false);
    };
    fill(this.#user, [
      h('span', { class: 'user-name' }, user),
      h('button', { type: 'button', on: { click: leave } }, 'Log out'),
    ]);
  }

  #askWho(isOver: boolean): void {
    if (this.#isAsking) return;
    this.#isAsking = true;
    this.#observer.stop();
    this.#view?.closed?.();
    this.#view = undefined;
    this.#showUser();
    this.#state.className = 'state';
    setText(this.#state, 'not logged in');
    const reason = isOver
      ? 'The session is over, or your roles have changed.'
      : 'This store asks who you are. You see what your roles allow.';
    const done = (): void => {
      this.#isAsking = false;
      this.#showUser();
      this.#route();
      this.#observer.start();
    };
    fill(this.#main, [loginForm(this.#gateway, { reason, done })]);
  }

  #pressed(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || this.#help.open) return;
    const { target } = event;
    const isTyping = target instanceof HTMLInputElement && target.type !== 'checkbox';
    if (event.key === 'Escape' && target instanceof HTMLElement) target.blur();
    if (isTyping || this.#isAsking) return;
    if (this.#did(event.key)) event.preventDefault();
  }

  #did(key: string): boolean {
    const name = /^[1-9]$/.test(key) ? names[Number(key) - 1] : undefined;
    if (name !== undefined) location.hash = `#/${name}`;
    else if (key === '?') this.#help.showModal();
    else if (key === 'r' && this.#view?.refresh !== undefined) this.#view.refresh();
    else return this.#view?.pressed?.(key) ?? false;
    return true;
  }
}

new App().start();
