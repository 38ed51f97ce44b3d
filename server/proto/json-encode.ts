import { Buffer } from 'node:buffer';
import { asBuffer } from '../base/bytes.ts';
import type { FieldDescriptor, MessageDescriptor } from './descriptor.ts';
import type { Descriptors } from './json-decode.ts';

type Plain = Readonly<Record<string, unknown>>;

/** A text that has grown so long goes to bytes: JavaScript's strings have an end. */
const pieceCharsMax = 1 << 20;

/**
 * A message in proto3's JSON form, as etcd's gateway prints it: names as in the .proto file, defaults left out, 64-bit
 * numbers as strings, bytes in base64, enums by name. In pieces, to be written one after the other.
 */
export function encodeJson(
  descriptors: Descriptors,
  type: MessageDescriptor,
  message: object,
  options: { readonly escapesHtml: boolean } = { escapesHtml: false },
): Buffer[] {
  const writer = new JsonWriter(descriptors, options);
  writer.message(type, message as Plain);
  return writer.finish();
}

class JsonWriter {
  readonly #descriptors: Descriptors;
  readonly #escapesHtml: boolean;
  readonly #pieces: Buffer[] = [];
  #text = '';

  constructor(descriptors: Descriptors, { escapesHtml }: { escapesHtml: boolean }) {
    this.#descriptors = descriptors;
    this.#escapesHtml = escapesHtml;
  }

  finish(): Buffer[] {
    if (this.#text !== '') this.#cut();
    return this.#pieces;
  }

  message(type: MessageDescriptor, message: Plain): void {
    this.#text += '{';
    let separator = '';
    for (const field of type.fields) {
      const value = valueOf(message, field);
      if (value === undefined) continue;
      this.#text += `${separator}"${field.name}":`;
      separator = ',';
      if (field.isRepeated) this.#list(field, value as readonly unknown[]);
      else this.#value(field, value);
    }
    this.#text += '}';
    if (this.#text.length > pieceCharsMax) this.#cut();
  }

  #list(field: FieldDescriptor, values: readonly unknown[]): void {
    this.#text += '[';
    values.forEach((value, at) => {
      if (at > 0) this.#text += ',';
      this.#value(field, value);
    });
    this.#text += ']';
  }

  #value(field: FieldDescriptor, value: unknown): void {
    if (field.type === 'message') {
      const type = this.#descriptors.get(field.message ?? '');
      if (type === undefined) throw new Error(`${field.message} has no descriptor`);
      this.message(type, value as Plain);
    } else {
      const text = scalar(field, value);
      const mayHaveHtml = this.#escapesHtml && field.type === 'string';
      this.#text += mayHaveHtml ? withoutHtml(text) : text;
    }
  }

  #cut(): void {
    this.#pieces.push(Buffer.from(this.#text));
    this.#text = '';
  }
}

/** Undefined when it is left out: a default, but in a oneof, where being there says which one it is. */
function valueOf(message: Plain, { property, oneof, isRepeated }: FieldDescriptor): unknown {
  if (oneof !== undefined) {
    const member = message[oneof.property] as { kind: string; value: unknown } | undefined;
    return member?.kind === property ? member.value : undefined;
  }
  const value = message[property];
  const isDefault = value === '' || value === 0 || value === 0n || value === false;
  const isEmpty = isRepeated || value instanceof Uint8Array;
  return isDefault || (isEmpty && (value as ArrayLike<unknown>).length === 0) ? undefined : value;
}

function scalar({ type, values }: FieldDescriptor, value: unknown): string {
  switch (type) {
    case 'bytes':
      return `"${asBuffer(value as Uint8Array).toString('base64')}"`;
    case 'string':
      return JSON.stringify(value);
    case 'bool':
    case 'int32':
    case 'uint32':
      return String(value);
    case 'enum': {
      const name = Object.entries(values ?? {}).find(([, number]) => number === value)?.[0];
      return name === undefined ? String(value) : `"${name}"`;
    }
    default:
      return `"${String(value)}"`;
  }
}

/** What Go's encoding/json escapes so that the text may stand in a page; harmless elsewhere. */
export function withoutHtml(json: string): string {
  return json.replaceAll(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
