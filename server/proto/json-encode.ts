import { Buffer } from 'node:buffer';
import { asBuffer } from '../base/bytes.ts';
import type { FieldDescriptor, MessageDescriptor } from './descriptor.ts';
import type { Descriptors } from './json-decode.ts';

type Plain = Readonly<Record<string, unknown>>;

/** A text that has grown so long goes to bytes: about a millisecond's work. */
const pieceCharsMax = 1 << 18;

/**
 * A message in proto3's JSON form, as etcd's gateway prints it: names as in the .proto file, defaults left out, 64-bit
 * numbers as strings, bytes in base64, enums by name. In pieces, to be written one after the other.
 */
export function encodeJson(...args: Parameters<typeof encodeJsonSteps>): Buffer[] {
  const steps = encodeJsonSteps(...args);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** The same in steps, a piece each, between which others may run; the message must not change meanwhile. */
export function* encodeJsonSteps(
  descriptors: Descriptors,
  type: MessageDescriptor,
  message: object,
  options: { readonly escapesHtml: boolean } = { escapesHtml: false },
): Generator<void, Buffer[]> {
  const writer = new JsonWriter(descriptors, options);
  yield* writer.steps(type, message as Plain);
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

  *steps(type: MessageDescriptor, message: Plain): Generator<void, void> {
    this.#text += '{';
    let separator = '';
    for (const field of type.fields) {
      const value = valueOf(message, field);
      if (value === undefined) continue;
      this.#text += `${separator}"${field.name}":`;
      separator = ',';
      if (field.isRepeated) yield* this.#list(field, value as readonly unknown[]);
      else if (field.type === 'message') yield* this.steps(this.#typeOf(field), value as Plain);
      else this.#scalar(field, value);
    }
    this.#text += '}';
    if (this.#cutIfLong()) yield;
  }

  *#list(field: FieldDescriptor, values: readonly unknown[]): Generator<void, void> {
    const type = field.type === 'message' ? this.#typeOf(field) : undefined;
    const isFlat = type !== undefined && type.fields.every(isScalar);
    let separator = '[';
    for (const value of values) {
      this.#text += separator;
      separator = ',';
      if (type === undefined) this.#scalar(field, value);
      else if (isFlat) this.#flat(type, value as Plain);
      else yield* this.steps(type, value as Plain);
      if (this.#cutIfLong()) yield;
    }
    this.#text += ']';
  }

  /** A message of scalars alone, as those in long lists are: without a step's cost. */
  #flat(type: MessageDescriptor, message: Plain): void {
    let separator = '{';
    for (const field of type.fields) {
      const value = valueOf(message, field);
      if (value === undefined) continue;
      this.#text += `${separator}"${field.name}":`;
      separator = ',';
      this.#scalar(field, value);
    }
    this.#text += separator === '{' ? '{}' : '}';
  }

  #typeOf({ message }: FieldDescriptor): MessageDescriptor {
    const type = this.#descriptors.get(message ?? '');
    if (type === undefined) throw new Error(`${message} has no descriptor`);
    return type;
  }

  #scalar(field: FieldDescriptor, value: unknown): void {
    const text = scalar(field, value);
    const mayHaveHtml = this.#escapesHtml && field.type === 'string';
    this.#text += mayHaveHtml ? withoutHtml(text) : text;
  }

  #cutIfLong(): boolean {
    if (this.#text.length <= pieceCharsMax) return false;
    this.#cut();
    return true;
  }

  #cut(): void {
    this.#pieces.push(Buffer.from(this.#text));
    this.#text = '';
  }
}

function isScalar({ type, isRepeated }: FieldDescriptor): boolean {
  return type !== 'message' && !isRepeated;
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
