import { canonical, equal, isObject, type JsonObject } from '../objects.ts';
import { isDeclared, listKeys, propertySchema, type Schema } from '../schema/schema.ts';

/**
 * A set of field paths, as managedFields spell it (FieldsV1): a tree whose edges are `f:name`, `k:{"name":"a"}` (item of a
 * `map` list) or `v:"x"` (item of a `set` list). A node is a member itself when the JSON has "." in it, or is a leaf.
 */
export class FieldSet {
  isMember = false;
  readonly children = new Map<string, FieldSet>();

  static parse(fields: unknown): FieldSet {
    const set = new FieldSet();
    if (!isObject(fields)) return set;
    const names = Object.keys(fields);
    set.isMember = names.length === 0 || Object.hasOwn(fields, '.');
    for (const name of names) {
      if (name !== '.') set.children.set(name, FieldSet.parse(fields[name]));
    }
    return set;
  }

  toJson(): JsonObject {
    const entries = [...this.children]
      .filter(([, inner]) => !inner.isEmpty)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([edge, inner]): [string, unknown] => [edge, inner.toJson()]);
    const self: [string, unknown][] = this.isMember && entries.length > 0 ? [['.', {}]] : [];
    return Object.fromEntries([...self, ...entries]);
  }

  get isEmpty(): boolean {
    return !this.isMember && [...this.children.values()].every((inner) => inner.isEmpty);
  }

  child(edge: string): FieldSet {
    let inner = this.children.get(edge);
    if (inner === undefined) {
      inner = new FieldSet();
      this.children.set(edge, inner);
    }
    return inner;
  }

  insert(path: readonly string[]): void {
    const [edge, ...rest] = path;
    if (edge === undefined) this.isMember = true;
    else this.child(edge).insert(rest);
  }

  has(path: readonly string[]): boolean {
    return this.#find(path)?.isMember === true;
  }

  /** Whether the path or anything below it is in the set. */
  covers(path: readonly string[]): boolean {
    const node = this.#find(path);
    return node !== undefined && !node.isEmpty;
  }

  /** The node at a path. */
  #find(path: readonly string[]): FieldSet | undefined {
    const [edge, ...rest] = path;
    if (edge === undefined) return this;
    const inner = this.children.get(edge);
    return inner === undefined ? undefined : inner.#find(rest);
  }

  /** Every member path, parents first. */
  *paths(prefix: readonly string[] = []): Generator<string[]> {
    if (this.isMember && prefix.length > 0) yield [...prefix];
    for (const [edge, inner] of this.children) yield* inner.paths([...prefix, edge]);
  }

  /** As paths, in upstream's order: at each level first the members, then what is below. */
  *sortedPaths(prefix: readonly string[] = []): Generator<string[]> {
    const children = [...this.children].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [edge, inner] of children) if (inner.isMember) yield [...prefix, edge];
    for (const [edge, inner] of children) yield* inner.sortedPaths([...prefix, edge]);
  }

  union(other: FieldSet): FieldSet {
    return FieldSet.from([...this.paths(), ...other.paths()]);
  }

  /** Without the members of the other set. */
  minus(other: FieldSet): FieldSet {
    return FieldSet.from([...this.paths()].filter((path) => !other.has(path)));
  }

  /** Without the members of the other set and all that is below them. */
  without(other: FieldSet): FieldSet {
    const under = (path: readonly string[]) =>
      path.some((_edge, position) => other.has(path.slice(0, position + 1)));
    return FieldSet.from([...this.paths()].filter((path) => !under(path)));
  }

  static from(paths: Iterable<readonly string[]>): FieldSet {
    const set = new FieldSet();
    for (const path of paths) set.insert(path);
    return set;
  }
}

/** The edge that names an item of a list, or undefined where items have no name (atomic lists). */
export function itemEdge(item: unknown, schema: Schema | undefined): string | undefined {
  if (schema?.['x-kubernetes-list-type'] === 'set') return `v:${canonical(item)}`;
  const keys = listKeys(schema);
  if (keys.length === 0 || !isObject(item)) return undefined;
  const identity = keys.map((key) => [
    key,
    item[key] ?? schema?.items?.properties?.[key]?.default ?? keyDefault(key),
  ]);
  return `k:${canonical(Object.fromEntries(identity.filter(([, value]) => value !== undefined)))}`;
}

/** The one defaulted key of built-in lists. */
function keyDefault(key: string): string | undefined {
  return key === 'protocol' ? 'TCP' : undefined;
}

/** Whether server-side apply owns the value as a whole. */
export function isAtomic(value: unknown, schema: Schema | undefined): boolean {
  if (Array.isArray(value)) {
    const kind = schema?.['x-kubernetes-list-type'];
    return kind !== 'map' && kind !== 'set';
  }
  if (!isObject(value)) return true;
  return schema?.['x-kubernetes-map-type'] === 'atomic';
}

/** Every field that a document sets: what an applier claims. */
export function fieldSetOf(value: JsonObject, schema: Schema | undefined): FieldSet {
  const set = new FieldSet();
  collectObject(value, schema, [], set);
  return set;
}

function collectObject(
  value: JsonObject,
  schema: Schema | undefined,
  path: readonly string[],
  set: FieldSet,
): void {
  for (const [name, inner] of Object.entries(value)) {
    const here = [...path, `f:${name}`];
    collect(inner, propertySchema(schema, name), here, set);
    if (!isDeclared(schema, name)) set.insert(here);
  }
}

function collect(
  value: unknown,
  schema: Schema | undefined,
  path: readonly string[],
  set: FieldSet,
): void {
  if (isAtomic(value, schema)) return set.insert(path);
  if (Array.isArray(value)) {
    for (const item of value as unknown[]) {
      const edge = itemEdge(item, schema);
      if (edge === undefined) continue;
      set.insert([...path, edge]);
      if (isObject(item)) collectObject(item, schema?.items, [...path, edge], set);
    }
    return;
  }
  if (!isObject(value)) return;
  if (Object.keys(value).length === 0) set.insert(path);
  collectObject(value, schema, path, set);
}

export interface Comparison {
  readonly changed: FieldSet;
  readonly removed: FieldSet;
}

/** Which fields differ between two documents: added or modified ones, and removed ones. */
export function compareFields(
  old: JsonObject,
  now: JsonObject,
  schema: Schema | undefined,
): Comparison {
  const comparison = { changed: new FieldSet(), removed: new FieldSet() };
  compareObjects(old, now, schema, [], comparison);
  return comparison;
}

function compareObjects(
  old: JsonObject,
  now: JsonObject,
  schema: Schema | undefined,
  path: readonly string[],
  comparison: Comparison,
): void {
  for (const name of new Set([...Object.keys(old), ...Object.keys(now)])) {
    const here = [...path, `f:${name}`];
    compareValues(old[name], now[name], propertySchema(schema, name), here, comparison);
  }
}

function compareValues(
  old: unknown,
  now: unknown,
  schema: Schema | undefined,
  path: readonly string[],
  comparison: Comparison,
): void {
  if (equal(old, now)) return;
  if (old === undefined) {
    comparison.changed.insert(path);
  } else if (now === undefined) {
    comparison.removed.insert(path);
  } else if (isAtomic(old, schema) || isAtomic(now, schema)) {
    comparison.changed.insert(path);
    if (!isAtomic(old, schema)) compareInside(old, undefined, schema, path, comparison);
    if (!isAtomic(now, schema)) compareInside(undefined, now, schema, path, comparison);
    return;
  }
  if (!isAtomic(old ?? now, schema)) compareInside(old, now, schema, path, comparison);
}

function compareInside(
  old: unknown,
  now: unknown,
  schema: Schema | undefined,
  path: readonly string[],
  comparison: Comparison,
): void {
  const present = old ?? now;
  if (Array.isArray(present)) compareLists(asArray(old), asArray(now), schema, path, comparison);
  else compareObjects(isObject(old) ? old : {}, isObject(now) ? now : {}, schema, path, comparison);
}

function compareLists(
  old: readonly unknown[],
  now: readonly unknown[],
  schema: Schema | undefined,
  path: readonly string[],
  comparison: Comparison,
): void {
  const byEdge = (list: readonly unknown[]) =>
    new Map(list.map((item) => [itemEdge(item, schema) ?? '', item]));
  const [before, after] = [byEdge(old), byEdge(now)];
  for (const edge of new Set([...before.keys(), ...after.keys()])) {
    const here = [...path, edge];
    const [oldItem, newItem] = [before.get(edge), after.get(edge)];
    if (edge.startsWith('v:')) {
      if (oldItem === undefined) comparison.changed.insert(here);
      if (newItem === undefined) comparison.removed.insert(here);
    } else {
      compareValues(oldItem, newItem, schema?.items, here, comparison);
    }
  }
}

function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** `.spec.ports[name="http"].port`, as conflict messages show a path. */
export function pathText(path: readonly string[]): string {
  return path
    .map((edge) => {
      const value = edge.slice(2);
      if (edge.startsWith('f:')) return `.${value}`;
      if (edge.startsWith('v:')) return `[=${value}]`;
      const keys = Object.entries(JSON.parse(value) as JsonObject);
      return `[${keys.map(([key, inner]) => `${key}=${JSON.stringify(inner)}`).join(',')}]`;
    })
    .join('');
}
