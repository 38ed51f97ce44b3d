import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AuditRules } from '../../../server/audit/rules.ts';
import { latin1 } from '../../../server/base/bytes.ts';
import type { AuditRule } from '../../../server/config/audit.ts';

const letters = [0x00, 0x61, 0x62, 0xff];
const bytes = (minLength: number, maxLength: number) =>
  fc
    .array(fc.constantFrom(...letters), { minLength, maxLength })
    .map((all) => Uint8Array.from(all));
const ops = fc.constantFrom('read' as const, 'write' as const);

/** Every key of up to four of the letters. */
const universe: string[] = [];
for (let level = [''], length = 1; length <= 4; length++) {
  level = level.flatMap((key) => letters.map((letter) => key + String.fromCharCode(letter)));
  universe.push(...level);
}

function touches(key: Uint8Array, rangeEnd: Uint8Array, prefix: string): boolean {
  const [start, end] = [latin1(key), latin1(rangeEnd)];
  return universe.some((each) => {
    const isInside = end === '' ? each === start : each >= start && (end === '\0' || each < end);
    return isInside && each.startsWith(prefix);
  });
}

test('a call is written down when a key that it may touch has the prefix of a rule', () => {
  const rule = fc.record({ kind: ops, prefix: bytes(0, 2).map(latin1) });
  fc.assert(
    fc.property(
      fc.array(rule, { maxLength: 3 }),
      ops,
      bytes(1, 2),
      fc.oneof(fc.constant(new Uint8Array(0)), bytes(1, 2)),
      (rules, op, key, rangeEnd) => {
        const end = latin1(rangeEnd);
        // etcd takes such a range for none; what holds no key may be written down or not.
        fc.pre(end === '' || end === '\0' || latin1(key) < end);
        const wanted = rules.some(
          ({ kind, prefix }) => kind === op && touches(key, rangeEnd, prefix),
        );
        const subject = { kind: op, ranges: [{ op, key, rangeEnd }] };
        assert.equal(new AuditRules(rules).wants(subject), wanted);
      },
    ),
    { numRuns: 2_000 },
  );
});

test('authentication and administration always, questions and leases by rule', () => {
  const wanted = (rules: readonly AuditRule[]) =>
    (['auth', 'admin', 'inspect', 'lease', 'read', 'write'] as const).filter((kind) =>
      new AuditRules(rules).wants({ kind }),
    );
  assert.deepEqual(wanted([]), ['auth', 'admin']);
  assert.deepEqual(wanted([{ kind: 'lease' }, { kind: 'inspect' }]), [
    'auth',
    'admin',
    'inspect',
    'lease',
  ]);
});

test('a rule about reads wants the transactions that read', () => {
  const rules = new AuditRules([{ kind: 'read', prefix: '/a/' }]);
  const of = (op: 'read' | 'write') => ({
    kind: 'write' as const,
    ranges: [{ op, key: Buffer.from('/a/1'), rangeEnd: new Uint8Array(0) }],
  });
  assert.equal(rules.mayWant('write'), true);
  assert.equal(rules.wants(of('read')), true);
  assert.equal(rules.wants(of('write')), false);
});
