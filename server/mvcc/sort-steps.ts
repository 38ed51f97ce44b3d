/** Values that are sorted, or merged, in one step: far below a millisecond of comparisons. */
const stepValuesMax = 1_000;

/** What `values.sort(compare)` gives, equal ones in their order, in steps between which others may run. */
export function* sortSteps<T>(
  values: readonly T[],
  compare: (a: T, b: T) => number,
): Generator<void, T[]> {
  if (values.length <= stepValuesMax) return values.toSorted(compare);
  let runs: T[][] = [];
  for (let at = 0; at < values.length; at += stepValuesMax) {
    runs.push(values.slice(at, at + stepValuesMax).sort(compare));
    yield;
  }
  while (runs.length > 1) {
    const merged: T[][] = [];
    for (let at = 0; at < runs.length; at += 2) {
      const [left = [], right] = [runs[at], runs[at + 1]];
      merged.push(right === undefined ? left : yield* mergeSteps(left, right, compare));
    }
    runs = merged;
  }
  return runs[0] ?? [];
}

function* mergeSteps<T>(
  left: readonly T[],
  right: readonly T[],
  compare: (a: T, b: T) => number,
): Generator<void, T[]> {
  const merged: T[] = [];
  let [atLeft, atRight] = [0, 0];
  while (atLeft < left.length && atRight < right.length) {
    const [a, b] = [left[atLeft] as T, right[atRight] as T];
    if (compare(a, b) <= 0) {
      merged.push(a);
      atLeft++;
    } else {
      merged.push(b);
      atRight++;
    }
    if (merged.length % stepValuesMax === 0) yield;
  }
  return merged.concat(left.slice(atLeft), right.slice(atRight));
}
