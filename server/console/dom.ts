// Elements, made without any HTML: what stores hold is text here and nothing else.

/** `on` listens; `class` and what else is an attribute is set as one. */
export interface Properties {
  readonly class?: string;
  readonly on?: Readonly<Record<string, (event: Event) => void>>;
  readonly [attribute: string]: unknown;
}

export type Child = Node | string | undefined;

/** Attributes that run or load something are not for this. */
const refused = /^on.|^(style|srcdoc|src)$/;

export function h<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  properties: Properties = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  dress(element, properties);
  fill(element, children);
  return element;
}

const svgNamespace = 'http://www.w3.org/2000/svg';

export function svg<Name extends keyof SVGElementTagNameMap>(
  name: Name,
  properties: Properties = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[Name] {
  const element = document.createElementNS(svgNamespace, name);
  dress(element, properties);
  fill(element, children);
  return element;
}

function dress(element: Element, { on = {}, ...attributes }: Properties): void {
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  for (const [name, value] of Object.entries(attributes)) {
    if (refused.test(name)) throw new Error(`the attribute ${name} is not for here`);
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? '' : String(value));
  }
}

/** In place of what was there. Strings become text. */
export function fill(element: Element, children: readonly Child[]): void {
  element.replaceChildren(...children.filter((child) => child !== undefined));
}

/** Only a change is written: who reads it, or has it selected, is not disturbed. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Fills an element anew only when what it shows has changed. */
export class Slot {
  readonly element: Element;
  #shown: string | undefined;

  constructor(element: Element) {
    this.element = element;
  }

  show(what: unknown, build: () => readonly Child[]): void {
    const text = JSON.stringify(what);
    if (text === this.#shown) return;
    this.#shown = text;
    fill(this.element, build());
  }
}

/** What went wrong, where it was asked for. */
export function notice(kind: 'error' | 'info', text: string): HTMLElement {
  return h('p', { class: `notice ${kind}`, role: kind === 'error' ? 'alert' : 'status' }, text);
}

export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no ${id}`);
  return element;
}
