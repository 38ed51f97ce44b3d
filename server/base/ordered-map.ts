import { defined } from './assert.ts';

/** A node holds at most this many entries or children. */
const nodeSizeMax = 64;
/** A node that shrank below this is merged with a neighbour that has room. */
const nodeSizeMin = nodeSizeMax / 4;

/** Called for each entry in order; `false` ends the walk. The map must not be changed meanwhile. */
export type Visit<V> = (value: V, key: string) => boolean | void;

export interface OrderedMapOptions<V> {
  /** What the entry counts in {@link OrderedMap.count}; a change goes through {@link OrderedMap.addWeight}. */
  weightOf(value: V): number;
}

/**
 * A B+ tree from latin-1 strings to values, in bytewise order of the keys.
 * Each node knows the sum of its entries' weights, so that counting a range costs two paths, whatever its length.
 */
export class OrderedMap<V> {
  readonly #weightOf: (value: V) => number;
  #root: Node<V> = leaf([], []);
  #size = 0;
  /** Of the set under way: whether it makes a new entry, and by how much it changes the weight. */
  #created = false;
  #delta = 0;

  constructor(options: OrderedMapOptions<V> = { weightOf: () => 1 }) {
    this.#weightOf = options.weightOf;
  }

  get size(): number {
    return this.#size;
  }

  get(key: string): V | undefined {
    let node = this.#root;
    while (node.children !== undefined) node = node.children[childAt(node.keys, key)] as Node<V>;
    const index = lowerBound(node.keys, key);
    return node.keys[index] === key ? (node.values as V[])[index] : undefined;
  }

  set(key: string, value: V): void {
    this.#delta = this.#weightOf(value);
    this.#created = false;
    this.#setIn(this.#root, key, value);
    if (this.#root.keys.length > nodeSizeMax) this.#growRoot();
    if (this.#created) this.#size++;
  }

  /** To be called after the weight of the key's value has changed by `delta`. */
  addWeight(key: string, delta: number): void {
    if (delta === 0) return;
    let node = this.#root;
    for (;;) {
      node.weight += delta;
      if (node.children === undefined) return;
      node = node.children[childAt(node.keys, key)] as Node<V>;
    }
  }

  delete(key: string): boolean {
    if (!this.#deleteIn(this.#root, key)) return false;
    this.#size--;
    const { children } = this.#root;
    if (children?.length === 1) this.#root = defined(children[0], 'only child');
    return true;
  }

  /** Visits the entries with `start <= key < end` (`end` undefined: to the last), ascending. */
  forEach(start: string, end: string | undefined, visit: Visit<V>): void {
    walk(this.#root, start, end, visit);
  }

  /** The same, descending. */
  forEachReverse(start: string, end: string | undefined, visit: Visit<V>): void {
    walkReverse(this.#root, start, end, visit);
  }

  /** The sum of the weights in the range. */
  count(start: string, end: string | undefined): number {
    return countIn(this.#root, start, end, this.#weightOf);
  }

  #setIn(node: Node<V>, key: string, value: V): void {
    if (node.children === undefined) {
      this.#setInLeaf(node, key, value);
      return;
    }
    const index = childAt(node.keys, key);
    const child = node.children[index] as Node<V>;
    this.#setIn(child, key, value);
    node.weight += this.#delta;
    if (child.keys.length > nodeSizeMax) this.#splitChild(node, index, child, key);
  }

  #setInLeaf(node: Node<V>, key: string, value: V): void {
    const values = node.values as V[];
    const index = lowerBound(node.keys, key);
    if (node.keys[index] === key) {
      this.#delta -= this.#weightOf(values[index] as V);
      values[index] = value;
    } else {
      node.keys.splice(index, 0, key);
      values.splice(index, 0, value);
      this.#created = true;
    }
    node.weight += this.#delta;
  }

  #growRoot(): void {
    const old = this.#root;
    const root = branch([''], [old]);
    root.weight = old.weight;
    this.#root = root;
    this.#splitChild(root, 0, old, undefined);
  }

  /** Keys that come in ascending order leave full nodes behind; others split in the middle. */
  #splitChild(parent: Node<V>, index: number, child: Node<V>, key: string | undefined): void {
    const isAppend = key !== undefined && child.keys[child.keys.length - 1] === key;
    const right = split(child, isAppend ? nodeSizeMax : nodeSizeMax >> 1);
    right.weight = sumOfWeights(right, this.#weightOf);
    child.weight -= right.weight;
    parent.keys.splice(index + 1, 0, right.keys[0] as string);
    (parent.children as Node<V>[]).splice(index + 1, 0, right);
  }

  #deleteIn(node: Node<V>, key: string): boolean {
    if (node.children === undefined) return this.#deleteLeaf(node, key);
    const index = childAt(node.keys, key);
    const child = node.children[index] as Node<V>;
    const before = child.weight;
    if (!this.#deleteIn(child, key)) return false;
    node.weight -= before - child.weight;
    if (child.keys.length === 0) removeChild(node, index);
    else if (child.keys.length < nodeSizeMin) mergeChild(node, index);
    return true;
  }

  #deleteLeaf(node: Node<V>, key: string): boolean {
    const index = lowerBound(node.keys, key);
    if (node.keys[index] !== key) return false;
    const values = node.values as V[];
    node.weight -= this.#weightOf(values[index] as V);
    node.keys.splice(index, 1);
    values.splice(index, 1);
    return true;
  }
}

/**
 * A leaf has `values`, one for each key. A branch has `children`; `keys[i]` is a lower bound of the keys in
 * `children[i]` and above those of `children[i - 1]`. One shape for both keeps the walks monomorphic.
 */
interface Node<V> {
  keys: string[];
  values: V[] | undefined;
  children: Node<V>[] | undefined;
  weight: number;
}

function leaf<V>(keys: string[], values: V[]): Node<V> {
  return { keys, values, children: undefined, weight: 0 };
}

function branch<V>(keys: string[], children: Node<V>[]): Node<V> {
  return { keys, values: undefined, children, weight: 0 };
}

/** The first index whose key is not below `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The index of the child that holds `key` if any does. */
function childAt(keys: readonly string[], key: string): number {
  let low = 1;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Cuts off and returns what stands from `at` on. */
function split<V>(node: Node<V>, at: number): Node<V> {
  const keys = node.keys.splice(at);
  return node.children === undefined
    ? leaf(keys, (node.values as V[]).splice(at))
    : branch(keys, node.children.splice(at));
}

function sumOfWeights<V>(node: Node<V>, weightOf: (value: V) => number): number {
  let sum = 0;
  if (node.children === undefined) for (const value of node.values as V[]) sum += weightOf(value);
  else for (const child of node.children) sum += child.weight;
  return sum;
}

function removeChild<V>(parent: Node<V>, index: number): void {
  parent.keys.splice(index, 1);
  (parent.children as Node<V>[]).splice(index, 1);
}

function mergeChild<V>(parent: Node<V>, index: number): void {
  const left = index > 0 ? index - 1 : 0;
  const children = parent.children as Node<V>[];
  const into = children[left] as Node<V>;
  const from = children[left + 1];
  if (from === undefined || into.keys.length + from.keys.length > nodeSizeMax) return;
  if (into.children === undefined) (into.values as V[]).push(...(from.values as V[]));
  else into.children.push(...(from.children as Node<V>[]));
  const firstKey = into.children === undefined ? from.keys[0] : parent.keys[left + 1];
  into.keys.push(firstKey as string, ...from.keys.slice(1));
  into.weight += from.weight;
  removeChild(parent, left + 1);
}

function walk<V>(
  node: Node<V>,
  start: string,
  end: string | undefined,
  visit: Visit<V>,
): boolean | void {
  const { keys, children } = node;
  if (children !== undefined) {
    for (let index = childAt(keys, start); index < children.length; index++) {
      if (walk(children[index] as Node<V>, start, end, visit) === false) return false;
    }
    return;
  }
  const values = node.values as V[];
  for (let index = lowerBound(keys, start); index < keys.length; index++) {
    const key = keys[index] as string;
    if ((end !== undefined && key >= end) || visit(values[index] as V, key) === false) return false;
  }
}

function walkReverse<V>(
  node: Node<V>,
  start: string,
  end: string | undefined,
  visit: Visit<V>,
): boolean | void {
  const { keys, children } = node;
  if (children !== undefined) {
    const last = end === undefined ? children.length - 1 : childAt(keys, end);
    for (let index = last; index >= 0; index--) {
      if (walkReverse(children[index] as Node<V>, start, end, visit) === false) return false;
    }
    return;
  }
  const values = node.values as V[];
  const after = end === undefined ? keys.length : lowerBound(keys, end);
  for (let index = after - 1; index >= 0; index--) {
    const key = keys[index] as string;
    if (key < start || visit(values[index] as V, key) === false) return false;
  }
}

function countIn<V>(
  node: Node<V>,
  start: string | undefined,
  end: string | undefined,
  weightOf: (value: V) => number,
): number {
  if (start === undefined && end === undefined) return node.weight;
  const { keys, children } = node;
  let sum = 0;
  if (children === undefined) {
    const from = start === undefined ? 0 : lowerBound(keys, start);
    const to = end === undefined ? keys.length : lowerBound(keys, end);
    for (let index = from; index < to; index++) sum += weightOf((node.values as V[])[index] as V);
    return sum;
  }
  const first = start === undefined ? 0 : childAt(keys, start);
  const last = end === undefined ? children.length - 1 : childAt(keys, end);
  for (let index = first; index <= last; index++) {
    const childStart = index === first ? start : undefined;
    const childEnd = index === last ? end : undefined;
    sum += countIn(children[index] as Node<V>, childStart, childEnd, weightOf);
  }
  return sum;
}
