import { fromBase64, fromUrlText, parseText, prefixEnd, shownText, toUrlText } from './bytes.ts';
import { fill, h, notice, setText } from './dom.ts';
import { countText, plural, timeText } from './format.ts';
import { GatewayError, textOf, type WatchEvent } from './gateway.ts';
import { previewOf } from './value-panel.ts';
import { addressOf, type Surroundings, type View } from './view.ts';

const eventsShownMax = 500;
const retryMs = 2_000;
const drawMs = 100;
const zero = Uint8Array.of(0);

/** What happens to the keys with a prefix, or to one key, as it happens. */
export class Watcher implements View {
  readonly element: HTMLElement;
  readonly #surroundings: Surroundings;
  readonly #key: HTMLInputElement;
  readonly #isPrefix: HTMLInputElement;
  readonly #from: HTMLInputElement;
  readonly #button = h('button', { type: 'submit' }, 'Start');
  readonly #status = h('p', { class: 'quiet', role: 'status' });
  readonly #message = h('div');
  readonly #rows = h('tbody');
  #end: AbortController | undefined;
  #count = 0;
  /** Events without a row yet. */
  #pending: WatchEvent[] = [];
  #isDrawing = false;

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
    const { query } = surroundings;
    const key = fromUrlText(query.get('k') ?? '') ?? new Uint8Array();
    const common = { spellcheck: 'false', autocomplete: 'off' };
    this.#key = h('input', {
      ...common,
      id: 'watched',
      class: 'mono',
      placeholder: 'all keys',
      value: shownText(key),
    });
    this.#isPrefix = h('input', {
      id: 'is-prefix',
      type: 'checkbox',
      checked: !query.has('k') || query.has('prefix'),
    });
    this.#from = h('input', {
      ...common,
      id: 'from',
      class: 'narrow',
      inputmode: 'numeric',
      pattern: '[0-9]*',
      placeholder: 'now',
    });
    this.element = h('div', { class: 'watcher' }, this.#form(), this.#table());
    this.#stopped('Not watching.');
    if (query.has('k')) this.#start();
  }

  pressed(key: string): boolean {
    if (key === 'w') this.#toggle();
    else if (key === '/') this.#key.focus();
    else return false;
    return true;
  }

  closed(): void {
    this.#end?.abort();
  }

  #form(): HTMLElement {
    const toggle = (event: Event): void => {
      event.preventDefault();
      this.#toggle();
    };
    return h(
      'form',
      { class: 'toolbar', on: { submit: toggle } },
      h('span', { class: 'field wide' }, h('label', { for: 'watched' }, 'Key'), this.#key),
      h(
        'span',
        { class: 'field' },
        this.#isPrefix,
        h('label', { for: 'is-prefix' }, 'all with this prefix'),
      ),
      h('span', { class: 'field' }, h('label', { for: 'from' }, 'From revision'), this.#from),
      this.#button,
    );
  }

  #table(): HTMLElement {
    const head = ['Time', 'Revision', 'Change', 'Key', 'Value'];
    return h(
      'section',
      { class: 'card', 'aria-label': 'events' },
      this.#status,
      this.#message,
      h(
        'div',
        { class: 'scroll' },
        h(
          'table',
          { class: 'events' },
          h('thead', {}, h('tr', {}, ...head.map((name) => h('th', { scope: 'col' }, name)))),
          this.#rows,
        ),
      ),
    );
  }

  #toggle(): void {
    if (this.#end === undefined) this.#start();
    else {
      this.#end.abort();
      this.#stopped('Stopped.');
    }
  }

  #start(): void {
    const key = parseText(this.#key.value);
    const fromText = this.#from.value.trim();
    if (!/^\d*$/.test(fromText)) {
      fill(this.#message, [
        notice('error', `"${fromText}" is no revision: a whole number is, or nothing for now`),
      ]);
      return;
    }
    const isAll = key.length === 0;
    const isPrefix = this.#isPrefix.checked || isAll;
    const range = isAll
      ? { key: zero, end: zero }
      : { key, ...(isPrefix && { end: prefixEnd(key) }) };
    const end = new AbortController();
    this.#end = end;
    this.#count = 0;
    this.#pending = [];
    fill(this.#rows, []);
    fill(this.#message, []);
    setText(this.#button, 'Stop');
    void this.#follow(range, { fromRevision: Number(fromText), signal: end.signal });
  }

  #stopped(text: string): void {
    this.#end = undefined;
    setText(this.#button, 'Start');
    setText(this.#status, text);
  }

  /** A connection that is lost is made again, behind the last event. */
  async #follow(
    range: { readonly key: Uint8Array; readonly end?: Uint8Array },
    { fromRevision, signal }: { readonly fromRevision: number; readonly signal: AbortSignal },
  ): Promise<void> {
    let startRevision: number | undefined = fromRevision > 0 ? fromRevision : undefined;
    while (!signal.aborted) {
      try {
        setText(this.#status, 'Connecting…');
        for await (const answer of this.#surroundings.gateway.watch(range, {
          startRevision,
          signal,
        })) {
          if (answer.canceled === true)
            return this.#canceled(answer.cancel_reason, answer.compact_revision);
          fill(this.#message, []);
          startRevision = Number(answer.header?.revision ?? 0) + 1;
          const events = answer.events ?? [];
          this.#add(events);
          const last = events.at(-1);
          if (last !== undefined) startRevision = Number(last.kv?.mod_revision) + 1;
          this.#tell();
        }
      } catch (error) {
        if (signal.aborted) return;
        fill(this.#message, [notice('error', textOf(error))]);
        if (error instanceof GatewayError && (error.isDenied || error.needsLogin))
          return this.#stopped('Stopped.');
      }
      if (signal.aborted) return;
      setText(this.#status, 'The connection was lost; it is made again.');
      await new Promise((resolve) => {
        setTimeout(resolve, retryMs);
      });
    }
  }

  #canceled(reason: string | undefined, compactRevision: string | undefined): void {
    const isCompacted = compactRevision !== undefined && compactRevision !== '0';
    const text = isCompacted
      ? `That revision has been compacted: the history begins at ${compactRevision}.`
      : (reason ?? 'The store has canceled the watch.');
    fill(this.#message, [notice('error', text)]);
    this.#stopped('Stopped.');
  }

  /** Rows are made now and then, and only those that can be seen: a long past must not keep the page busy. */
  #add(events: readonly WatchEvent[]): void {
    this.#count += events.length;
    this.#pending = [...this.#pending, ...events].slice(-eventsShownMax);
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    setTimeout(() => this.#draw(), drawMs);
  }

  #draw(): void {
    this.#isDrawing = false;
    this.#rows.prepend(...this.#pending.toReversed().map(rowOf));
    this.#pending = [];
    while (this.#rows.childElementCount > eventsShownMax) this.#rows.lastElementChild?.remove();
  }

  #tell(): void {
    const shown = this.#count > eventsShownMax ? `, the last ${eventsShownMax} are shown` : '';
    setText(this.#status, `Watching: ${plural(this.#count, 'event')} so far${shown}.`);
  }
}

function rowOf({ type, kv }: WatchEvent): HTMLElement {
  const key = fromBase64(kv?.key);
  const isDelete = type === 'DELETE';
  const change = isDelete ? 'delete' : kv?.version === '1' ? 'create' : 'put';
  const address = addressOf('keys', { k: toUrlText(key), p: toUrlText(folderOf(key)) });
  return h(
    'tr',
    { class: change },
    h('td', {}, timeText(new Date())),
    h('td', { class: 'number' }, countText(Number(kv?.mod_revision))),
    h('td', {}, h('span', { class: `badge ${change}` }, change)),
    h(
      'td',
      { class: 'mono' },
      isDelete ? shownText(key) : h('a', { href: address }, shownText(key)),
    ),
    h('td', { class: 'mono preview' }, isDelete ? '' : previewOf(fromBase64(kv?.value))),
  );
}

function folderOf(key: Uint8Array): Uint8Array {
  return key.slice(0, key.lastIndexOf(0x2f) + 1);
}
