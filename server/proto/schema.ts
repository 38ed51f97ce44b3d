import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';

/** A .proto file, reduced to what the printer needs. */
export interface ProtoFile {
  readonly name: string;
  readonly enums: readonly EnumType[];
  readonly messages: readonly Message[];
  readonly services: readonly Service[];
}

export interface EnumType {
  readonly name: string;
  readonly values: readonly (readonly [name: string, value: number])[];
}

export interface Message {
  readonly name: string;
  /** With its package. */
  readonly fullName: string;
  /** In the order of their numbers, a oneof at its first member's place. */
  readonly members: readonly (Field | Oneof)[];
}

export interface Oneof {
  readonly kind: 'oneof';
  readonly name: string;
  readonly fullName: string;
  /** The name of its type. */
  readonly typeName: string;
  readonly fields: readonly Field[];
}

export interface Field {
  readonly kind: 'field';
  readonly name: string;
  /** As the .proto file spells it. */
  readonly protoName: string;
  readonly number: number;
  readonly type: FieldType;
  readonly repeated: boolean;
}

export type Scalar =
  | 'bool'
  | 'bytes'
  | 'string'
  | 'uint32'
  | 'int32'
  | 'int64'
  | 'uint64'
  | 'int64Number'
  | 'uint64Number';

export type FieldType =
  | { readonly kind: 'scalar'; readonly scalar: Scalar }
  | { readonly kind: 'enum'; readonly name: string; readonly file: string }
  | {
      readonly kind: 'message';
      readonly name: string;
      readonly fullName: string;
      readonly file: string;
    };

export interface Service {
  readonly name: string;
  readonly fullName: string;
  readonly methods: readonly Rpc[];
}

export interface Rpc {
  readonly name: string;
  readonly request: FieldType;
  readonly response: FieldType;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

const scalars: ReadonlySet<string> = new Set<Scalar>([
  'bool',
  'bytes',
  'string',
  'uint32',
  'int32',
  'int64',
  'uint64',
]);

/** All files in one protobufjs root, and for each definition the file that it stands in. */
export function loadProtos(directory: URL, names: readonly string[]) {
  const root = new protobuf.Root();
  const fileOf = new Map<protobuf.ReflectionObject, string>();
  for (const name of names) {
    const source = readFileSync(new URL(`${name}.proto`, directory), 'utf8');
    protobuf.parse(source, root, { keepCase: true });
    for (const object of definitions(root)) if (!fileOf.has(object)) fileOf.set(object, name);
  }
  root.resolveAll();
  return { root, fileOf };
}

/** Reads the files of these names; a name that one of them imports must be among them. */
export function readSchema(directory: URL, names: readonly string[]): ProtoFile[] {
  const { fileOf } = loadProtos(directory, names);
  return names.map((name) => {
    const own = [...fileOf].filter(([, file]) => file === name).map(([object]) => object);
    return {
      name,
      enums: own.filter((object) => object instanceof protobuf.Enum).map(enumType),
      messages: own
        .filter((object) => object instanceof protobuf.Type)
        .map((type) => message(type, fileOf)),
      services: own
        .filter((object) => object instanceof protobuf.Service)
        .map((type) => service(type, fileOf)),
    };
  });
}

function* definitions(space: protobuf.NamespaceBase): Generator<protobuf.ReflectionObject> {
  for (const object of space.nestedArray) {
    if (isDefinition(object)) yield object;
    if ('nestedArray' in object) yield* definitions(object as protobuf.NamespaceBase);
  }
}

function isDefinition(object: protobuf.ReflectionObject): boolean {
  return (
    object instanceof protobuf.Enum ||
    object instanceof protobuf.Type ||
    object instanceof protobuf.Service
  );
}

/** Nested types stand under their own name; one called just `Type` takes its message's name in front. */
export function typeName(type: protobuf.ReflectionObject): string {
  return type.name === 'Type' ? `${type.parent?.name}Type` : type.name;
}

function enumType(type: protobuf.Enum): EnumType {
  return { name: typeName(type), values: Object.entries(type.values) };
}

function message(type: protobuf.Type, fileOf: Map<protobuf.ReflectionObject, string>): Message {
  const members: (Field | Oneof)[] = [];
  for (const each of type.fieldsArray.toSorted((a, b) => a.id - b.id)) {
    const oneof = each.partOf;
    if (oneof === null) members.push(field(each, fileOf));
    else if (oneof.fieldsArray.every((other) => other.id >= each.id)) {
      members.push({
        kind: 'oneof',
        name: lowerCamel(oneof.name),
        fullName: oneof.fullName.slice(1),
        typeName: typeName(type) + upperFirst(lowerCamel(oneof.name)),
        fields: oneof.fieldsArray
          .toSorted((a, b) => a.id - b.id)
          .map((other) => field(other, fileOf)),
      });
    }
  }
  return { name: typeName(type), fullName: type.fullName.slice(1), members };
}

function field(source: protobuf.Field, fileOf: Map<protobuf.ReflectionObject, string>): Field {
  return {
    kind: 'field',
    name: lowerCamel(source.name),
    protoName: source.name,
    number: source.id,
    type: fieldType(source, fileOf),
    repeated: source.repeated,
  };
}

function fieldType(
  source: protobuf.Field,
  fileOf: Map<protobuf.ReflectionObject, string>,
): FieldType {
  if (source.resolvedType !== null) return reference(source.resolvedType, fileOf);
  if (!scalars.has(source.type)) throw new Error(`no code for type ${source.type}`);
  const isNumber = source.options?.['jstype'] === 'JS_NUMBER';
  return { kind: 'scalar', scalar: (source.type + (isNumber ? 'Number' : '')) as Scalar };
}

function reference(
  type: protobuf.ReflectionObject,
  fileOf: Map<protobuf.ReflectionObject, string>,
): FieldType {
  const file = fileOf.get(type);
  if (file === undefined) throw new Error(`${type.fullName} stands in no file that was read`);
  const name = typeName(type);
  if (type instanceof protobuf.Enum) return { kind: 'enum', name, file };
  return { kind: 'message', name, fullName: type.fullName.slice(1), file };
}

function service(type: protobuf.Service, fileOf: Map<protobuf.ReflectionObject, string>): Service {
  return {
    name: type.name,
    fullName: type.fullName.slice(1),
    methods: type.methodsArray.map((method) => {
      const { resolvedRequestType: request, resolvedResponseType: response } = method;
      if (!request || !response) throw new Error(`${method.fullName} is not resolved`);
      return {
        name: method.name,
        request: reference(request, fileOf),
        response: reference(response, fileOf),
        requestStream: method.requestStream ?? false,
        responseStream: method.responseStream ?? false,
      };
    }),
  };
}

/** `range_end` -> `rangeEnd`; what is not snake case stays as it is spelled. */
export function lowerCamel(name: string): string {
  return name.replace(/_([a-zA-Z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function upperFirst(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}
