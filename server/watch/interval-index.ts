import type { KeyRange } from '../mvcc/key-range.ts';

/**
 * A map from intervals of keys to values that finds every interval a key lies in. Single keys are hashed; the others
 * are in an AVL tree ordered by (start, end) in which each node knows the greatest end below it, so a look-up visits
 * O(log n) nodes for each interval found, and O(log n) when there is none.
 */
export class IntervalIndex<V> {
  readonly #singles = new Map<string, V>();
  #root: Node<V> | undefined = undefined;
  #treeSize = 0;

  get size(): number {
    return this.#singles.size + this.#treeSize;
  }

  get(interval: KeyRange): V | undefined {
    if (interval.single) return this.#singles.get(interval.start);
    let node = this.#root;
    while (node !== undefined) {
      const side = compareIntervals(interval, node);
      if (side === 0) return node.value;
      node = side < 0 ? node.left : node.right;
    }
    return undefined;
  }

  /** Adds the interval, or replaces its value. An empty one is never found by a key. */
  set(interval: KeyRange, value: V): void {
    if (interval.single) {
      this.#singles.set(interval.start, value);
      return;
    }
    this.#root = this.#insert(this.#root, interval, value);
  }

  delete(interval: KeyRange): void {
    if (interval.single) {
      this.#singles.delete(interval.start);
      return;
    }
    this.#root = this.#remove(this.#root, interval);
  }

  /** Visits the value of each interval that contains the key. */
  stab(key: string, visit: (value: V) => void): void {
    const single = this.#singles.get(key);
    if (single !== undefined) visit(single);
    stabTree(this.#root, key, visit);
  }

  #insert(node: Node<V> | undefined, interval: KeyRange, value: V): Node<V> {
    if (node === undefined) {
      this.#treeSize += 1;
      return newNode(interval, value);
    }
    const side = compareIntervals(interval, node);
    if (side === 0) node.value = value;
    else if (side < 0) node.left = this.#insert(node.left, interval, value);
    else node.right = this.#insert(node.right, interval, value);
    return balanced(node);
  }

  #remove(node: Node<V> | undefined, interval: KeyRange): Node<V> | undefined {
    if (node === undefined) return undefined;
    const side = compareIntervals(interval, node);
    if (side < 0) node.left = this.#remove(node.left, interval);
    else if (side > 0) node.right = this.#remove(node.right, interval);
    else {
      this.#treeSize -= 1;
      return joined(node.left, node.right);
    }
    return balanced(node);
  }
}

interface Node<V> {
  readonly start: string;
  readonly end: string | undefined;
  value: V;
  left: Node<V> | undefined;
  right: Node<V> | undefined;
  height: number;
  /** The greatest end in this subtree; undefined: open. */
  endMax: string | undefined;
}

function newNode<V>({ start, end }: KeyRange, value: V): Node<V> {
  return { start, end, value, left: undefined, right: undefined, height: 1, endMax: end };
}

function stabTree<V>(node: Node<V> | undefined, key: string, visit: (value: V) => void): void {
  if (node === undefined || !isBefore(key, node.endMax)) return;
  stabTree(node.left, key, visit);
  if (key < node.start) return;
  if (isBefore(key, node.end)) visit(node.value);
  stabTree(node.right, key, visit);
}

function isBefore(key: string, end: string | undefined): boolean {
  return end === undefined || key < end;
}

function compareIntervals(a: Pick<KeyRange, 'start' | 'end'>, b: Pick<KeyRange, 'start' | 'end'>) {
  if (a.start !== b.start) return a.start < b.start ? -1 : 1;
  if (a.end === b.end) return 0;
  if (a.end === undefined) return 1;
  return b.end === undefined || a.end < b.end ? -1 : 1;
}

/** One tree of two that differ in height by at most 1, every interval of `left` being before those of `right`. */
function joined<V>(left: Node<V> | undefined, right: Node<V> | undefined): Node<V> | undefined {
  if (right === undefined) return left;
  const { first, rest } = withoutFirst(right);
  first.left = left;
  first.right = rest;
  return balanced(first);
}

function withoutFirst<V>(node: Node<V>): { first: Node<V>; rest: Node<V> | undefined } {
  if (node.left === undefined) return { first: node, rest: node.right };
  const { first, rest } = withoutFirst(node.left);
  node.left = rest;
  return { first, rest: balanced(node) };
}

/** The subtree with its height and greatest end made right, rotated when its sides differ by 2. */
function balanced<V>(node: Node<V>): Node<V> {
  const lean = height(node.left) - height(node.right);
  if (lean > 1 && node.left !== undefined) {
    if (height(node.left.left) < height(node.left.right)) node.left = rotatedLeft(node.left);
    return rotatedRight(node);
  }
  if (lean < -1 && node.right !== undefined) {
    if (height(node.right.right) < height(node.right.left)) node.right = rotatedRight(node.right);
    return rotatedLeft(node);
  }
  refresh(node);
  return node;
}

function rotatedLeft<V>(node: Node<V>): Node<V> {
  const top = node.right;
  if (top === undefined) return node;
  node.right = top.left;
  refresh(node);
  top.left = node;
  refresh(top);
  return top;
}

function rotatedRight<V>(node: Node<V>): Node<V> {
  const top = node.left;
  if (top === undefined) return node;
  node.left = top.right;
  refresh(node);
  top.right = node;
  refresh(top);
  return top;
}

function refresh<V>(node: Node<V>): void {
  node.height = 1 + Math.max(height(node.left), height(node.right));
  node.endMax = node.end;
  if (node.left !== undefined) node.endMax = later(node.endMax, node.left.endMax);
  if (node.right !== undefined) node.endMax = later(node.endMax, node.right.endMax);
}

function later(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return undefined;
  return a < b ? b : a;
}

function height<V>(node: Node<V> | undefined): number {
  return node === undefined ? 0 : node.height;
}
