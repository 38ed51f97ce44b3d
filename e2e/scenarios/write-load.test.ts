import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkHistory } from './write-load.ts';

const [a, b] = ['load/0/0', 'load/0/1'];

test('a history in which every key counts up is accepted', () => {
  checkHistory([
    { key: a, number: 1, revision: 2 },
    { key: b, number: 1, revision: 3 },
    { key: a, number: 2, revision: 7 },
  ]);
});

test('a write that is lost, repeated or out of order is noticed', () => {
  const first = { key: a, number: 1, revision: 2 };
  assert.throws(
    () => checkHistory([first, { key: a, number: 3, revision: 3 }]),
    /load\/0\/0: 3 came after 1/,
  );
  assert.throws(
    () => checkHistory([first, { key: a, number: 1, revision: 3 }]),
    /load\/0\/0: 1 came after 1/,
  );
  assert.throws(
    () => checkHistory([first, { key: b, number: 1, revision: 2 }]),
    /revision 2 came after 2/,
  );
});
