import { hexLines, shownLines, utf8Text } from './bytes.ts';
import { h, setText } from './dom.ts';
import { bytesText } from './format.ts';

type Form = 'json' | 'text' | 'hex';

/** More than this is shown only when it is asked for. */
const shownBytesMax = 64 * 1024;
const names: Readonly<Record<Form, string>> = { text: 'Text', json: 'JSON', hex: 'Hex' };

/** A value as text, JSON or hexadecimal; at first as what it is. */
export class ValuePanel {
  readonly element: HTMLElement;
  readonly #output = h('pre', { class: 'value-text', tabindex: 0 });
  readonly #size = h('span', { class: 'quiet' });
  readonly #more: HTMLButtonElement;
  readonly #buttons: ReadonlyMap<Form, HTMLButtonElement>;
  #bytes: Uint8Array = new Uint8Array();
  /** What the person has chosen; else what fits. */
  #chosen: Form | undefined;
  #isWhole = false;

  constructor() {
    this.#buttons = new Map(
      (['text', 'json', 'hex'] as const).map((form) => [
        form,
        h('button', { type: 'button', on: { click: () => this.#choose(form) } }, names[form]),
      ]),
    );
    this.#more = h(
      'button',
      { type: 'button', on: { click: () => this.#showAll() } },
      'Show all of it',
    );
    const forms = h('div', {
      class: 'segmented',
      role: 'group',
      'aria-label': 'form of the value',
    });
    forms.append(...this.#buttons.values());
    this.element = h(
      'div',
      { class: 'value-panel' },
      h('div', { class: 'row' }, forms, this.#size),
      this.#output,
      this.#more,
    );
  }

  show(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#isWhole = false;
    this.#draw();
  }

  #choose(form: Form): void {
    this.#chosen = form;
    this.#draw();
  }

  #showAll(): void {
    this.#isWhole = true;
    this.#draw();
  }

  #draw(): void {
    const isCut = !this.#isWhole && this.#bytes.length > shownBytesMax;
    const bytes = isCut ? this.#bytes.subarray(0, shownBytesMax) : this.#bytes;
    const text = utf8Text(this.#bytes);
    const json = text === undefined ? undefined : prettyJson(text);
    const possible: Readonly<Record<Form, boolean>> = {
      text: text !== undefined,
      json: json !== undefined,
      hex: true,
    };
    const fitting: Form = json !== undefined ? 'json' : text !== undefined ? 'text' : 'hex';
    const form = this.#chosen !== undefined && possible[this.#chosen] ? this.#chosen : fitting;
    for (const [each, button] of this.#buttons) {
      button.disabled = !possible[each];
      button.setAttribute('aria-pressed', String(each === form));
    }
    const forms: Readonly<Record<Form, () => string>> = {
      json: () => cut(json ?? '', isCut),
      text: () => cut(text ?? '', isCut),
      hex: () => hexLines(bytes),
    };
    setText(this.#output, forms[form]());
    this.#output.classList.toggle('empty', this.#bytes.length === 0);
    setText(this.#size, this.#bytes.length === 0 ? 'empty' : bytesText(this.#bytes.length));
    this.#more.hidden = !isCut;
  }
}

function cut(text: string, isCut: boolean): string {
  return shownLines(isCut ? `${text.slice(0, shownBytesMax)}…` : text);
}

/** Objects and lists; a number or a word is text. */
function prettyJson(text: string): string | undefined {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    const pretty = JSON.stringify(value, undefined, 2);
    return isSame(text, pretty) ? pretty : text;
  } catch {
    return undefined;
  }
}

/** JavaScript has fewer digits than JSON, and an order of names of its own: what would be shown wrong is shown as it is. */
function isSame(text: string, pretty: string): boolean {
  return text.replaceAll(/\s/g, '') === pretty.replaceAll(/\s/g, '');
}

/** The beginning of a value, on one line. */
export function previewOf(bytes: Uint8Array, lengthMax = 120): string {
  const text = utf8Text(bytes) ?? hexLines(bytes.subarray(0, 16)).slice(8, 56).trim();
  const line = shownLines(text.slice(0, 2 * lengthMax)).replaceAll(/\s+/g, ' ');
  return line.length > lengthMax ? `${line.slice(0, lengthMax)}…` : line;
}
