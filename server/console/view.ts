import type { Gateway } from './gateway.ts';
import type { Observer } from './observer.ts';

/** What every view gets. */
export interface Surroundings {
  readonly gateway: Gateway;
  readonly observer: Observer;
  /** Of the address behind the view's name. */
  readonly query: URLSearchParams;
}

/** One view on the page, from when it is shown until another one is. */
export interface View {
  readonly element: HTMLElement;
  /** The store was looked at again. */
  looked?(): void;
  /** Another part of the same view is asked for; false when it has to be made anew. */
  moved?(query: URLSearchParams): boolean;
  /** `r` was pressed. */
  refresh?(): void;
  /** Another key; true when it meant something here. */
  pressed?(key: string): boolean;
  /** The view is left. */
  closed?(): void;
}

/** The address of a view. */
export function addressOf(
  view: string,
  query: Readonly<Record<string, string | undefined>> = {},
): string {
  const given = Object.entries(query).filter((pair): pair is [string, string] => Boolean(pair[1]));
  const text = new URLSearchParams(given).toString();
  return `#/${view}${text === '' ? '' : `?${text}`}`;
}

/** Moves the focus among links or buttons, as a list of files does. */
export function moveFocus(items: readonly HTMLElement[], step: 1 | -1): boolean {
  if (items.length === 0) return false;
  const at = items.findIndex((item) => item === document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : items.length - 1) : at + step;
  items[Math.min(items.length - 1, Math.max(0, next))]?.focus();
  return true;
}
