import type { ResponseHeader } from '../../proto/gen/rpc.ts';
import type { MessageType } from '../../proto/wire.ts';
import type { Command, Format } from './command.ts';
import { etcdJson, type Json } from './etcd-json.ts';
import { type Field, fieldLines, headerFields } from './fields.ts';
import { table } from './table.ts';

/** What is written: text, or bytes as they are. */
export type Output = string | Uint8Array;

/** How an answer looks in each of the formats that the command has in the table. */
export interface Forms {
  simple(): Output | readonly Output[];
  json(): Json;
  fields?(): readonly Field[];
  table?(): readonly (readonly string[])[];
}

export function writeForms({ line, terminal }: Command, forms: Forms): void {
  const output = formOf(forms, line.format(line.spec.formats[0] ?? 'simple'));
  const isList = typeof output !== 'string' && !(output instanceof Uint8Array);
  for (const part of isList ? output : [output]) terminal.write(part);
}

function formOf(forms: Forms, format: Format): Output | readonly Output[] {
  switch (format) {
    case 'simple':
      return forms.simple();
    case 'json':
      return `${forms.json()}\n`;
    case 'fields':
      return fieldLines(forms.fields?.() ?? []);
    case 'table':
      return table(forms.table?.() ?? []);
  }
}

/** An answer of which people are told one sentence. */
export function writeDone<T extends { header: ResponseHeader | undefined }>(
  command: Command,
  [type, answer]: readonly [MessageType<T>, T],
  sentence: string,
): void {
  writeForms(command, {
    simple: () => `${sentence}\n`,
    json: () => etcdJson(type, answer),
    fields: () => headerFields(answer.header),
  });
}
