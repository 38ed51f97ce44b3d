/** The part of OpenAPI v3 that a CustomResourceDefinition accepts and that our kinds use. */
export interface JsonSchema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'boolean';
  readonly description?: string;
  readonly format?: 'int32' | 'int64' | 'date-time';
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: JsonSchema;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly maxProperties?: number;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-list-type'?: 'map' | 'set' | 'atomic';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-validations'?: readonly ValidationRule[];
}

/** A CEL rule; `message` is a sentence that says what is wrong and what would be right. */
export interface ValidationRule {
  readonly rule: string;
  readonly message: string;
}

/** The TypeScript type of the values that a schema (declared `as const`) describes. */
export type FromSchema<S> = S extends { readonly 'x-kubernetes-int-or-string': true }
  ? number | string
  : S extends { readonly enum: readonly (infer Choice)[] }
    ? Choice
    : S extends { readonly type: 'string' }
      ? string
      : S extends { readonly type: 'integer' }
        ? number
        : S extends { readonly type: 'boolean' }
          ? boolean
          : S extends { readonly type: 'array'; readonly items: infer Item }
            ? readonly FromSchema<Item>[]
            : S extends { readonly 'x-kubernetes-preserve-unknown-fields': true }
              ? Readonly<Record<string, unknown>>
              : S extends { readonly type: 'object' }
                ? ObjectFromSchema<S>
                : never;

type ObjectFromSchema<S> = S extends { readonly properties: infer Properties }
  ? Flat<
      {
        readonly [Key in keyof Properties & RequiredKeys<S>]: FromSchema<Properties[Key]>;
      } & {
        readonly [Key in Exclude<keyof Properties, RequiredKeys<S>>]?: FromSchema<Properties[Key]>;
      }
    >
  : S extends { readonly additionalProperties: infer Value }
    ? Readonly<Record<string, FromSchema<Value>>>
    : never;

type RequiredKeys<S> = S extends { readonly required: readonly (infer Key)[] } ? Key : never;

type Flat<T> = { readonly [Key in keyof T]: T[Key] };
