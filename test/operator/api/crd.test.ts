import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from 'js-yaml';
import { definitions } from '../../../operator/api/crd.ts';
import { generatedFiles } from '../../../operator/api/generate.ts';
import type { JsonSchema } from '../../../operator/api/json-schema.ts';
import { replicasMax, storeClusterSpec } from '../../../operator/api/schema.ts';

test('crds/ is what the schema generates', () => {
  const files = [...generatedFiles()];
  assert.equal(files.length, definitions.length);
  for (const [position, [name, text]] of files.entries()) {
    assert.equal(readFileSync(`crds/${name}`, 'utf8'), text, 'run npm run generate');
    assert.deepEqual(load(text), JSON.parse(JSON.stringify(definitions[position])));
  }
});

test('every string, list and map of the schema is bounded, so that CEL stays in its cost budget', () => {
  for (const { spec } of definitions) {
    const schema = spec.versions[0].schema.openAPIV3Schema;
    for (const [path, each] of nodes(spec.names.kind, schema)) {
      if (!/^[A-Za-z]+\.(apiVersion|kind|metadata)$/.test(path)) assertBounded(path, each);
    }
  }
});

test('CEL messages are sentences that say what would be right', () => {
  const rules = [...nodes('spec', storeClusterSpec)].flatMap(
    ([, schema]) => schema['x-kubernetes-validations'] ?? [],
  );
  assert.ok(rules.length >= 5);
  for (const { message } of rules) assert.match(message, /^[a-z].{30,}/i);
});

test('the replicas rule names the bound of the schema', () => {
  const [rule] = storeClusterSpec.properties.replicas['x-kubernetes-validations'];
  assert.match(rule.rule, new RegExp(`<= ${replicasMax}$`));
  assert.match(rule.message, new RegExp(`1 to ${replicasMax}`));
});

function assertBounded(path: string, schema: JsonSchema): void {
  if (schema.type === 'string' && schema.enum === undefined) {
    assert.ok(schema.maxLength !== undefined, `${path} has no maxLength`);
  }
  if (schema.type === 'array') assert.ok(schema.maxItems !== undefined, `${path} has no maxItems`);
  if (schema.additionalProperties !== undefined) {
    assert.ok(schema.maxProperties !== undefined, `${path} has no maxProperties`);
  }
}

function* nodes(path: string, schema: JsonSchema): Generator<[string, JsonSchema]> {
  yield [path, schema];
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    yield* nodes(`${path}.${name}`, child);
  }
  if (schema.items !== undefined) yield* nodes(`${path}[]`, schema.items);
  if (schema.additionalProperties !== undefined) {
    yield* nodes(`${path}{}`, schema.additionalProperties);
  }
}
