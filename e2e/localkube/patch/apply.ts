import { ApiError } from '../errors.ts';
import { clone, equal, isObject, type JsonObject, type ManagedFieldsEntry } from '../objects.ts';
import { isDeclared, propertySchema, type Schema } from '../schema/schema.ts';
import { compareFields, FieldSet, fieldSetOf, isAtomic, itemEdge, pathText } from './field-set.ts';

/**
 * Field ownership (managedFields) and server-side apply, after sigs.k8s.io/structured-merge-diff. Simplified: one version per
 * resource, so sets are never converted between versions.
 */
export interface Writer {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: string;
  readonly now: string;
}

/** Fields that nobody owns. */
const unowned = FieldSet.from([
  ['f:apiVersion'],
  ['f:kind'],
  ['f:metadata', 'f:name'],
  ['f:metadata', 'f:namespace'],
  ['f:metadata', 'f:uid'],
  ['f:metadata', 'f:selfLink'],
  ['f:metadata', 'f:generation'],
  ['f:metadata', 'f:resourceVersion'],
  ['f:metadata', 'f:creationTimestamp'],
  ['f:metadata', 'f:deletionTimestamp'],
  ['f:metadata', 'f:deletionGracePeriodSeconds'],
  ['f:metadata', 'f:managedFields'],
]);
/** Structs that Go always writes out: they are there before anybody sets them. */
const skeleton = FieldSet.from([['f:metadata']]);

interface Applied {
  readonly object: JsonObject;
  readonly managedFields: ManagedFieldsEntry[];
}

/** Merges what an applier wants into the live object. Throws 409 where it would take a field from another manager by accident. */
export function serverSideApply(
  live: JsonObject,
  managedFields: readonly ManagedFieldsEntry[],
  wanted: JsonObject,
  schema: Schema | undefined,
  writer: Writer,
  force: boolean,
): Applied {
  const claimed = fieldSetOf(wanted, schema).without(unowned);
  const others = managedFields.filter((entry) => !isSameWriter(entry, writer));
  const earlier = managedFields.find((entry) => isSameWriter(entry, writer));
  const merged = mergeObjects(live, wanted, schema);
  const { changed } = compareFields(live, merged, schema);
  const conflicts = findConflicts(others, changed);
  if (conflicts.length > 0 && !force) throw applyConflict(conflicts, changed);
  const lost = FieldSet.from(conflicts.flatMap(({ paths }) => paths));
  const remaining = others.map((entry) =>
    withFields(entry, FieldSet.parse(entry.fieldsV1).minus(lost)),
  );
  const dropped = FieldSet.parse(earlier?.fieldsV1).minus(claimed);
  const owned = [claimed, ...remaining.map((entry) => FieldSet.parse(entry.fieldsV1))];
  const object = pruneDropped(merged, dropped, owned, schema);
  const { removed } = compareFields(live, object, schema);
  // As upstream: an apply that changes nothing but ownership leaves no new time.
  const isChanged = !equal(object, live);
  const mine = entryOf(writer, claimed, isChanged ? writer.now : earlier?.time);
  return {
    object,
    managedFields: tidy([
      ...remaining.map((entry) =>
        withFields(entry, FieldSet.parse(entry.fieldsV1).without(removed)),
      ),
      mine,
    ]),
  };
}

/** The managedFields after an update (not an apply): changed fields become the writer's. */
export function trackUpdate(
  old: JsonObject,
  now: JsonObject,
  managedFields: readonly ManagedFieldsEntry[],
  schema: Schema | undefined,
  writer: Writer,
): ManagedFieldsEntry[] {
  const comparison = compareFields(old, now, schema);
  const changed = comparison.changed.without(unowned).minus(skeleton);
  const removed = comparison.removed.without(unowned);
  if (changed.isEmpty && removed.isEmpty) return [...managedFields];
  const earlier = managedFields.find((entry) => isSameWriter(entry, writer));
  const others = managedFields
    .filter((entry) => entry !== earlier)
    .map((entry) =>
      withFields(entry, FieldSet.parse(entry.fieldsV1).minus(changed).without(removed)),
    );
  const mine = FieldSet.parse(earlier?.fieldsV1).union(changed).without(removed);
  const isSame = equal(mine.toJson(), earlier?.fieldsV1);
  // As upstream: writes through scale leave no time.
  const time = writer.subresource === 'scale' || isSame ? earlier?.time : writer.now;
  return tidy([...others, entryOf(writer, mine, time)]);
}

function isSameWriter(entry: ManagedFieldsEntry, writer: Writer): boolean {
  return (
    entry.manager === writer.manager &&
    entry.operation === writer.operation &&
    (entry.subresource ?? '') === writer.subresource
  );
}

function withFields(entry: ManagedFieldsEntry, fields: FieldSet): ManagedFieldsEntry {
  return { ...entry, fieldsV1: fields.toJson() };
}

function entryOf(writer: Writer, fields: FieldSet, time: string | undefined): ManagedFieldsEntry {
  return {
    apiVersion: writer.apiVersion,
    fieldsType: 'FieldsV1',
    fieldsV1: fields.toJson(),
    manager: writer.manager,
    operation: writer.operation,
    ...(writer.subresource === '' ? {} : { subresource: writer.subresource }),
    ...(time === undefined ? {} : { time }),
  };
}

/** Without empty entries, in upstream's order. */
function tidy(entries: ManagedFieldsEntry[]): ManagedFieldsEntry[] {
  const rank = ({ operation, time = '', manager }: ManagedFieldsEntry) =>
    `${operation} ${time} ${manager}`;
  return entries
    .filter(({ fieldsV1 }) => Object.keys(fieldsV1).length > 0)
    .sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
}

interface Conflict {
  readonly entry: ManagedFieldsEntry;
  readonly paths: string[][];
}

/** Fields of other managers that would change. */
function findConflicts(others: readonly ManagedFieldsEntry[], changed: FieldSet): Conflict[] {
  return others.flatMap((entry) => {
    const owned = FieldSet.parse(entry.fieldsV1);
    const paths = [...changed.sortedPaths()].filter((path) => owned.has(path));
    return paths.length === 0 ? [] : [{ entry, paths }];
  });
}

function applyConflict(conflicts: readonly Conflict[], changed: FieldSet): ApiError {
  const causes = [...changed.sortedPaths()].flatMap((path) => {
    const field = pathText(path);
    return conflicts
      .filter(({ paths }) => paths.some((one) => pathText(one) === field))
      .map(({ entry }) => ({
        reason: 'FieldManagerConflict',
        message: `conflict with ${managerText(entry)}`,
        field,
      }));
  });
  const [only] = causes;
  const details = { causes };
  if (causes.length === 1 && only !== undefined) {
    const message = `Apply failed with 1 conflict: ${only.message}: ${only.field}`;
    return new ApiError(409, 'Conflict', message, details);
  }
  const texts = conflicts
    .map(({ entry, paths }) => {
      const lines = paths.map((path) => `- ${pathText(path)}`);
      return [`conflicts with ${managerText(entry)}:`, ...lines].join('\n');
    })
    .sort();
  const message = `Apply failed with ${causes.length} conflicts: ${texts.join('\n')}`;
  return new ApiError(409, 'Conflict', message, details);
}

function managerText({ manager, operation, subresource, apiVersion }: ManagedFieldsEntry): string {
  const where = subresource === undefined ? '' : ` with subresource "${subresource}"`;
  return `"${manager}"${where}${operation === 'Update' ? ` using ${apiVersion}` : ''}`;
}

function mergeObjects(
  live: JsonObject,
  wanted: JsonObject,
  schema: Schema | undefined,
): JsonObject {
  const result: JsonObject = { ...live };
  for (const [name, value] of Object.entries(wanted)) {
    result[name] = mergeValues(live[name], value, propertySchema(schema, name));
  }
  return result;
}

function mergeValues(live: unknown, wanted: unknown, schema: Schema | undefined): unknown {
  if (isAtomic(wanted, schema) || isAtomic(live, schema)) return clone(wanted);
  if (isObject(wanted)) return mergeObjects(isObject(live) ? live : {}, wanted, schema);
  if (!Array.isArray(wanted) || !Array.isArray(live)) return clone(wanted);
  return mergeLists(live, wanted, schema);
}

/**
 * Items of both lists, as upstream orders them: what the applier names in its order, each after those items of the live list
 * that only others know and that stood before it.
 */
function mergeLists(
  live: readonly unknown[],
  wanted: readonly unknown[],
  schema: Schema | undefined,
): unknown[] {
  const edgeOf = (item: unknown) => itemEdge(item, schema);
  const liveByEdge = new Map(live.map((item) => [edgeOf(item), item]));
  const wantedEdges = new Set(wanted.map(edgeOf));
  const shared = wanted.map(edgeOf).filter((edge) => liveByEdge.has(edge));
  const result: unknown[] = [];
  let position = 0;
  const takeOthersBefore = (edge: string | undefined) => {
    for (
      ;
      position < live.length && (edge === undefined || edgeOf(live[position]) !== edge);
      position += 1
    ) {
      if (!wantedEdges.has(edgeOf(live[position]))) result.push(live[position]);
    }
  };
  for (const item of wanted) {
    const edge = edgeOf(item);
    takeOthersBefore(shared[0]);
    result.push(mergeValues(liveByEdge.get(edge), item, schema?.items));
    if (edge !== shared[0]) continue;
    shared.shift();
    position += 1;
  }
  takeOthersBefore(undefined);
  return result;
}

/** Removes what the applier owned before, and what nobody owns now. */
function pruneDropped(
  object: JsonObject,
  dropped: FieldSet,
  owned: readonly FieldSet[],
  schema: Schema | undefined,
): JsonObject {
  const isHeld = (path: readonly string[]) =>
    owned.some((set) => (isStructField(path, schema) ? set.covers(path) : set.has(path)));
  const removable = FieldSet.from([...dropped.paths()].filter((path) => !isHeld(path)));
  return removeFields(object, removable, schema, owned) as JsonObject;
}

/**
 * Whether a path ends in a declared field. Such a one is held by whoever owns anything in it; an item of a list or a map only
 * by whoever owns the item itself.
 */
function isStructField(path: readonly string[], root: Schema | undefined): boolean {
  let schema = root;
  for (const edge of path.slice(0, -1)) {
    schema = edge.startsWith('f:') ? propertySchema(schema, edge.slice(2)) : schema?.items;
  }
  const last = path.at(-1) ?? '';
  return last.startsWith('f:') && isDeclared(schema, last.slice(2));
}

/**
 * A value without the fields of a set. What loses its last field goes as well (undefined), unless another manager owns it
 * itself: then it stays, empty.
 */
function removeFields(
  value: unknown,
  fields: FieldSet,
  schema: Schema | undefined,
  owners: readonly FieldSet[],
): unknown {
  if (fields.children.size === 0) return value;
  const isOwned = owners.some((set) => set.isMember);
  const below = (edge: string) =>
    owners.flatMap((set) => {
      const inner = set.children.get(edge);
      return inner === undefined ? [] : [inner];
    });
  if (Array.isArray(value)) {
    const kept = value.flatMap((item: unknown) => {
      const edge = itemEdge(item, schema) ?? '';
      const inner = fields.children.get(edge);
      if (inner === undefined) return [item];
      if (inner.isMember) return [];
      return [removeFields(item, inner, schema?.items, below(edge)) ?? {}];
    });
    return kept.length === 0 && !isOwned ? undefined : kept;
  }
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  for (const [name, inner] of Object.entries(value)) {
    const edge = `f:${name}`;
    const set = fields.children.get(edge);
    if (set?.isMember === true) continue;
    const kept =
      set === undefined
        ? inner
        : removeFields(inner, set, propertySchema(schema, name), below(edge));
    if (kept !== undefined) result[name] = kept;
  }
  return Object.keys(result).length === 0 && !isOwned ? undefined : result;
}
