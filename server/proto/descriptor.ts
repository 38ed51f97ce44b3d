import type { Scalar } from './schema.ts';

/** What the text forms of messages need to know beside the codec: names as the .proto file spells them. */
export interface MessageDescriptor {
  readonly fullName: string;
  readonly type: { create(): object };
  /** In the order of the .proto file. */
  readonly fields: readonly FieldDescriptor[];
}

export interface FieldDescriptor {
  /** As the .proto file spells it: `range_end`. */
  readonly name: string;
  /** The property of the message, or the `kind` of the oneof; also proto3's own JSON name: `rangeEnd`. */
  readonly property: string;
  readonly type: Scalar | 'enum' | 'message';
  readonly isRepeated: boolean;
  /** Of an enum: numbers by name. */
  readonly values?: Readonly<Record<string, number>>;
  /** Of a message: its full name. */
  readonly message?: string;
  /** The oneof that it is a member of: the property of the message, and its full name. */
  readonly oneof?: { readonly property: string; readonly fullName: string };
}
