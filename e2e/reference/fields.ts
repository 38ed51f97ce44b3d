import { definitions } from '../../operator/api/crd.ts';
import type { JsonSchema } from '../../operator/api/json-schema.ts';
import { cell, table } from './table.ts';

/** A chapter for each kind: every field of its spec and status. */
export function fieldChapters(): string {
  return definitions
    .map(({ spec }) => {
      const { kind, plural, shortNames } = spec.names;
      const [version] = spec.versions;
      const { description, properties, ...root } = version.schema.openAPIV3Schema as JsonSchema;
      const rows = (part: 'spec' | 'status') =>
        [...fieldsOf(part, properties?.[part] ?? {})].map(([path, schema, isRequired]) => [
          `\`${path}\``,
          typeOf(schema),
          isRequired ? 'required' : defaultOf(schema),
          meaningOf(schema),
        ]);
      const head = ['field', 'type', 'default', 'what it means'];
      return [
        `## ${kind}`,
        `\`${spec.group}/${version.name}\`, \`kubectl get ${plural}\` or \`${shortNames.join('`, `')}\`. ${description ?? ''}`,
        ...rulesOf(root),
        table(head, rows('spec')),
        'The status, written by the operator:',
        table(head, rows('status')),
      ].join('\n\n');
    })
    .join('\n\n');
}

type Field = readonly [path: string, schema: JsonSchema, isRequired: boolean];

/** Depth first, in the order of the schema; a list's items are `[]`. What is refused whatever it says is left out. */
function* fieldsOf(path: string, schema: JsonSchema): Generator<Field> {
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    if (child.description?.startsWith('Refused: ') === true) continue;
    const below = `${path}.${name}`;
    yield [below, child, schema.required?.includes(name) ?? false];
    yield* fieldsOf(below, child);
    if (child.items !== undefined) yield* fieldsOf(`${below}[]`, child.items);
  }
}

function typeOf(schema: JsonSchema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ');
  if (schema.items !== undefined) return `list of ${plain(schema.items)}`;
  if (schema.additionalProperties !== undefined) return 'map';
  return plain(schema) + rangeOf(schema);
}

function plain({ type, format }: JsonSchema): string {
  if (format === 'date-time') return 'time';
  return type ?? 'any';
}

function rangeOf({ minimum, maximum, maxLength, pattern }: JsonSchema): string {
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return ` of at least ${minimum}`;
  if (pattern !== undefined && maxLength !== undefined) return `, at most ${maxLength} characters`;
  return '';
}

function defaultOf(schema: JsonSchema): string {
  return schema.default === undefined ? '' : `\`${JSON.stringify(schema.default)}\``;
}

function meaningOf(schema: JsonSchema): string {
  const told = rulesOf(schema).map((rule) => rule.replace(/^- /, ''));
  return cell([schema.description ?? '', ...told].filter((text) => text !== '').join(' '));
}

/** What the API server refuses, in its own words. */
function rulesOf(schema: JsonSchema): string[] {
  const messages = (schema['x-kubernetes-validations'] ?? []).map(({ message }) => message);
  const shown = messages.filter((message) => !message.includes(' is decided by the operator: '));
  return shown.length === 0
    ? []
    : [`Refused with: ${shown.map((each) => `*${each}*`).join('; ')}.`];
}
