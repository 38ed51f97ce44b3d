import type { Step } from './script.ts';

const collection = '/apis/contract.test/v1/namespaces/contract/widgets';
const merge = 'application/merge-patch+json';
const apply = 'application/apply-patch+yaml';

/** A small generator of our own: the same steps for ever, whatever library changes. */
class Draw {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(limit: number): number {
    this.#state = (this.#state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((this.#state / 2_147_483_648) * limit);
  }

  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }

  some<T>(values: readonly T[]): T[] {
    return values.filter(() => this.oneIn(2));
  }
}

/** Random writes of three managers to two widgets: who owns what after each of them. */
export function randomWrites(seed: number, count: number): Step[] {
  const draw = new Draw(seed);
  return Array.from({ length: count }, (_, index) => ({
    ...write(draw),
    name: `random write ${index}`,
    keepsManagedFields: true,
  }));
}

function write(draw: Draw): Omit<Step, 'name'> {
  const name = draw.of(['r1', 'r2']);
  const manager = draw.of(['m1', 'm2', 'm3']);
  const force = draw.oneIn(2) ? '&force=true' : '';
  const path = `${collection}/${name}?fieldManager=${manager}`;
  const object = { apiVersion: 'contract.test/v1', kind: 'Widget', metadata: metadata(draw, name) };
  switch (draw.below(10)) {
    case 0:
      return {
        method: 'POST',
        path: `${collection}?fieldManager=${manager}`,
        body: { ...object, spec: spec(draw) },
      };
    case 1:
      return {
        method: 'PATCH',
        path: `${collection}/${name}/status?fieldManager=${manager}`,
        body: { status: status(draw) },
        mediaType: merge,
      };
    case 2:
    case 3:
    case 4:
      return {
        method: 'PATCH',
        path,
        body: { spec: withNulls(draw, spec(draw)) },
        mediaType: merge,
      };
    case 5:
      return draw.oneIn(4)
        ? { method: 'DELETE', path: `${collection}/${name}` }
        : { method: 'GET', path: `${collection}/${name}` };
    default:
      return {
        method: 'PATCH',
        path: path + force,
        body: { ...object, spec: spec(draw) },
        mediaType: apply,
      };
  }
}

function metadata(draw: Draw, name: string): object {
  const labels = Object.fromEntries(
    draw.some(['l1', 'l2']).map((key) => [key, draw.of(['a', 'b'])]),
  );
  return { name, ...(draw.oneIn(3) ? { labels } : {}) };
}

function spec(draw: Draw): Record<string, unknown> {
  const labels = Object.fromEntries(
    draw.some(['x', 'y', 'z']).map((key) => [key, draw.of(['1', '2'])]),
  );
  const ports = draw
    .some(['p', 'q', 'r'])
    .map((name) => ({ name, ...(draw.oneIn(2) ? { port: draw.of([80, 81]) } : {}) }));
  return {
    ...(draw.oneIn(2) ? { replicas: draw.of([1, 3, 5]) } : {}),
    ...(draw.oneIn(3) ? { mode: draw.of(['Fast', 'Safe']) } : {}),
    ...(draw.oneIn(3) ? { labels } : {}),
    ...(draw.oneIn(3) ? { tags: draw.some(['a', 'b', 'c']) } : {}),
    ...(draw.oneIn(2) && ports.length > 0 ? { ports } : {}),
    ...(draw.oneIn(4) ? { nested: draw.of([{ a: 'y' }, { b: true }]) } : {}),
    ...(draw.oneIn(4) ? { free: draw.of([{}, { k: 1 }, { k: { l: [1, 2] } }, { m: 'x' }]) } : {}),
  };
}

function withNulls(draw: Draw, fields: Record<string, unknown>): Record<string, unknown> {
  const removed = ['labels', 'tags', 'nested', 'free'].filter(() => draw.oneIn(6));
  return { ...fields, ...Object.fromEntries(removed.map((name) => [name, null])) };
}

function status(draw: Draw): object {
  const conditions = [{ type: draw.of(['A', 'B']), status: draw.of(['True', 'False']) }];
  return { ready: draw.of(['1', '2']), ...(draw.oneIn(2) ? { conditions } : {}) };
}
