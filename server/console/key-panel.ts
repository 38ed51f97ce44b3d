import { fromBase64, shownText, toUrlText } from './bytes.ts';
import { type Child, fill, h, notice, setText } from './dom.ts';
import { bytesText, countText, hexText, plural } from './format.ts';
import { type Gateway, GatewayError, type KeyValue, textOf, type WatchEvent } from './gateway.ts';
import { previewOf, ValuePanel } from './value-panel.ts';
import { addressOf } from './view.ts';

const versionsPerTurn = 10;
const versionsKeptMax = 190;
const retryMs = 2_000;

/** One key: what it holds now, always up to date, and what it held before. */
export class KeyPanel {
  readonly element: HTMLElement;
  readonly #gateway: Gateway;
  readonly #key: Uint8Array;
  readonly #changed: (keyValue: KeyValue) => void;
  readonly #end = new AbortController();
  readonly #facts = h('dl', { class: 'facts' });
  readonly #message = h('div');
  readonly #value = new ValuePanel();
  readonly #history = h('ol', { class: 'versions' });
  readonly #historyEnd = h('p', { class: 'quiet', role: 'status' });
  readonly #older: HTMLButtonElement;
  readonly #at = h('p', { class: 'at-revision' });
  /** The newest version. */
  #current: KeyValue | undefined;
  /** Where the history goes on, backwards. */
  #nextRevision: number | undefined;

  /** `above` is where the key is closed; `changed` hears of each new version. */
  constructor(
    gateway: Gateway,
    options: {
      readonly key: Uint8Array;
      readonly above: string;
      readonly changed: (keyValue: KeyValue) => void;
    },
  ) {
    const { key, above, changed } = options;
    this.#gateway = gateway;
    this.#key = key;
    this.#changed = changed;
    this.#older = h(
      'button',
      { type: 'button', on: { click: () => void this.#readOlder() } },
      'Show earlier versions',
    );
    const watched = addressOf('watch', { k: toUrlText(key) });
    this.element = h(
      'section',
      { class: 'card key-panel', 'aria-label': 'key' },
      h(
        'header',
        {},
        h('h3', { class: 'mono' }, shownText(key)),
        h('a', { class: 'button', href: watched }, 'Watch'),
        h('a', { class: 'button', href: above }, 'Close'),
      ),
      this.#message,
      this.#facts,
      this.#at,
      this.#value.element,
      h('h4', {}, 'History'),
      this.#history,
      this.#historyEnd,
      this.#older,
    );
    void this.#follow();
  }

  close(): void {
    this.#end.abort();
  }

  refresh(): void {
    void this.#read().catch((error: unknown) => this.#failed(error));
  }

  /** Reads it, then watches from there on; again when the connection is lost. */
  async #follow(): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted) {
      try {
        const revision = await this.#read();
        for await (const { events, canceled, cancel_reason } of this.#gateway.watch(
          { key: this.#key },
          { startRevision: revision + 1, signal },
        )) {
          if (canceled === true)
            throw new GatewayError(-1, cancel_reason ?? 'the watch was canceled');
          const shown = this.#remember(events ?? []);
          if (shown !== undefined)
            this.#show(shown.type === 'DELETE' ? undefined : shown.kv, { isNew: true });
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#failed(error);
        if (error instanceof GatewayError && (error.isDenied || error.needsLogin)) return;
      }
      await new Promise((resolve) => {
        setTimeout(resolve, retryMs);
      });
    }
  }

  async #read(): Promise<number> {
    const { header, kvs } = await this.#gateway.range({ key: this.#key });
    fill(this.#message, []);
    this.#show(kvs?.[0], { isNew: false });
    return Number(header?.revision ?? 0);
  }

  /** Of versions that came together, the last one is left to be shown; those before it are history at once. */
  #remember(events: readonly WatchEvent[]): WatchEvent | undefined {
    for (const { type, kv } of events.slice(0, -1)) {
      if (type === 'DELETE') {
        fill(this.#history, []);
        this.#current = undefined;
      } else {
        this.#putAside();
        this.#current = kv;
        if (this.#history.childElementCount === 0 && kv !== undefined) this.#goOnFrom(kv);
      }
    }
    return events.at(-1);
  }

  /** What is the newest is not any more. Of a key that changes all the time not all is kept: the rest can be read again. */
  #putAside(): void {
    if (this.#current === undefined) return;
    this.#history.prepend(this.#entry(this.#current));
    if (this.#history.childElementCount <= versionsKeptMax) return;
    this.#history.lastElementChild?.remove();
    const oldest = this.#history.querySelector<HTMLElement>('li:last-child button');
    this.#nextRevision = Number(oldest?.dataset['revision']) - 1;
    this.#older.hidden = false;
    setText(this.#historyEnd, '');
  }

  #failed(error: unknown): void {
    fill(this.#message, [notice('error', textOf(error))]);
  }

  #show(keyValue: KeyValue | undefined, { isNew }: { isNew: boolean }): void {
    if (isNew && keyValue !== undefined && this.#current !== undefined) this.#putAside();
    else if (keyValue?.mod_revision !== this.#current?.mod_revision) fill(this.#history, []);
    const isFirst = this.#history.childElementCount === 0;
    this.#current = keyValue;
    this.#fillFacts();
    if (keyValue === undefined) {
      this.#value.show(new Uint8Array());
      this.#value.element.hidden = true;
      this.#older.hidden = true;
      return;
    }
    this.#value.element.hidden = false;
    this.#showVersion(keyValue);
    if (isFirst) this.#goOnFrom(keyValue);
    if (isNew) {
      this.#changed(keyValue);
      flash(this.element);
    }
  }

  #goOnFrom(keyValue: KeyValue): void {
    const isFirst = keyValue.version === '1';
    this.#nextRevision = isFirst ? undefined : Number(keyValue.mod_revision) - 1;
    this.#older.hidden = isFirst;
    setText(this.#historyEnd, isFirst ? `Created at revision ${keyValue.create_revision}.` : '');
  }

  #fillFacts(): void {
    const shown = this.#current;
    if (shown === undefined) {
      fill(this.#facts, [h('dt', {}, 'state'), h('dd', {}, 'not there now')]);
      return;
    }
    const lease =
      shown.lease === undefined || shown.lease === '0' ? undefined : hexText(shown.lease);
    const facts: ReadonlyArray<readonly [string, Child]> = [
      ['modified at', countText(Number(shown.mod_revision))],
      ['created at', countText(Number(shown.create_revision))],
      ['version', countText(Number(shown.version))],
      [
        'lease',
        lease === undefined ? 'none' : h('a', { href: addressOf('leases', { id: lease }) }, lease),
      ],
    ];
    fill(
      this.#facts,
      facts.flatMap(([name, child]) => [h('dt', {}, name), h('dd', {}, child)]),
    );
  }

  #showVersion(keyValue: KeyValue): void {
    const isCurrent = keyValue.mod_revision === this.#current?.mod_revision;
    setText(this.#at, isCurrent ? '' : `As it was at revision ${keyValue.mod_revision}:`);
    this.#value.show(fromBase64(keyValue.value));
    for (const button of this.#history.querySelectorAll('button')) {
      const isShown = button.dataset['revision'] === keyValue.mod_revision && !isCurrent;
      button.setAttribute('aria-pressed', String(isShown));
    }
  }

  /** Version by version: each is found by reading just before the one after it. */
  async #readOlder(): Promise<void> {
    this.#older.disabled = true;
    try {
      for (let count = 0; count < versionsPerTurn && this.#nextRevision !== undefined; count++) {
        await this.#readVersion(this.#nextRevision);
      }
    } catch (error) {
      const isCompacted = error instanceof GatewayError && error.isCompacted;
      if (isCompacted) this.#nextRevision = undefined;
      setText(
        this.#historyEnd,
        isCompacted
          ? `What was before revision ${this.#oldest()} has been compacted.`
          : textOf(error),
      );
    }
    this.#older.disabled = false;
    this.#older.hidden = this.#nextRevision === undefined;
  }

  #oldest(): string {
    const buttons = [...this.#history.querySelectorAll('button')];
    return buttons.at(-1)?.dataset['revision'] ?? this.#current?.mod_revision ?? '';
  }

  async #readVersion(revision: number): Promise<void> {
    const { kvs } = await this.#gateway.range({ key: this.#key }, { revision: String(revision) });
    const keyValue = kvs?.[0];
    if (this.#nextRevision !== revision) return;
    if (keyValue === undefined) {
      this.#nextRevision = undefined;
      return;
    }
    this.#history.append(this.#entry(keyValue));
    this.#goOnFrom(keyValue);
  }

  #entry(keyValue: KeyValue): HTMLElement {
    const bytes = fromBase64(keyValue.value);
    const show = (): void => {
      const isShown = button.getAttribute('aria-pressed') === 'true';
      this.#showVersion(isShown ? (this.#current ?? keyValue) : keyValue);
    };
    const button = h(
      'button',
      {
        type: 'button',
        class: 'version',
        'aria-pressed': 'false',
        'data-revision': keyValue.mod_revision,
        on: { click: show },
      },
      h('span', { class: 'revision' }, countText(Number(keyValue.mod_revision))),
      h('span', { class: 'preview mono' }, previewOf(bytes)),
      h('span', { class: 'quiet' }, `version ${keyValue.version}, ${bytesText(bytes.length)}`),
    );
    return h('li', {}, button);
  }
}

/** Says that something has just changed. */
function flash(element: HTMLElement): void {
  element.classList.remove('changed');
  void element.offsetWidth;
  element.classList.add('changed');
}

export function keysText(count: string | undefined): string {
  return plural(Number(count ?? 0), 'key');
}
