import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { MemberId } from '../../../server/base/ids.ts';
import { hasQuorum, quorumIndex } from '../../../server/raft/quorum.ts';

const votersArbitrary = fc.uniqueArray(fc.bigInt({ min: 1n, max: 9n }), { maxLength: 7 });

suite('quorum', () => {
  test('is more than half of the voters, never of the learners', () => {
    const cases = [
      [0, 1],
      [1, 1],
      [2, 2],
      [3, 2],
      [4, 3],
      [5, 3],
      [6, 4],
      [7, 4],
    ] as const;
    for (const [size, needed] of cases) {
      const voters = Array.from({ length: size }, (_, at) => BigInt(at + 1));
      const conf = { voters, learners: [11n, 12n, 13n] };
      for (let count = 0; count <= size; count += 1) {
        const holds = (member: MemberId): boolean => member <= BigInt(count) || member > 10n;
        assert.equal(hasQuorum(conf, holds), count >= needed, `${count} of ${size}`);
      }
    }
  });

  test('quorumIndex is the highest index that a quorum holds', () => {
    fc.assert(
      fc.property(
        votersArbitrary,
        fc.array(fc.nat(20), { minLength: 9, maxLength: 9 }),
        (voters, matches) => {
          const conf = { voters, learners: [] };
          const matchOf = (member: MemberId): number => matches[Number(member) - 1] ?? 0;
          const index = quorumIndex(conf, matchOf);
          const isHeld = (wanted: number): boolean =>
            hasQuorum(conf, (member) => matchOf(member) >= wanted);
          assert.ok(voters.length === 0 ? index === 0 : isHeld(index));
          assert.equal(isHeld(index + 1), false);
        },
      ),
    );
  });

  test('thesis §4.1: majorities of memberships that differ in one member have one in common', () => {
    fc.assert(
      fc.property(votersArbitrary, fc.nat(), fc.nat(), (voters, oneBits, otherBits) => {
        const grown = [...voters, 10n];
        const majorityOf = (members: readonly MemberId[], bits: number): MemberId[] | undefined => {
          const chosen = members.filter((_, at) => ((bits >> at) & 1) === 1);
          const conf = { voters: members, learners: [] };
          return hasQuorum(conf, (member) => chosen.includes(member)) ? chosen : undefined;
        };
        const one = majorityOf(voters, oneBits);
        const other = majorityOf(grown, otherBits);
        if (one === undefined || other === undefined) return;
        assert.ok(one.some((member) => other.includes(member)));
      }),
      { numRuns: 1000 },
    );
  });
});
