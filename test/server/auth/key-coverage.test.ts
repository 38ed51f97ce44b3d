import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KeyCoverage } from '../../../server/auth/key-coverage.ts';
import { fromLatin1 } from '../../../server/base/bytes.ts';
import { keyRange } from '../../../server/mvcc/key-range.ts';

type Range = readonly [key: string, rangeEnd: string];

function covers(granted: readonly Range[], [key, rangeEnd]: Range): boolean {
  const ranges = granted.map(([start, end]) => keyRange(fromLatin1(start), fromLatin1(end)));
  return new KeyCoverage(ranges).covers(fromLatin1(key), fromLatin1(rangeEnd));
}

test('ranges that touch are one, ranges with a gap are not', () => {
  const cases: readonly (readonly [readonly Range[], Range, boolean])[] = [
    [[['k', 'l']], ['k', 'm'], false],
    [[['k', 'l']], ['k', 'l'], true],
    [[['k', 'l']], ['ka', ''], true],
    [[['k', 'l']], ['l', ''], false],
    [
      [
        ['a', 'b'],
        ['b', 'c'],
      ],
      ['a', 'c'],
      true,
    ],
    [
      [
        ['a', 'b'],
        ['b\0', 'c'],
      ],
      ['a', 'c'],
      false,
    ],
    [
      [
        ['a', 'b'],
        ['b', ''],
        ['b\0', 'c'],
      ],
      ['a', 'c'],
      true,
    ],
    [[['a', '\0']], ['b', '\0'], true],
    [[['a', '\0']], ['a', '\xff'], true],
    [[['a', '\xff\xff']], ['a', '\0'], false],
    [[['b', '\0']], ['a', '\0'], false],
    [[['\0', '\0']], ['\0', '\0'], true],
    [[['a', '']], ['a', '\0'], false],
    [[['a', '']], ['a', 'a\0'], true],
    [
      [
        ['a', 'z'],
        ['c', 'd'],
      ],
      ['c', 'y'],
      true,
    ],
    [[], ['a', ''], false],
    // Of a range without keys, its start counts.
    [[['k', 'l']], ['ka', 'a'], true],
    [[['k', 'l']], ['ka', 'ka'], true],
    [[['k', 'l']], ['m', 'a'], false],
  ];
  for (const [granted, asked, is] of cases) {
    assert.equal(covers(granted, asked), is, JSON.stringify([granted, asked]));
  }
});

test('a range is covered when each of its keys is', () => {
  // Keys of up to two letters out of three, and every key directly behind one, stand for all keys.
  const letters = ['a', 'b', 'c'];
  const short = letters.flatMap((one) => [one, ...letters.map((two) => one + two)]);
  const keys = short.flatMap((key) => [key, `${key}\0`]).toSorted();
  const bound = fc.constantFrom(...short);
  const range = fc.tuple(bound, fc.oneof(bound, fc.constantFrom('', '\0')));
  const holds = ([start, end]: Range, key: string): boolean =>
    end === '' ? key === start : key >= start && (end === '\0' || key < end);
  const ends = ([, end]: Range): boolean => end === '\0';
  fc.assert(
    fc.property(fc.array(range, { maxLength: 6 }), range, (granted, asked) => {
      const inside = keys.filter((key) => holds(asked, key));
      if (inside.length === 0) return;
      const isEach = inside.every((key) => granted.some((one) => holds(one, key)));
      const isEnd = !ends(asked) || granted.some(ends);
      assert.equal(covers(granted, asked), isEach && isEnd);
    }),
    { numRuns: 3000 },
  );
});
