import { notImplemented } from '../errors.ts';
import { canonical, clone, equal, isObject, type JsonObject } from '../objects.ts';
import { propertySchema, type Schema } from '../schema/schema.ts';

/**
 * Applies a strategic merge patch: as a merge patch, but lists with a merge key merge by it. Directives: `$patch: delete` and
 * `replace`, `$retainKeys`, `$deleteFromPrimitiveList/…`; `$setElementOrder/…`.
 */
export function applyStrategicPatch(
  target: JsonObject,
  patch: JsonObject,
  schema: Schema | undefined,
): JsonObject {
  if (patch['$patch'] === 'replace') return withoutDirectives(patch);
  if (patch['$patch'] === 'delete') return {};
  const result: JsonObject = retainKeys(target, patch);
  for (const [name, value] of Object.entries(patch)) {
    if (name.startsWith('$')) applyDirective(result, name, value);
    else if (value === null) delete result[name];
    else {
      const order = patch[`$setElementOrder/${name}`];
      result[name] = mergeValue(result[name], value, propertySchema(schema, name), order);
    }
  }
  return result;
}

function retainKeys(target: JsonObject, patch: JsonObject): JsonObject {
  const kept = patch['$retainKeys'];
  if (!Array.isArray(kept)) return { ...target };
  return Object.fromEntries(Object.entries(target).filter(([name]) => kept.includes(name)));
}

function applyDirective(result: JsonObject, name: string, value: unknown): void {
  const [directive, field] = name.split('/', 2);
  switch (directive) {
    case '$patch':
    case '$retainKeys':
    case '$setElementOrder':
      return;
    case '$deleteFromPrimitiveList': {
      const list = field === undefined ? undefined : result[field];
      if (field === undefined || !Array.isArray(list) || !Array.isArray(value)) return;
      result[field] = list.filter((item) => !value.some((gone) => equal(gone, item)));
      return;
    }
    default:
      throw notImplemented(`the strategic merge patch directive ${name}`);
  }
}

function mergeValue(
  current: unknown,
  value: unknown,
  schema: Schema | undefined,
  order: unknown,
): unknown {
  if (isObject(value)) {
    return applyStrategicPatch(isObject(current) ? current : {}, value, schema);
  }
  if (!Array.isArray(value)) return value;
  if (schema?.['x-kubernetes-patch-strategy'] !== 'merge') return clone(value);
  const key = schema['x-kubernetes-patch-merge-key'];
  const list = Array.isArray(current) ? current : [];
  const merged =
    key === undefined ? mergeSet(list, value) : mergeList(list, value, key, schema.items);
  return inOrder(merged, Array.isArray(order) ? order : value, list, key);
}

/**
 * The order of a merged list, as upstream: items that the patch names in its order ($setElementOrder or its own), the others
 * in their old order, woven together by the old positions.
 */
function inOrder(
  merged: readonly unknown[],
  wanted: readonly unknown[],
  old: readonly unknown[],
  key: string | undefined,
): unknown[] {
  const identity = (item: unknown) =>
    canonical(key !== undefined && isObject(item) ? item[key] : item);
  const oldPosition = new Map(old.map((item, position) => [identity(item), position]));
  const wantedPosition = new Map(wanted.map((item, position) => [identity(item), position]));
  const named = merged
    .filter((item) => wantedPosition.has(identity(item)))
    .sort(
      (a, b) => (wantedPosition.get(identity(a)) ?? 0) - (wantedPosition.get(identity(b)) ?? 0),
    );
  const others = merged.filter((item) => !wantedPosition.has(identity(item)));
  const result: unknown[] = [];
  for (const item of named) {
    const position = oldPosition.get(identity(item)) ?? -1;
    while (others.length > 0 && (oldPosition.get(identity(others[0])) ?? 0) < position)
      result.push(others.shift());
    result.push(item);
  }
  return [...result, ...others];
}

function mergeSet(current: readonly unknown[], added: readonly unknown[]): unknown[] {
  return [...current, ...added.filter((item) => !current.some((one) => equal(one, item)))];
}

function mergeList(
  current: readonly unknown[],
  patches: readonly unknown[],
  key: string,
  schema: Schema | undefined,
): unknown[] {
  let result = [...current];
  for (const patch of patches) {
    if (!isObject(patch)) continue;
    if (patch['$patch'] === 'replace') {
      result = patches.filter((item) => !isObject(item) || item['$patch'] !== 'replace');
      return result;
    }
    const position = result.findIndex((item) => isObject(item) && item[key] === patch[key]);
    const existing = result[position];
    if (patch['$patch'] === 'delete') {
      if (position >= 0) result.splice(position, 1);
    } else if (isObject(existing)) {
      result[position] = applyStrategicPatch(existing, patch, schema);
    } else {
      result.push(applyStrategicPatch({}, patch, schema));
    }
  }
  return result;
}

function withoutDirectives(patch: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(patch).filter(([name]) => !name.startsWith('$')));
}
