import { fromUrlText, isEqual, parseText, prefixEnd, shownText, toUrlText } from './bytes.ts';
import { type Child, fill, h, notice, setText } from './dom.ts';
import { countText } from './format.ts';
import { GatewayError, type KeyValue, textOf } from './gateway.ts';
import { type LevelEntry, readLevel } from './key-level.ts';
import { KeyPanel, keysText } from './key-panel.ts';
import { ownRanges, rangeText } from './permissions.ts';
import { addressOf, moveFocus, type Surroundings, type View } from './view.ts';

const delimiterDefault = '/';
const zero = Uint8Array.of(0);

/** Keys as a tree of prefixes, a page at a time, and one of them opened. */
export class KeyBrowser implements View {
  readonly element: HTMLElement;
  readonly #surroundings: Surroundings;
  readonly #prefix: Uint8Array;
  readonly #delimiter: string;
  #opened: Uint8Array | undefined;
  readonly #list = h('ul', { class: 'keys' });
  readonly #status = h('p', { class: 'quiet', role: 'status' });
  readonly #message = h('div');
  readonly #more: HTMLButtonElement;
  readonly #field: HTMLInputElement;
  readonly #delimiterField: HTMLInputElement;
  readonly #split = h('div', { class: 'split' });
  readonly #browser: HTMLElement;
  #panel: KeyPanel | undefined;
  #next: Uint8Array | undefined;
  #isClosed = false;

  constructor(surroundings: Surroundings) {
    const { query } = surroundings;
    this.#surroundings = surroundings;
    this.#prefix = fromUrlText(query.get('p') ?? '') ?? new Uint8Array();
    this.#delimiter = query.get('d') ?? delimiterDefault;
    this.#more = h(
      'button',
      { type: 'button', on: { click: () => void this.#read(this.#next) } },
      'More',
    );
    this.#field = h('input', {
      id: 'prefix',
      class: 'mono',
      spellcheck: 'false',
      autocomplete: 'off',
      placeholder: 'all keys',
      value: shownText(this.#prefix),
    });
    this.#delimiterField = h('input', {
      id: 'delimiter',
      class: 'mono narrow',
      spellcheck: 'false',
      autocomplete: 'off',
      value: this.#delimiter === ' ' ? '' : this.#delimiter,
    });
    this.#browser = h(
      'section',
      { class: 'card key-list', 'aria-label': 'keys' },
      this.#path(),
      this.#status,
      this.#message,
      this.#list,
      this.#more,
    );
    this.element = h('div', { class: 'key-browser' }, this.#form(), this.#split);
    this.#open(query);
    void this.#read(undefined);
  }

  /** Opening another key of the same level leaves the list as it is. */
  moved(query: URLSearchParams): boolean {
    const prefix = fromUrlText(query.get('p') ?? '') ?? new Uint8Array();
    const delimiter = query.get('d') ?? delimiterDefault;
    if (!isEqual(prefix, this.#prefix) || delimiter !== this.#delimiter) return false;
    this.#open(query);
    return true;
  }

  #open(query: URLSearchParams): void {
    const key = query.get('k');
    this.#opened = key === null ? undefined : fromUrlText(key);
    this.#panel?.close();
    const name = this.#opened && toUrlText(this.#opened);
    const above = this.#address({ prefix: this.#prefix });
    const changed = ({ mod_revision }: KeyValue): void => this.#retell(name, mod_revision);
    const { gateway } = this.#surroundings;
    this.#panel = this.#opened && new KeyPanel(gateway, { key: this.#opened, above, changed });
    this.#split.classList.toggle('opened', this.#opened !== undefined);
    fill(this.#split, [this.#browser, this.#panel?.element ?? hint()]);
    for (const link of this.#list.querySelectorAll('a')) {
      if (link.dataset['key'] === name && name !== undefined)
        link.setAttribute('aria-current', 'true');
      else link.removeAttribute('aria-current');
    }
  }

  /** The list says the same of a key as its panel. */
  #retell(name: string | undefined, revision: string | undefined): void {
    for (const link of this.#list.querySelectorAll('a')) {
      const about = link.querySelector('.quiet');
      if (about !== null && link.dataset['key'] === name) setText(about, revisionText(revision));
    }
  }

  refresh(): void {
    void this.#read(undefined);
    this.#panel?.refresh();
  }

  pressed(key: string): boolean {
    const items = [...this.#list.querySelectorAll('a')];
    if (key === 'j' || key === 'ArrowDown') return moveFocus(items, 1);
    if (key === 'k' || key === 'ArrowUp') return moveFocus(items, -1);
    if (key === '/') {
      this.#field.focus();
      this.#field.select();
      return true;
    }
    if (key !== 'u') return false;
    location.hash = this.#address({
      prefix: this.#opened === undefined ? this.#above() : this.#prefix,
    });
    return true;
  }

  closed(): void {
    this.#isClosed = true;
    this.#panel?.close();
  }

  #form(): HTMLElement {
    const go = (event: Event): void => {
      event.preventDefault();
      const delimiter = this.#delimiterField.value;
      location.hash = this.#address({ prefix: parseText(this.#field.value), delimiter });
    };
    return h(
      'form',
      { class: 'toolbar', on: { submit: go } },
      h('span', { class: 'field wide' }, h('label', { for: 'prefix' }, 'Prefix'), this.#field),
      h(
        'span',
        { class: 'field' },
        h('label', { for: 'delimiter' }, 'Delimiter'),
        this.#delimiterField,
      ),
      h('button', { type: 'submit' }, 'Go'),
    );
  }

  #address(to: {
    readonly prefix: Uint8Array;
    readonly key?: Uint8Array;
    readonly delimiter?: string;
  }): string {
    const { prefix, key, delimiter = this.#delimiter } = to;
    return addressOf('keys', {
      p: toUrlText(prefix),
      k: key && toUrlText(key),
      d: delimiter === delimiterDefault ? undefined : delimiter || ' ',
    });
  }

  /** The prefix in its parts, each of which leads there. */
  #path(): HTMLElement {
    const part = (text: string, prefix: Uint8Array): HTMLElement =>
      h('li', {}, h('a', { class: 'mono', href: this.#address({ prefix }) }, text));
    let shownBytes = 0;
    const parts = this.#prefixes().map((prefix) => {
      const text = shownText(prefix.subarray(shownBytes));
      shownBytes = prefix.length;
      return part(text, prefix);
    });
    const all = part('all keys', new Uint8Array());
    return h('nav', { 'aria-label': 'prefix' }, h('ol', { class: 'path' }, all, ...parts));
  }

  #prefixes(): Uint8Array[] {
    const delimiter = this.#delimiterBytes;
    const found: Uint8Array[] = [];
    if (delimiter.length > 0) {
      for (let at = 0; at + delimiter.length < this.#prefix.length; at++) {
        const end = at + delimiter.length;
        if (isEqual(this.#prefix.subarray(at, end), delimiter))
          found.push(this.#prefix.slice(0, end));
      }
    }
    return this.#prefix.length === 0 ? found : [...found, this.#prefix];
  }

  #above(): Uint8Array {
    return this.#prefixes().at(-2) ?? new Uint8Array();
  }

  get #delimiterBytes(): Uint8Array {
    return parseText(this.#delimiter === ' ' ? '' : this.#delimiter);
  }

  async #read(from: Uint8Array | undefined): Promise<void> {
    const { gateway } = this.#surroundings;
    this.#more.disabled = true;
    try {
      const level = { prefix: this.#prefix, delimiter: this.#delimiterBytes, from };
      const [page, count] = await Promise.all([
        readLevel(gateway, level),
        from === undefined ? this.#count() : undefined,
      ]);
      if (this.#isClosed) return;
      const rows = page.entries.map((entry) => this.#row(entry));
      if (from === undefined) fill(this.#list, rows);
      else this.#list.append(...rows);
      this.#next = page.next;
      if (count !== undefined) setText(this.#status, count);
      fill(
        this.#message,
        this.#list.childElementCount === 0 ? [notice('info', 'There is no key here.')] : [],
      );
    } catch (error) {
      if (!this.#isClosed) await this.#failed(error);
    }
    this.#more.disabled = false;
    this.#more.hidden = this.#next === undefined;
  }

  async #count(): Promise<string> {
    const prefix = this.#prefix;
    const range =
      prefix.length === 0 ? { key: zero, end: zero } : { key: prefix, end: prefixEnd(prefix) };
    const { count } = await this.#surroundings.gateway.range(range, { count_only: true });
    return prefix.length === 0 ? keysText(count) : `${keysText(count)} with this prefix`;
  }

  #row(entry: LevelEntry): HTMLElement {
    const bytes = entry.kind === 'folder' ? entry.prefix : entry.key;
    const name = shownText(bytes.subarray(this.#prefix.length));
    const isOpened =
      this.#opened !== undefined && entry.kind === 'key' && isEqual(bytes, this.#opened);
    const href =
      entry.kind === 'folder'
        ? this.#address({ prefix: bytes })
        : this.#address({ prefix: this.#prefix, key: bytes });
    const about = entry.kind === 'folder' ? 'prefix' : revisionText(entry.keyValue.mod_revision);
    return h(
      'li',
      {},
      h(
        'a',
        {
          class: `entry ${entry.kind}`,
          href,
          'data-key': entry.kind === 'key' ? toUrlText(bytes) : undefined,
          'aria-current': isOpened ? 'true' : undefined,
        },
        h('span', { class: 'mono name' }, name === '' ? '(the prefix itself)' : name),
        h('span', { class: 'quiet' }, about),
      ),
    );
  }

  /** Who may not read all of it is shown what he may read. */
  async #failed(error: unknown): Promise<void> {
    const { gateway } = this.#surroundings;
    const parts: Child[] = [notice('error', textOf(error))];
    if (error instanceof GatewayError && error.isDenied) {
      const ranges = (await ownRanges(gateway)).filter(({ permType }) => permType !== 'WRITE');
      if (this.#isClosed) return;
      parts.push(
        h(
          'p',
          {},
          ranges.length === 0 ? 'Your roles let you read no keys.' : 'Your roles let you read:',
        ),
      );
      const links = ranges.map((range) =>
        h(
          'li',
          {},
          h(
            'a',
            { class: 'entry folder', href: this.#address(rangeAddress(range)) },
            h('span', { class: 'mono name' }, rangeText(range)),
          ),
        ),
      );
      parts.push(h('ul', { class: 'keys' }, ...links));
    }
    fill(this.#list, []);
    setText(this.#status, '');
    this.#next = undefined;
    fill(this.#message, parts);
  }
}

function revisionText(revision: string | undefined): string {
  return `revision ${countText(Number(revision))}`;
}

function hint(): HTMLElement {
  const text = 'Choose a key to see what it holds, live, and what it held before.';
  return h('section', { class: 'card placeholder' }, h('p', { class: 'quiet' }, text));
}

function rangeAddress({
  key,
  end,
}: {
  readonly key: Uint8Array;
  readonly end: Uint8Array | undefined;
}) {
  if (end === undefined) return { prefix: new Uint8Array(), key };
  return { prefix: isEqual(key, zero) ? new Uint8Array() : key };
}
