import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { EventLog, type Kv } from './event-log.ts';
import { WatchCheck, type WatchedEvent } from './watch-check.ts';

const kv = (key: string, mod: number, version: number): Kv => {
  return { key, value: `v${mod}`, create: mod - version + 1, mod, version, lease: 0n };
};

/** Revision 2: a; 3: b; 4: a and b; 5: a deleted. */
function history(): EventLog {
  const log = new EventLog();
  const put = (pair: Kv) => ({ kind: 'put' as const, kv: pair });
  log.report('m', 2, [put(kv('a', 2, 1))], 0);
  log.report('m', 3, [put(kv('b', 3, 1))], 0);
  log.report(
    'm',
    4,
    [put({ ...kv('a', 4, 2), create: 2 }), put({ ...kv('b', 4, 2), create: 3 })],
    0,
  );
  log.report('m', 5, [{ kind: 'delete', kv: kv('a', 5, 1) }], 0);
  return log;
}

function told(log: EventLog, revision: number, key?: string): WatchedEvent[] {
  return log
    .eventsAt(revision)
    .filter((event) => key === undefined || event.kv.key === key)
    .map((event) => ({ ...event, previous: log.get(event.kv.key, revision - 1) }));
}

function watch(log: EventLog, from = 1, span = { start: 'a', end: 'z' }): WatchCheck {
  return new WatchCheck(log, { name: 'watch', span, from, withPrevious: true });
}

suite('WatchCheck', () => {
  test('accepts everything in order, batched or not, from any revision, with progress in between', () => {
    const log = history();
    const all = watch(log);
    all.received({ revision: 3, events: [...told(log, 2), ...told(log, 3)] });
    all.received({ revision: 3, events: [] });
    all.received({ revision: 4, events: told(log, 4) });
    all.received({ revision: 5, events: told(log, 5) });
    all.finish(log.lastRevision);
    const late = watch(log, 5);
    late.received({ revision: 5, events: told(log, 5) });
    late.finish(log.lastRevision);
    const onlyB = new WatchCheck(log, {
      name: 'b',
      span: { start: 'b' },
      from: 1,
      withPrevious: false,
    });
    onlyB.received({ revision: 3, events: told(log, 3) });
    onlyB.received({ revision: 4, events: told(log, 4, 'b') });
    onlyB.received({ revision: 5, events: [] });
    onlyB.finish(log.lastRevision);
  });

  test('waits for the history before it judges', () => {
    const log = new EventLog();
    const check = watch(log);
    const full = history();
    check.received({ revision: 2, events: told(full, 2) });
    check.settle();
    log.report('m', 2, full.eventsAt(2), 0);
    check.finish(log.lastRevision);
    check.received({ revision: 9, events: [] });
    assert.throws(() => check.finish(log.lastRevision), /which nobody has/);
  });

  const broken: Record<string, [RegExp, (log: EventLog) => WatchedEvent[][]]> = {
    'a skipped revision': [/never told of revision 3/, (log) => [told(log, 2), told(log, 4)]],
    'a missing end': [/never told of revision 3/, (log) => [told(log, 2)]],
    'a repeated revision': [/repeated/, (log) => [told(log, 2), told(log, 2)]],
    'reordered revisions': [/never told of revision 2/, (log) => [told(log, 3), told(log, 2)]],
    'progress ahead of the events': [/never told of revision 2/, () => [[]]],
    'half a revision': [/should be/, (log) => [told(log, 2), told(log, 3), told(log, 4, 'a')]],
    'a wrong value': [
      /should be/,
      (log) => [told(log, 2).map((event) => ({ ...event, kv: { ...event.kv, value: '?' } }))],
    ],
    'a wrong previous value': [
      /there was/,
      (log) => [
        told(log, 2),
        told(log, 3),
        told(log, 4).map((event) => ({ ...event, previous: log.get('a', 2) })),
      ],
    ],
    'an event of another key': [/should be \[\]/, (log) => [told(log, 2), told(log, 3)]],
  };
  for (const [name, [reason, responses]] of Object.entries(broken)) {
    test(`rejects ${name}`, () => {
      const log = history();
      const span = name === 'an event of another key' ? { start: 'a', end: 'b' } : undefined;
      const check = watch(log, 1, span);
      assert.throws(() => {
        for (const events of responses(log)) check.received({ revision: 5, events });
        check.finish(log.lastRevision);
      }, reason);
    });
  }
});
