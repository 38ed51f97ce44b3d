import fc from 'fast-check';
import protobuf from 'protobufjs';
import * as auth from '../../../server/proto/gen/auth.ts';
import * as election from '../../../server/proto/gen/election.ts';
import * as health from '../../../server/proto/gen/health.ts';
import * as internal from '../../../server/proto/gen/internal.ts';
import * as kv from '../../../server/proto/gen/kv.ts';
import * as lock from '../../../server/proto/gen/lock.ts';
import * as rpc from '../../../server/proto/gen/rpc.ts';
import * as snapshot from '../../../server/proto/gen/snapshot.ts';
import * as stamps from '../../../server/proto/gen/stamps.ts';
import { protoDirectory, protoNames } from '../../../server/proto/generate.ts';
import { loadProtos, lowerCamel, typeName } from '../../../server/proto/schema.ts';
import type { MessageType } from '../../../server/proto/wire.ts';

export type Plain = Record<string, unknown>;

/** A message type: our generated code, and protobufjs' reflection on the same .proto file. */
export interface Codec {
  readonly name: string;
  readonly ours: MessageType<Plain>;
  readonly theirs: protobuf.Type;
}

const modules: Record<string, object> = {
  auth,
  election,
  health,
  internal,
  kv,
  lock,
  rpc,
  snapshot,
  stamps,
};

export const codecs: readonly Codec[] = loadCodecs();

function loadCodecs(): Codec[] {
  const { fileOf } = loadProtos(protoDirectory, protoNames);
  return [...fileOf].flatMap(([type, file]) => {
    if (!(type instanceof protobuf.Type)) return [];
    const ours = (modules[file] as Record<string, MessageType<Plain>>)[typeName(type)];
    if (ours === undefined) throw new Error(`${type.fullName} has no generated code`);
    return [{ name: type.fullName, ours, theirs: type }];
  });
}

/** Random messages of a type in our form; nested ones end at depth 3. */
export function messageOf(type: protobuf.Type, depth = 0): fc.Arbitrary<Plain> {
  const members: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of type.fieldsArray) {
    if (field.partOf === null) members[lowerCamel(field.name)] = fieldOf(field, depth);
  }
  for (const oneof of type.oneofsArray) {
    const choices = oneof.fieldsArray
      .filter((field) => field.resolvedType === null || depth < 3)
      .map((field) =>
        valueOf(field, depth).map((value) => ({ kind: lowerCamel(field.name), value })),
      );
    members[lowerCamel(oneof.name)] = fc.oneof(fc.constant(undefined), ...choices);
  }
  return fc.record(members, { noNullPrototype: true });
}

function fieldOf(field: protobuf.Field, depth: number): fc.Arbitrary<unknown> {
  const isMessage = field.resolvedType instanceof protobuf.Type;
  if (field.repeated) {
    if (isMessage && depth >= 3) return fc.constant([]);
    return fc.array(valueOf(field, depth), { maxLength: 3 });
  }
  if (!isMessage) return valueOf(field, depth);
  if (depth >= 3) return fc.constant(undefined);
  return fc.oneof(fc.constant(undefined), valueOf(field, depth));
}

function valueOf(field: protobuf.Field, depth: number): fc.Arbitrary<unknown> {
  const type = field.resolvedType;
  if (type instanceof protobuf.Enum) return fc.constantFrom(...Object.values(type.values));
  if (type instanceof protobuf.Type) return messageOf(type, depth + 1);
  const isNumber = isNumberField(field);
  switch (field.type) {
    case 'bool':
      return fc.boolean();
    case 'bytes':
      return fc.oneof(
        fc.uint8Array({ maxLength: 8 }),
        fc.integer({ min: 120, max: 300 }).map((length) => new Uint8Array(length).fill(7)),
      );
    case 'string':
      return fc.string({ unit: 'binary', maxLength: 8 });
    case 'uint32':
      return fc.nat({ max: 0xffff_ffff });
    case 'int32':
      return fc.integer();
    case 'int64':
      return isNumber ? fc.maxSafeInteger() : fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    case 'uint64':
      return isNumber ? fc.maxSafeNat() : fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    default:
      throw new Error(`no arbitrary for ${field.type}`);
  }
}

export function isNumberField(field: protobuf.Field): boolean {
  return field.options?.['jstype'] === 'JS_NUMBER';
}

/** Our message as protobufjs' conversion prints it: own field names, 64-bit integers as strings. */
export function asTheirs(type: protobuf.Type, message: Plain): Plain {
  const result: Plain = {};
  for (const field of type.fieldsArray) {
    const value = field.partOf === null ? message[lowerCamel(field.name)] : chosen(field, message);
    if (value === undefined) continue;
    result[field.name] = field.repeated
      ? (value as unknown[]).map((each) => valueAsTheirs(field, each))
      : valueAsTheirs(field, value);
  }
  return result;
}

function chosen(field: protobuf.Field, message: Plain): unknown {
  const oneof = message[lowerCamel(field.partOf?.name ?? '')] as
    | { kind: string; value: unknown }
    | undefined;
  return oneof?.kind === lowerCamel(field.name) ? oneof.value : undefined;
}

function valueAsTheirs(field: protobuf.Field, value: unknown): unknown {
  if (field.resolvedType instanceof protobuf.Type)
    return asTheirs(field.resolvedType, value as Plain);
  if (field.type === 'int64' || field.type === 'uint64') return String(value);
  if (field.type === 'bytes') return Buffer.from(value as Uint8Array).toString('base64');
  return value;
}

/** What protobufjs decodes, printed in the same form; defaults of plain fields are filled in. */
export function decodeTheirs(type: protobuf.Type, bytes: Uint8Array): Plain {
  const decoded = type.toObject(type.decode(bytes), {
    longs: String,
    bytes: String,
    defaults: true,
  });
  return withoutEmpty(type, decoded);
}

/** Drops what `defaults: true` fills in for members that we call undefined. */
function withoutEmpty(type: protobuf.Type, object: Plain): Plain {
  const result: Plain = {};
  for (const field of type.fieldsArray) {
    const value = object[field.name];
    if (value === undefined || value === null) continue;
    const nested = field.resolvedType;
    if (!(nested instanceof protobuf.Type)) result[field.name] = value;
    else if (field.repeated) {
      result[field.name] = (value as Plain[]).map((each) => withoutEmpty(nested, each));
    } else result[field.name] = withoutEmpty(nested, value as Plain);
  }
  return result;
}
