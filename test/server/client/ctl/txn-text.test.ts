import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareOf, wordsOf } from '../../../../server/client/ctl/txn-text.ts';

test('a word in double quotes has the escapes of Go, bytes as bytes of UTF-8', () => {
  const escapes = String.raw`put "\xc3\xa4" "\303\244\u00e4\U0001f600" "a\n\t\"\\" 'a\n'`;
  assert.deepEqual(wordsOf(escapes), ['put', 'ä', 'ää😀', 'a\n\t"\\', String.raw`a\n`]);
});

test('what a word cannot carry is refused, never changed', () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    [String.raw`put k "\xff"`, /"\\xff" is no text in UTF-8: .*put KEY < FILE/],
    [String.raw`put k "\377"`, /is no text in UTF-8/],
    [String.raw`put k "\777"`, /\\777 is no escape/],
    [String.raw`put k "\Uffffffff"`, /\\Uffffffff is no escape; write \\\\ for a backslash/],
    [String.raw`put k "\ud800"`, /\\ud800 is no escape/],
    [String.raw`put k "\d"`, /\\d is no escape/],
  ];
  for (const [line, message] of refused) {
    assert.throws(() => wordsOf(line), { name: 'UsageError', message }, line);
  }
  assert.throws(() => compareOf(String.raw`value("k") = "\Uffffffff"`), { name: 'UsageError' });
});
