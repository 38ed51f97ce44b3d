import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inSlices } from '../../../server/api/turns.ts';

function* counting(seen: string[], name: string, count: number): Generator<void, string> {
  for (let at = 0; at < count; at++) {
    seen.push(name);
    yield;
  }
  return name;
}

test('one slice in each turn of the loop, whoever it is for', async () => {
  const seen: string[] = [];
  let turns = 0;
  let isOver = false;
  const turn = (): void => {
    turns++;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  const names = await Promise.all(
    ['a', 'b', 'c'].map((name) => inSlices(counting(seen, name, 20))),
  );
  isOver = true;
  assert.deepEqual(names, ['a', 'b', 'c']);
  assert.deepEqual(seen.slice(0, 9), ['a', 'b', 'c', 'a', 'b', 'c', 'a', 'b', 'c']);
  assert(turns >= 50, `60 slices in ${turns} turns`);
});

test('what is over is not gone on with', async () => {
  const seen: string[] = [];
  assert.equal(await inSlices(counting(seen, 'a', 9), () => seen.length === 3), undefined);
  assert.equal(seen.length, 3);
});
