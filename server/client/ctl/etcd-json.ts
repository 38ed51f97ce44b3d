import { isUtf8 } from 'node:buffer';
import { asBuffer } from '../../base/bytes.ts';
import type { FieldDescriptor, MessageDescriptor } from '../../proto/descriptor.ts';
import { descriptors } from '../../proto/gen/descriptors.ts';
import { withoutHtml } from '../../proto/json-encode.ts';
import type { MessageType } from '../../proto/wire.ts';

// JSON as etcdctl prints it, which is what Go's encoding/json makes of the messages: names as in the .proto file, empty
// values left out, numbers bare whatever their size, enums as numbers, bytes in base64, a oneof below its own name.

const byName: ReadonlyMap<string, MessageDescriptor> = new Map(
  descriptors.map((descriptor) => [descriptor.fullName, descriptor]),
);

/** A text that is JSON already. */
export type Json = string;

export function etcdJson<T extends object>(type: MessageType<T>, message: T): Json {
  const descriptor = descriptors.find((each) => (each.type as unknown) === type);
  if (descriptor === undefined) throw new TypeError('the type has no descriptor');
  return `{${fieldsOf(descriptor, message as Readonly<Record<string, unknown>>)}}`;
}

/** The fields of a message, as part of a larger object. */
export function etcdFields<T extends object>(type: MessageType<T>, message: T): Json {
  return etcdJson(type, message).slice(1, -1);
}

export function jsonString(text: string): Json {
  return withoutHtml(JSON.stringify(text));
}

export function base64(bytes: Uint8Array): Json {
  return `"${asBuffer(bytes).toString('base64')}"`;
}

function fieldsOf(type: MessageDescriptor, message: Readonly<Record<string, unknown>>): Json {
  const parts: Json[] = [];
  for (const field of type.fields) {
    if (field.oneof !== undefined) {
      const { property, fullName } = field.oneof;
      const member = message[property] as { kind: string; value: unknown } | undefined;
      if (member?.kind !== field.property) continue;
      const name = capital(fullName.split('.').at(-1) ?? '');
      parts.push(`"${name}":{"${field.name}":${valueJson(field, member.value)}}`);
      continue;
    }
    const value = message[field.property];
    if (isEmpty(value)) continue;
    parts.push(
      `"${field.name}":${field.isRepeated ? listJson(field, value) : valueJson(field, value)}`,
    );
  }
  return parts.join(',');
}

function isEmpty(value: unknown): boolean {
  if (Array.isArray(value) || value instanceof Uint8Array) return value.length === 0;
  return !value;
}

function listJson(field: FieldDescriptor, values: unknown): Json {
  return `[${(values as unknown[]).map((value) => valueJson(field, value)).join(',')}]`;
}

function valueJson(field: FieldDescriptor, value: unknown): Json {
  switch (field.type) {
    case 'message': {
      const type = byName.get(field.message ?? '');
      if (type === undefined) throw new TypeError(`${field.message} has no descriptor`);
      return `{${fieldsOf(type, value as Readonly<Record<string, unknown>>)}}`;
    }
    case 'bytes':
      return base64(value as Uint8Array);
    case 'string':
      return jsonString(value as string);
    default:
      return String(value);
  }
}

function capital(name: string): string {
  return name.replaceAll(/(^|_)(\w)/g, (_all, _line, letter: string) => letter.toUpperCase());
}

/** A string as Go's %q prints it: what is no UTF-8 byte by byte, what has no look of its own as escapes. */
export function goQuoted(bytes: Uint8Array): string {
  const buffer = asBuffer(bytes);
  if (isUtf8(buffer)) return `"${goEscaped(buffer.toString())}"`;
  let quoted = '';
  for (let at = 0; at < buffer.length; ) {
    const part = buffer.subarray(at, at + sequenceLength(buffer[at] ?? 0));
    const isWhole = isUtf8(part);
    quoted += isWhole ? goEscaped(part.toString()) : byteEscape(buffer[at] ?? 0);
    at += isWhole ? part.length : 1;
  }
  return `"${quoted}"`;
}

/** How many bytes a character has that begins with this one. */
function sequenceLength(first: number): number {
  if (first < 0xc0) return 1;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}

function goEscaped(text: string): string {
  return text.replaceAll(/[\p{C}\p{Z}"\\]/gu, (character) =>
    character === ' ' ? character : escaped(character),
  );
}

function byteEscape(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

const goEscapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const known = goEscapes[character];
  if (known !== undefined) return known;
  if (code < 0x80) return byteEscape(code);
  if (code < 0x10000) return `\\u${code.toString(16).padStart(4, '0')}`;
  return `\\U${code.toString(16).padStart(8, '0')}`;
}
