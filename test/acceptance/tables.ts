import { keysBetween, keysFrom, keysUnder, oneKey } from '../../server/client/keys.ts';
import { type RangeRequest, SortOrder, SortTarget } from '../../server/proto/gen/rpc.ts';

// What cases 2, 3 and 7 read, and what must come of it.

interface Entry {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: bigint;
}

interface Read {
  readonly name: string;
  readonly request: Partial<RangeRequest>;
  readonly wanted: {
    readonly kvs: readonly Entry[];
    readonly count: number;
    readonly more: boolean;
  };
}

/** What is put, in this order, after revision `first`, and the reads that follow. */
export function readTable(first: number): {
  entries: ReadonlyArray<readonly [key: string, value: string]>;
  reads: readonly Read[];
} {
  const entry = (key: string, value: string, ...[create, mod, version]: number[]): Entry => ({
    key,
    value,
    createRevision: first + (create ?? 0),
    modRevision: first + (mod ?? 0),
    version: version ?? 0,
    lease: 0n,
  });
  const [a, b] = [entry('a', 'aa1', 1, 1, 1), entry('b', 'a', 2, 2, 1)];
  const [c1, c2] = [entry('c', 'ac1', 3, 3, 1), entry('c', 'ac2', 3, 4, 2)];
  const c = entry('c', 'aac', 3, 5, 3);
  const [foo, fooAbc] = [entry('foo', 'bar', 6, 6, 1), entry('foo/abc', '0', 7, 7, 1)];
  const fop = entry('fop', 's', 8, 8, 1);
  const entries = [a, b, c1, c2, c, foo, fooAbc, fop].map(
    ({ key, value }) => [key, value] as const,
  );
  const read = (name: string, request: Partial<RangeRequest>, ...kvs: Entry[]): Read => {
    return { name, request, wanted: { kvs, count: kvs.length, more: false } };
  };
  /** The same with a count other than that of the keys that come. */
  const cut = (part: Read, count: number, more: boolean): Read => {
    return { ...part, wanted: { ...part.wanted, count, more } };
  };
  const every = keysUnder('');
  const order = (direction: keyof typeof SortOrder, target: keyof typeof SortTarget) => ({
    ...every,
    sortOrder: SortOrder[direction],
    sortTarget: SortTarget[target],
  });
  const all = [a, b, c, foo, fooAbc, fop];
  const byValue = [fooAbc, b, a, c, foo, fop];
  const byKeyDown = [fop, fooAbc, foo, c, b, a];
  const byValueDown = [fop, foo, c, a, b, fooAbc];
  const reads = [
    read('one key', oneKey('a'), a),
    read('one key, serializable', { ...oneKey('a'), serializable: true }, a),
    read('[a, c)', keysBetween('a', 'c'), a, b),
    read('every key as prefix', every, ...all),
    read('every key from the first', keysFrom(''), ...all),
    read('[a, x)', keysBetween('a', 'x'), ...all),
    read('all at a revision', { ...every, revision: first + 3 }, a, b, c1),
    cut(read('count of one key', { ...oneKey('a'), countOnly: true }), 1, false),
    read('prefix', keysUnder('foo'), foo, fooAbc),
    read('from a key', keysFrom('foo'), foo, fooAbc, fop),
    cut(read('limit', { ...every, limit: 2 }, a, b), 6, true),
    read('by mod revision', order('ASCEND', 'MOD'), ...all),
    // Equal versions come in any order in etcd: in that of their keys here.
    read('by version', order('ASCEND', 'VERSION'), a, b, foo, fooAbc, fop, c),
    cut(read('by key, limit', { ...order('ASCEND', 'KEY'), limit: 2 }, a, b), 6, true),
    cut(
      read(
        'by key down, limit',
        { ...order('DESCEND', 'KEY'), ...keysBetween('b', 'z'), limit: 2 },
        fop,
        fooAbc,
      ),
      5,
      true,
    ),
    read('by create revision, no order', order('NONE', 'CREATE'), ...all),
    read('by create revision down', order('DESCEND', 'CREATE'), ...byKeyDown),
    read('by key down', order('DESCEND', 'KEY'), ...byKeyDown),
    read('by value, no order', order('NONE', 'VALUE'), ...byValue),
    read('by value', order('ASCEND', 'VALUE'), ...byValue),
    read('by value down', order('DESCEND', 'VALUE'), ...byValueDown),
    read('down', order('DESCEND', 'KEY'), ...byKeyDown),
    read('first version of c', { ...oneKey('c'), revision: first + 3 }, c1),
    read('second version of c', { ...oneKey('c'), revision: first + 4 }, c2),
    read('third version of c', { ...oneKey('c'), revision: first + 5 }, c),
    read('c', oneKey('c'), c),
    cut(
      read(
        'least mod revision',
        { ...order('NONE', 'MOD'), minModRevision: first + 3 },
        ...all.slice(2),
      ),
      6,
      false,
    ),
    cut(
      read(
        'greatest mod revision, by key down',
        { ...order('DESCEND', 'KEY'), maxModRevision: first + 4 },
        b,
        a,
      ),
      6,
      false,
    ),
    cut(
      read(
        'least create revision, by version down',
        { ...order('DESCEND', 'VERSION'), minCreateRevision: first + 3 },
        c,
        foo,
        fooAbc,
        fop,
      ),
      6,
      false,
    ),
    cut(
      read(
        'greatest create revision, by value down',
        { ...order('DESCEND', 'VALUE'), maxCreateRevision: first + 6 },
        foo,
        c,
        a,
        b,
      ),
      6,
      false,
    ),
  ];
  return { entries, reads };
}

export interface RangeCase {
  readonly keys: readonly string[];
  /** A request, the keys that come, whether there are more, and how many there are. */
  readonly reads: ReadonlyArray<
    readonly [Partial<RangeRequest>, keys: readonly string[], more: boolean, count: number]
  >;
}

const aToZ = keysBetween('a', 'z');
const all = { key: Buffer.of(0), rangeEnd: Buffer.of(0) };

/** What case 7 puts and reads. */
export const rangeCases: Record<string, (first: number) => RangeCase> = {
  'single key': () => ({
    keys: ['foo', 'bar'],
    reads: [
      [{ key: Buffer.from('foo') }, ['foo'], false, 1],
      [{ key: Buffer.from('baz') }, [], false, 0],
    ],
  }),
  'multi-key': () => ({
    keys: ['a', 'b', 'c', 'd', 'e'],
    reads: [
      [aToZ, ['a', 'b', 'c', 'd', 'e'], false, 5],
      [keysBetween('b', 'd'), ['b', 'c'], false, 2],
      [keysBetween('f', 'z'), [], false, 0],
      [keysBetween('c', 'c'), [], false, 0],
      [keysBetween('d', 'b'), [], false, 0],
      [all, ['a', 'b', 'c', 'd', 'e'], false, 5],
    ],
  }),
  revision: (first) => ({
    keys: ['a', 'b', 'c', 'd', 'e'],
    reads: [
      [{ ...aToZ, revision: 0 }, ['a', 'b', 'c', 'd', 'e'], false, 5],
      [{ ...aToZ, revision: first }, [], false, 0],
      [{ ...aToZ, revision: first + 1 }, ['a'], false, 1],
      [{ ...aToZ, revision: first + 2 }, ['a', 'b'], false, 2],
    ],
  }),
  limit: () => ({
    keys: ['a', 'b', 'c'],
    reads: [
      [{ ...aToZ, limit: 1 }, ['a'], true, 3],
      [{ ...aToZ, limit: 2 }, ['a', 'b'], true, 3],
      [{ ...aToZ, limit: 3 }, ['a', 'b', 'c'], false, 3],
      [{ ...aToZ, limit: 4 }, ['a', 'b', 'c'], false, 3],
    ],
  }),
  'count only': () => ({
    keys: ['a', 'b', 'c'],
    reads: [
      [{ ...aToZ, countOnly: true }, [], false, 3],
      [{ ...keysBetween('b', 'c'), countOnly: true }, [], false, 1],
      [{ ...keysBetween('x', 'z'), countOnly: true }, [], false, 0],
      [{ ...aToZ, limit: 1, countOnly: true }, [], false, 3],
    ],
  }),
  sort: () => ({
    keys: ['b', 'a', 'c', 'd', 'c'],
    reads: [
      [sorted('ASCEND', 'KEY', 1), ['a'], true, 4],
      [sorted('DESCEND', 'KEY', 1), ['d'], true, 4],
      [sorted('ASCEND', 'CREATE', 1), ['b'], true, 4],
      [sorted('DESCEND', 'MOD', 1), ['c'], true, 4],
      [{ ...sorted('DESCEND', 'CREATE', 1), ...keysBetween('z', 'z') }, [], false, 0],
      [sorted('NONE', 'CREATE', 10), ['b', 'a', 'c', 'd'], false, 4],
    ],
  }),
  'min/max mod rev': (first) => ({
    keys: ['rev2', 'rev3', 'rev4', 'rev5', 'rev6'],
    reads: [
      [{ ...all, minModRevision: first + 2 }, ['rev3', 'rev4', 'rev5', 'rev6'], false, 5],
      [{ ...all, maxModRevision: first + 2 }, ['rev2', 'rev3'], false, 5],
      [
        { ...all, minModRevision: first + 2, maxModRevision: first + 4 },
        ['rev3', 'rev4', 'rev5'],
        false,
        5,
      ],
      [{ ...all, maxModRevision: first + 9 }, ['rev2', 'rev3', 'rev4', 'rev5', 'rev6'], false, 5],
    ],
  }),
  'min/max create rev': (first) => ({
    keys: ['rev2', 'rev3', 'rev2', 'rev2', 'rev6', 'rev3'],
    reads: [
      [{ ...all, minCreateRevision: first + 2 }, ['rev3', 'rev6'], false, 3],
      [{ ...all, maxCreateRevision: first + 2 }, ['rev2', 'rev3'], false, 3],
      [{ ...all, minCreateRevision: first + 2, maxCreateRevision: first + 4 }, ['rev3'], false, 3],
      [{ ...all, maxCreateRevision: first + 9 }, ['rev2', 'rev3', 'rev6'], false, 3],
    ],
  }),
};

function sorted(
  order: keyof typeof SortOrder,
  target: keyof typeof SortTarget,
  limit: number,
): Partial<RangeRequest> {
  return { ...aToZ, limit, sortOrder: SortOrder[order], sortTarget: SortTarget[target] };
}
