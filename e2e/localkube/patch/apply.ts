import { ApiError } from '../errors.ts';
import { clone, isObject, type JsonObject, type ManagedFieldsEntry } from '../objects.ts';
import { propertySchema, type Schema } from '../schema/schema.ts';
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
  const conflicts = findConflicts(others, claimed, changed);
  if (conflicts.length > 0 && !force) throw applyConflict(conflicts);
  const lost = FieldSet.from(conflicts.flatMap(({ paths }) => paths));
  const remaining = others.map((entry) =>
    withFields(entry, FieldSet.parse(entry.fieldsV1).minus(lost)),
  );
  const dropped = FieldSet.parse(earlier?.fieldsV1).minus(claimed);
  const object = pruneDropped(merged, dropped, remaining, schema);
  const mine = entryOf(writer, claimed, earlier);
  return { object, managedFields: tidy([...remaining, mine]) };
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
  return tidy([...others, entryOf(writer, mine, earlier)]);
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

function entryOf(
  writer: Writer,
  fields: FieldSet,
  earlier: ManagedFieldsEntry | undefined,
): ManagedFieldsEntry {
  const fieldsV1 = fields.toJson();
  const isSame = JSON.stringify(earlier?.fieldsV1) === JSON.stringify(fieldsV1);
  return {
    apiVersion: writer.apiVersion,
    fieldsType: 'FieldsV1',
    fieldsV1,
    manager: writer.manager,
    operation: writer.operation,
    ...(writer.subresource === '' ? {} : { subresource: writer.subresource }),
    ...(writer.subresource === 'scale'
      ? {}
      : { time: isSame ? (earlier?.time ?? writer.now) : writer.now }),
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

function findConflicts(
  others: readonly ManagedFieldsEntry[],
  claimed: FieldSet,
  changed: FieldSet,
): Conflict[] {
  return others.flatMap((entry) => {
    const owned = FieldSet.parse(entry.fieldsV1);
    const paths = [...claimed.paths()].filter((path) => changed.has(path) && owned.has(path));
    return paths.length === 0 ? [] : [{ entry, paths }];
  });
}

function applyConflict(conflicts: readonly Conflict[]): ApiError {
  const causes = conflicts.flatMap(({ entry, paths }) =>
    paths.map((path) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with ${managerText(entry)}`,
      field: pathText(path),
    })),
  );
  const texts = conflicts.map(({ entry, paths }) =>
    paths.length === 1
      ? `conflict with ${managerText(entry)}: ${pathText(paths[0] ?? [])}`
      : `conflicts with ${managerText(entry)}:\n${paths.map((path) => `- ${pathText(path)}`).join('\n')}`,
  );
  const count = `${causes.length} conflict${causes.length === 1 ? '' : 's'}`;
  return new ApiError(409, 'Conflict', `Apply failed with ${count}: ${texts.join('\n')}`, {
    causes,
  });
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
  const result = [...(live as unknown[])];
  for (const item of wanted as unknown[]) {
    const edge = itemEdge(item, schema);
    const position = result.findIndex((one) => itemEdge(one, schema) === edge);
    if (position < 0) result.push(clone(item));
    else result[position] = mergeValues(result[position], item, schema?.items);
  }
  return result;
}

/** Removes what the applier owned before, does not want any more, and nobody else owns. */
function pruneDropped(
  object: JsonObject,
  dropped: FieldSet,
  others: readonly ManagedFieldsEntry[],
  schema: Schema | undefined,
): JsonObject {
  const owned = others.map((entry) => FieldSet.parse(entry.fieldsV1));
  const removable = FieldSet.from(
    [...dropped.paths()].filter((path) => !owned.some((set) => set.covers(path))),
  );
  return removeFields(object, removable, schema) as JsonObject;
}

/** A value without the fields of a set; undefined where nothing is left of it. */
function removeFields(value: unknown, fields: FieldSet, schema: Schema | undefined): unknown {
  if (fields.children.size === 0) return value;
  if (Array.isArray(value)) {
    const kept = value.flatMap((item: unknown) => {
      const edge = itemEdge(item, schema);
      const inner = edge === undefined ? undefined : fields.children.get(edge);
      if (inner === undefined) return [item];
      if (inner.isMember) return [];
      return [removeFields(item, inner, schema?.items)];
    });
    return kept.length === 0 ? undefined : kept;
  }
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  for (const [name, inner] of Object.entries(value)) {
    const set = fields.children.get(`f:${name}`);
    if (set?.isMember === true) continue;
    const kept = set === undefined ? inner : removeFields(inner, set, propertySchema(schema, name));
    if (kept !== undefined) result[name] = kept;
  }
  return Object.keys(result).length === 0 ? undefined : result;
}
