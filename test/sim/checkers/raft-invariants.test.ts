import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { ConfState, Entry } from '../../../server/raft/entry.ts';
import { RaftInvariants, type RaftView } from './raft-invariants.ts';

interface Picture {
  id?: bigint;
  term?: number;
  vote?: bigint;
  role?: string;
  voters?: bigint[];
  learners?: bigint[];
  /** One letter per entry: its term; upper case is a membership change (A: term 1). */
  log?: string;
  base?: number;
  commit?: number;
  applied?: number;
  stable?: number;
}

const empty = new Uint8Array(0);
const conf: ConfState = { voters: [1n, 2n, 3n], learners: [] };

/** A member drawn with few words: `log: '112'` has entries 1 to 3 of terms 1, 1 and 2. */
function view(picture: Picture): RaftView {
  const base = picture.base ?? 0;
  const entries = Array.from(picture.log ?? '', (letter, at): Entry => {
    const isChange = letter >= 'A';
    const term = isChange ? letter.charCodeAt(0) - 64 : Number(letter);
    return { index: base + at + 1, term, kind: isChange ? 'confChange' : 'normal', data: empty };
  });
  const term = (index: number): number | undefined =>
    index === base ? 0 : entries[index - base - 1]?.term;
  const lastIndex = base + entries.length;
  const { voters, learners } = picture;
  return {
    id: picture.id ?? 1n,
    term: picture.term ?? 9,
    vote: picture.vote ?? 0n,
    role: picture.role ?? 'follower',
    conf: voters === undefined ? conf : { voters, learners: learners ?? [] },
    log: {
      firstIndex: base + 1,
      lastIndex,
      lastTerm: term(lastIndex) ?? 0,
      commit: picture.commit ?? 0,
      applied: picture.applied ?? 0,
      stable: picture.stable ?? lastIndex,
      term,
      slice: (start, _bytesMax, end = lastIndex) => entries.slice(start - base - 1, end - base),
    },
  };
}

function observeAll(...pictures: Picture[]): () => void {
  return () => {
    const invariants = new RaftInvariants();
    for (const picture of pictures) invariants.observe(view(picture));
    invariants.finish();
  };
}

suite('RaftInvariants', () => {
  test('accept a log that grows, is overwritten, committed, compacted, and a leader that has it all', () => {
    observeAll(
      { log: '11', term: 1 },
      { log: '1122', term: 2, commit: 2, applied: 1 },
      { log: '113', term: 3, commit: 3, applied: 3 },
      { base: 2, log: '34', term: 4, commit: 3, applied: 3 },
      { id: 2n, log: '113', term: 4, role: 'leader', commit: 3 },
      { id: 1n, base: 2, log: '34', term: 4, commit: 3, applied: 3 },
      { id: 2n, log: '1134', term: 4, role: 'leader', commit: 4 },
    )();
  });

  const broken: Record<string, [RegExp, Picture[]]> = {
    'I1: two leaders in a term': [
      /I1/,
      [
        { id: 1n, role: 'leader', term: 2 },
        { id: 2n, role: 'leader', term: 2 },
      ],
    ],
    'I2: one id, two entries': [/I2/, [{ log: '1' }, { id: 2n, log: 'A' }]],
    'I2: one id after two histories': [/I2/, [{ log: '112' }, { id: 2n, log: '122' }]],
    'I3: a leader without a committed entry': [
      /I3/,
      [
        { log: '11', term: 1, commit: 2 },
        { id: 2n, log: '1', term: 2, role: 'leader' },
      ],
    ],
    'I3: a leader that counts an entry of an earlier term': [
      /by counting/,
      [
        { id: 2n, log: '1', term: 1 },
        { id: 1n, log: '12', term: 2, role: 'leader', commit: 1 },
      ],
    ],
    'I3: a leader that counts who has it not, or not yet durably': [
      /hold durably/,
      [
        { id: 2n, log: '1', term: 1, stable: 0 },
        { id: 3n, log: '', term: 1 },
        { id: 1n, log: '1', term: 1, role: 'leader', commit: 1 },
      ],
    ],
    'I4: two entries committed at one index': [
      /I4/,
      [
        { log: '12', term: 2, commit: 2 },
        { id: 2n, log: '13', term: 3, commit: 2 },
      ],
    ],
    'I4: two configurations at one applied index': [
      /I4/,
      [
        { log: '1', commit: 1, applied: 1 },
        { id: 2n, log: '1', commit: 1, applied: 1, voters: [1n, 2n] },
      ],
    ],
    'I5: a term that goes back': [/I5/, [{ term: 3 }, { term: 2 }]],
    'I5: a commit index that goes back': [
      /I5/,
      [
        { log: '11', commit: 2 },
        { log: '11', commit: 1 },
      ],
    ],
    'I5: applied beyond commit': [/beyond commit/, [{ log: '11', commit: 1, applied: 2 }]],
    'I7: two membership changes pending': [/I7/, [{ log: '1A' }, { log: '1A1A' }]],
    'I7: two voters at once': [
      /I7/,
      [
        { log: '1', commit: 1, applied: 1 },
        { log: '1A', commit: 2, applied: 2, voters: [1n] },
      ],
    ],
    'I9: a removed member comes back': [
      /I9/,
      [
        { log: '1', commit: 1, applied: 1 },
        { log: '1A', commit: 2, applied: 2, voters: [1n, 2n] },
        { log: '1AA', commit: 3, applied: 3 },
      ],
    ],
  };
  for (const [name, [reason, pictures]] of Object.entries(broken)) {
    test(`reject ${name}`, () => assert.throws(observeAll(...pictures), reason));
  }

  test('accept a second change once the first is known to be committed', () => {
    observeAll({ log: '1A', commit: 2 }, { log: '1A1A', commit: 2 })();
  });

  test('reject two votes in a term, also across a restart', () => {
    const invariants = new RaftInvariants();
    const vote = { kind: 'voteResponse', from: 1n, term: 2, reject: false } as const;
    invariants.sent(view({ term: 2 }), { ...vote, to: 2n });
    invariants.sent(view({ term: 2 }), { ...vote, to: 2n });
    invariants.sent(view({ term: 3 }), { ...vote, to: 3n, term: 3 });
    assert.throws(() => invariants.sent(view({ term: 2 }), { ...vote, to: 3n }), /I6.*votes for/);
    assert.throws(() => invariants.restarted(view({ term: 2 })), /I5/);
    assert.throws(() => invariants.restarted(view({ term: 3 })), /without its vote/);
    invariants.restarted(view({ term: 3, vote: 3n }));
  });

  test('reject an acknowledgement of what is not durable, and the loss of what was', () => {
    const invariants = new RaftInvariants();
    const ack = { kind: 'appendResponse', from: 1n, to: 2n, term: 9 } as const;
    const rest = { index: 2, reject: false, hintIndex: 0, hintTerm: 0 };
    const member = view({ log: '12', stable: 1 });
    invariants.observe(member);
    assert.throws(() => invariants.sent(member, { ...ack, ...rest }), /I6/);
    invariants.observe(view({ log: '12', stable: 2 }));
    assert.throws(() => invariants.restarted(view({ log: '1' })), /2 were durable/);
    assert.throws(() => invariants.restarted(view({ log: '11' })), /of term 1/);
    invariants.diskDamaged(1n);
    invariants.restarted(view({ log: '1' }));
  });
});
