import { fromBase64, shownText, toUrlText } from './bytes.ts';
import { type Child, fill, h, notice, setText } from './dom.ts';
import { durationText, hexText, plural } from './format.ts';
import { textOf } from './gateway.ts';
import { addressOf, type Surroundings, type View } from './view.ts';

interface LeaseFacts {
  readonly ID?: string;
  readonly TTL?: string;
  readonly grantedTTL?: string;
  readonly keys?: readonly string[];
}

const leasesPerTurn = 50;
const keysShownMax = 20;
const refreshMs = 5_000;
const tickMs = 1_000;

interface Row {
  readonly element: HTMLElement;
  readonly left: HTMLElement;
  readonly bar: HTMLElement;
  readonly keys: HTMLElement;
  facts: LeaseFacts | undefined;
  atMs: number;
  shownKeys: string;
}

/** Leases: how long they last, and what goes with them. */
export class Leases implements View {
  readonly element: HTMLElement;
  readonly #surroundings: Surroundings;
  readonly #status = h('p', { class: 'quiet', role: 'status' });
  readonly #message = h('div');
  readonly #body = h('div', { class: 'leases' });
  readonly #more: HTMLButtonElement;
  readonly #rows = new Map<string, Row>();
  readonly #timers: Array<ReturnType<typeof setInterval>>;
  #shownMax = leasesPerTurn;
  #isReading = false;

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
    this.#more = h(
      'button',
      { type: 'button', hidden: true, on: { click: () => this.#showMore() } },
      'More',
    );
    this.element = h(
      'div',
      {},
      h(
        'section',
        { class: 'card', 'aria-label': 'leases' },
        this.#status,
        this.#message,
        this.#body,
        this.#more,
      ),
    );
    this.#timers = [
      setInterval(() => this.#tick(), tickMs),
      setInterval(() => {
        if (!document.hidden) void this.#read();
      }, refreshMs),
    ];
    void this.#read();
  }

  refresh(): void {
    void this.#read();
  }

  closed(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  #showMore(): void {
    this.#shownMax += leasesPerTurn;
    void this.#read();
  }

  async #read(): Promise<void> {
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      const answer = await this.#surroundings.gateway.call<{ leases?: { ID?: string }[] }>(
        'lease/leases',
      );
      const ids = (answer.leases ?? []).map(({ ID = '0' }) => ID);
      const wanted = this.#surroundings.query.get('id');
      const [first, others] = [
        ids.filter((id) => hexText(id) === wanted),
        ids.filter((id) => hexText(id) !== wanted),
      ];
      const shown = [...first, ...others].slice(0, this.#shownMax);
      fill(this.#message, ids.length === 0 ? [notice('info', 'There is no lease.')] : []);
      setText(this.#status, ids.length === 0 ? '' : plural(ids.length, 'lease'));
      this.#more.hidden = shown.length === ids.length;
      await Promise.all(shown.map((id) => this.#readOne(id)));
      const kept = shown.flatMap((id) => this.#rows.get(id)?.element ?? []);
      for (const id of this.#rows.keys()) if (!shown.includes(id)) this.#rows.delete(id);
      if (!isShown(this.#body, kept)) fill(this.#body, kept);
      this.#tick();
    } catch (error) {
      fill(this.#message, [notice('error', textOf(error))]);
    }
    this.#isReading = false;
  }

  async #readOne(id: string): Promise<void> {
    const row =
      this.#rows.get(id) ?? newRow(id, hexText(id) === this.#surroundings.query.get('id'));
    this.#rows.set(id, row);
    const { gateway } = this.#surroundings;
    try {
      row.facts = await gateway.call<LeaseFacts>('lease/timetolive', { ID: id, keys: true });
      row.atMs = performance.now();
      showKeys(row);
    } catch (error) {
      row.shownKeys = '';
      fill(row.keys, [h('span', { class: 'bad-text' }, textOf(error))]);
    }
  }

  #tick(): void {
    for (const { facts, atMs, left, bar } of this.#rows.values()) {
      if (facts === undefined) continue;
      const granted = Number(facts.grantedTTL ?? 0);
      const rest = Math.max(0, Number(facts.TTL ?? 0) - (performance.now() - atMs) / 1000);
      setText(left, `${durationText(Math.ceil(rest))} of ${durationText(granted)}`);
      bar.style.width = `${granted > 0 ? Math.min(100, (100 * rest) / granted) : 0}%`;
    }
  }
}

function newRow(id: string, isWanted: boolean): Row {
  const left = h('span', { class: 'quiet' }, '–');
  const bar = h('div', { class: 'bar-fill' });
  const keys = h('div', { class: 'lease-keys' });
  const element = h(
    'article',
    { class: `lease ${isWanted ? 'wanted' : ''}`, 'aria-label': `lease ${hexText(id)}` },
    h('h3', { class: 'mono' }, hexText(id)),
    h(
      'div',
      { class: 'time-left' },
      left,
      h('div', { class: 'bar good', 'aria-hidden': 'true' }, bar),
    ),
    keys,
  );
  return { element, left, bar, keys, facts: undefined, atMs: 0, shownKeys: '' };
}

function showKeys(row: Row): void {
  const keys = row.facts?.keys ?? [];
  const text = `${keys.join()} ${keys.length}`;
  if (text === row.shownKeys) return;
  row.shownKeys = text;
  const links: Child[] = keys.slice(0, keysShownMax).map((key) => {
    const bytes = fromBase64(key);
    return h(
      'li',
      {},
      h('a', { class: 'mono', href: addressOf('keys', { k: toUrlText(bytes) }) }, shownText(bytes)),
    );
  });
  const rest = keys.length - keysShownMax;
  if (rest > 0) links.push(h('li', { class: 'quiet' }, `and ${`${rest} more`}`));
  fill(row.keys, [
    h('span', { class: 'quiet' }, keys.length === 0 ? 'no keys' : plural(keys.length, 'key')),
    h('ul', {}, ...links),
  ]);
}

function isShown(body: Element, elements: readonly Element[]): boolean {
  return (
    body.childElementCount === elements.length &&
    elements.every((each, at) => body.children[at] === each)
  );
}
