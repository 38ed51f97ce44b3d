import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  generate,
  generatedFile,
  protoDirectory,
  protoNames,
} from '../../../server/proto/generate.ts';

test('the generated code is what the generator prints (else: npm run generate)', () => {
  const generated = generate();
  for (const [name, text] of generated) {
    assert.ok(readFileSync(generatedFile(name), 'utf8') === text, `gen/${name}.ts is out of date`);
  }
  const present = readdirSync(new URL('gen/', protoDirectory));
  assert.deepEqual(
    present.toSorted(),
    [...generated.keys()].map((name) => `${name}.ts`).toSorted(),
  );
});

test('every .proto file is generated from', () => {
  const present = readdirSync(protoDirectory).filter((name) => name.endsWith('.proto'));
  assert.deepEqual(present.toSorted(), protoNames.map((name) => `${name}.proto`).toSorted());
});
