import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DeadlineQueue, type Timed } from '../../../server/lease/deadline-queue.ts';

interface Item extends Timed {
  readonly name: number;
}

type Step = { kind: 'set'; item: number; dueMs: number } | { kind: 'remove'; item: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), item: fc.nat(9), dueMs: fc.nat(20) }),
  fc.record({ kind: fc.constant('remove' as const), item: fc.nat(9) }),
);

test('the queue holds each item once and knows the earliest', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const queue = new DeadlineQueue<Item>();
      const items = Array.from({ length: 10 }, (_, name): Item => ({ name, dueMs: 0, place: -1 }));
      const model = new Map<Item, number>();
      for (const step of steps) {
        const item = items[step.item] as Item;
        if (step.kind === 'set') {
          queue.set(item, step.dueMs);
          model.set(item, step.dueMs);
        } else {
          queue.remove(item);
          model.delete(item);
        }
        assert.equal(queue.size, model.size);
        assert.equal(
          queue.first()?.dueMs,
          model.size === 0 ? undefined : Math.min(...model.values()),
        );
      }
    }),
  );
});

test('a cleared queue takes its items again', () => {
  const queue = new DeadlineQueue<Item>();
  const item = { name: 0, dueMs: 0, place: -1 };
  queue.set(item, 5);
  queue.clear();
  assert.equal(queue.size, 0);
  queue.set(item, 7);
  assert.equal(queue.first(), item);
});
